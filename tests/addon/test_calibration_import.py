# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration files as cameras in the scene, held to Blender's own projection and to the numbers that were written."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state
from calibration_damage import damaged
from calibration_samples import POINTS, RIG, Sample, rig_toml, write_colmap
from lens_maps import coordinate_clip, undistorted_map

from refit_blender import api, cli
from refit_blender.calibration import CalibratedCamera, Picture, read_calibration, world_of
from refit_blender.errors import CalibrationError
from refit_blender.scene import calibrated
from refit_blender.scene.views import camera_view

SAMPLES = Path(__file__).parents[2] / "docs" / "samples" / "multiview"


def save_picture(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = bpy.data.images.new("picture", width, height)
    image.filepath_raw = str(path)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


@pytest.fixture
def project(tmp_path) -> Path:
    """A calibration file and a picture for each camera; that of the second has half the size it was calibrated for."""
    for sample in RIG:
        scale = 2 if sample.name == "middle" else 1
        save_picture(tmp_path / "pictures" / f"{sample.name}.png", *(side // scale for side in sample.size))
    path = tmp_path / "Calib.toml"
    path.write_text(rig_toml())
    return path


def drawn_pixel(camera: bpy.types.Object, point, picture: tuple[int, int], aspect: float) -> np.ndarray:
    """Where Blender draws a world point [2] on the camera's background picture, which is fitted into the frame.

    aspect: how wide the picture's pixels are drawn, in their height.
    """
    bpy.context.view_layer.update()
    render = bpy.context.scene.render
    frame = np.array([render.resolution_x, render.resolution_y], dtype=float)
    window = camera.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(), x=render.resolution_x, y=render.resolution_y, scale_x=1, scale_y=1
    )
    clip = np.array(window) @ np.array(camera.matrix_world.normalized().inverted()) @ [*point, 1.0]
    on_frame = (clip[:2] / clip[3] * [1, -1] + 1) / 2 * frame
    shown = np.array([picture[0] * aspect, picture[1]])
    scale = (frame / shown).min() * np.array([aspect, 1.0])
    return (on_frame - frame / 2) / scale + np.array(picture) / 2


def assert_shows(camera: bpy.types.Object, sample: Sample, scale: float = 1.0) -> None:
    """The camera sees points where the file's numbers say, and the engine is told the same. scale: of the picture."""
    picture = tuple(round(side * scale) for side in sample.size)
    aspect = sample.focal[1] / sample.focal[0]
    for point in POINTS:
        expected = sample.sees(point) * scale
        np.testing.assert_allclose(drawn_pixel(camera, point, picture, aspect), expected, atol=0.02)
    if not camera.data.background_images:
        return
    view = camera_view(camera, bpy.context.scene, bpy.context.evaluated_depsgraph_get(), Path(bpy.app.tempdir))
    assert view.size == picture
    for point in POINTS:
        seen = view.K @ (view.R @ np.array(point) + view.t)
        np.testing.assert_allclose(seen[:2] / seen[2], sample.sees(point) * scale, atol=0.02)
    if any(sample.distortion):
        np.testing.assert_allclose(view.distortion.coefficients, sample.distortion, rtol=1e-6)
    else:
        assert view.distortion is None


def test_cameras_see_what_the_file_says(project):
    rig = api.import_calibration(project)
    assert [camera.name for camera in rig.cameras] == ["left", "middle", "right"]
    for camera, sample in zip(rig.cameras, RIG, strict=True):
        assert_shows(camera, sample, scale=0.5 if sample.name == "middle" else 1.0)
    assert list(rig.collection.objects) == list(rig.cameras)
    assert bpy.context.scene.camera == rig.cameras[0]
    assert set(bpy.context.selected_objects) == set(rig.cameras)
    render = bpy.context.scene.render
    assert (render.resolution_x, render.resolution_y) == (640, 480)


def test_millimetres_and_the_scenes_unit(project):
    project.write_text(rig_toml(millimetres=True))
    bpy.context.scene.unit_settings.scale_length = 0.01
    rig = api.import_calibration(project)
    for camera, sample in zip(rig.cameras, RIG, strict=True):
        np.testing.assert_allclose(camera.location, 100 * np.array(sample.place), rtol=1e-4)


def test_other_axis_and_unit(project):
    rig = api.import_calibration(project, up="Y", metres=2.0)
    x, y, z = RIG[0].place
    np.testing.assert_allclose(rig.cameras[0].location, (2 * x, -2 * z, 2 * y), atol=1e-4)


def test_missing_pictures_are_a_message(project):
    (project.parent / "pictures" / "left.png").unlink()
    (project.parent / "pictures" / "right.png").write_text("no picture")
    rig = api.import_calibration(project)
    assert [len(camera.data.background_images) for camera in rig.cameras] == [0, 1, 0]
    assert "right.png cannot be read." in rig.messages
    assert "No picture was found for left: choose their folder, or add them by hand." in rig.messages
    assert_shows(rig.cameras[0], RIG[0])


def test_picture_of_another_shape_is_left_out_and_named(project):
    save_picture(project.parent / "pictures" / "left.png", 480, 640)
    rig = api.import_calibration(project)
    assert not rig.cameras[0].data.background_images
    assert "left.png has 480 x 640 pixels, but left was calibrated for 640 x 480: it is not used." in rig.messages


def test_size_comes_from_the_picture_where_the_file_has_none(tmp_path):
    from calibration_samples import write_easymocap

    write_easymocap(tmp_path, sizes=False)
    for sample in RIG:
        save_picture(tmp_path / "images" / sample.name / "000010.png", *sample.size)
        save_picture(tmp_path / "images" / sample.name / "000011.png", *sample.size)
    rig = api.import_calibration(tmp_path / "extri.yml")
    for camera, sample in zip(rig.cameras, RIG, strict=True):
        assert_shows(camera, sample)
        view = camera_view(camera, bpy.context.scene, bpy.context.evaluated_depsgraph_get(), tmp_path / "out")
        assert view.picture.name == "000010.png"
    bpy.context.scene.frame_set(2)
    view = camera_view(rig.cameras[0], bpy.context.scene, bpy.context.evaluated_depsgraph_get(), tmp_path / "out")
    assert view.picture.name == "000011.png"


@pytest.mark.parametrize("binary", [False, True])
def test_colmap_model_becomes_cameras_too(tmp_path, binary):
    path = write_colmap(tmp_path / "sparse" / "0", binary=binary)
    for camera, sample in zip(api.import_calibration(path).cameras, RIG, strict=True):
        assert_shows(camera, sample)


def test_clip_is_told_its_lens(tmp_path):
    """Blender undistorts the clip as OpenCV's formula says."""
    sample = Sample(
        "a", (320, 200), (280.0, 280.0), (149.5, 89.5), (0, -3, 1), distortion=(-0.2, 0.05, 0.02, -0.03, 0.01)
    )
    path = tmp_path / "c.toml"
    path.write_text(rig_toml((sample,), millimetres=True))
    calibration = read_calibration([path])
    clip = coordinate_clip(tmp_path, *sample.size)
    picture = Picture(Path(clip.filepath), "video")
    rig = calibrated.build_camera_rig(bpy.context, path, calibration, world_of(calibration), [picture])
    (background,) = rig.cameras[0].data.background_images
    assert background.clip_user.use_render_undistorted
    seen = undistorted_map(background.clip, tmp_path, (150.0, 90.0))
    k1, k2, p1, p2, k3 = sample.distortion
    for x, y in ((40.5, 30.5), (280.5, 60.5), (160.5, 170.5), (250.5, 150.5)):
        u, v = (x - 150) / 280, (y - 90) / 280
        r = u * u + v * v
        radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
        bent = (
            u * radial + 2 * p1 * u * v + p2 * (r + 2 * u * u),
            v * radial + p1 * (r + 2 * v * v) + 2 * p2 * u * v,
        )
        np.testing.assert_allclose(seen[int(y), int(x)], np.array(bent) * 280 + [150, 90], atol=0.01)


def test_lens_that_blender_does_not_have_is_kept_for_the_fit(project):
    save = bpy.data.movieclips.load(str(project.parent / "pictures" / "left.png"))
    camera = CalibratedCamera(
        "left", (640, 480), np.diag([600.0, 600, 1]), np.eye(3), np.zeros(3), (0.1, 0.1, 0, 0, 0.1, 0.1, 0.1, 0.1)
    )
    assert not calibrated._describe_lens(save, camera, (640, 480))


def test_bent_stills_are_mentioned(project):
    assert any("bent by their lenses" in message for message in api.import_calibration(project).messages)


def test_wrong_file_changes_nothing(project):
    project.write_text(rig_toml().replace("matrix", "matrx"))
    before = scene_state()
    with pytest.raises(CalibrationError, match=r"\[cam_left\] has no “matrix”"):
        api.import_calibration(project)
    assert scene_state() == before


def test_failure_in_the_middle_changes_nothing(project, monkeypatch):
    before = scene_state()
    monkeypatch.setattr(calibrated, "_show", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        api.import_calibration(project)
    assert scene_state() == before
    assert not bpy.data.movieclips


@pytest.mark.parametrize("focal", [(305.0, 610.0), (610.0, 305.0)])
def test_squeezed_pixels_of_anamorphic_lenses(tmp_path, focal):
    size = (640 if focal[0] > focal[1] else 320, 240 if focal[0] > focal[1] else 480)
    sample = Sample("a", size, focal, (size[0] / 2 + 3, size[1] / 2 - 7), (0.3, -4.0, 1.2))
    save_picture(tmp_path / "a.png", *size)
    (tmp_path / "c.toml").write_text(rig_toml((sample,)))
    (camera,) = api.import_calibration(tmp_path / "c.toml").cameras
    assert_shows(camera, sample)


def test_world_without_scale_is_mentioned(tmp_path):
    path = write_colmap(tmp_path / "sparse" / "0", binary=False)
    assert any("has no scale" in message for message in api.import_calibration(path).messages)
    assert not any("has no scale" in message for message in api.import_calibration(path, metres=0.5).messages)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[610.0, 0.0, 322.5], [0.0, 613.0,", "[0.001, 0.0, 322.5], [0.0, 0.001,"),
        ("[610.0, 0.0, 322.5]", "[610.0, 0.0, -9e8]"),
        ("size = [ 640.0, 480.0]", "size = [3e9, 2e9]"),
        ("size = [ 640.0, 480.0]", "size = [2, 2]"),
    ],
)
def test_cameras_that_blender_cannot_hold_change_nothing(project, old, new):
    assert old in project.read_text()
    project.write_text(project.read_text().replace(old, new))
    before = scene_state()
    with pytest.raises(CalibrationError):
        api.import_calibration(project)
    assert scene_state() == before


@pytest.mark.parametrize("binary", [False, True])
def test_damaged_files_make_whole_rigs_or_change_nothing(tmp_path, binary):
    path = tmp_path / "c.toml"
    path.write_text(rig_toml())
    if binary:
        path = write_colmap(tmp_path, binary=True).with_stem("images")
    whole, rng, before, made = path.read_bytes(), np.random.default_rng(1), scene_state(), 0
    for _ in range(60):
        path.write_bytes(damaged(whole, rng, binary=binary))
        try:
            rig = api.import_calibration(path)
        except CalibrationError:
            assert scene_state() == before
            continue
        made += 1
        for camera in rig.cameras:
            assert np.isfinite(np.array(camera.matrix_world)).all() and np.isfinite(camera.data.lens)
        bpy.ops.wm.read_homefile(use_empty=True)
    assert 0 < made < 60


def test_principal_point_far_away_gives_no_size(tmp_path):
    path = tmp_path / "c.yml"
    path.write_text("K: [[500.0, 0, 1e6], [0, 500.0, 240.0], [0, 0, 1.0]]\n")
    before = scene_state()
    with pytest.raises(CalibrationError, match="which Blender does not have"):
        api.import_calibration(path)
    assert scene_state() == before


@pytest.mark.parametrize("options", [{"pictures": "gone"}, {"metres": 0.0}, {"metres": float("nan")}])
def test_impossible_options(project, options):
    with pytest.raises(CalibrationError):
        api.import_calibration(project, **options)


# ------------------------------------------------------------------------------------ operator and command line


def test_operator_imports_and_chooses_the_cameras(project):
    assert bpy.ops.refit.import_calibration(filepath=str(project)) == {"FINISHED"}
    settings = bpy.context.scene.refit
    assert (settings.source, settings.cameras_from) == ("CAMERAS", "COLLECTION")
    assert [one.camera.name for one in settings.camera_candidates(bpy.context)] == ["left", "middle", "right"]


def test_dropped_file_is_imported_at_once(project):
    files = [{"name": project.name}]
    call = bpy.ops.refit.import_calibration
    done = call("INVOKE_DEFAULT", filepath=str(project), directory=str(project.parent), files=files)
    assert done == {"FINISHED"}
    assert len(bpy.context.scene.refit.camera_collection.objects) == 3


def test_operator_takes_several_files(tmp_path):
    from calibration_samples import opencv_camera

    for sample in RIG:
        (tmp_path / f"{sample.name}.yml").write_text(opencv_camera(sample))
    files = [{"name": f"{sample.name}.yml"} for sample in RIG]
    assert bpy.ops.refit.import_calibration(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert len(bpy.context.scene.refit.camera_collection.objects) == 3


def test_operator_reports_the_error(project):
    project.write_text("nothing")
    with pytest.raises(RuntimeError, match="no proper TOML"):
        bpy.ops.refit.import_calibration(filepath=str(project))


def test_operator_takes_what_the_user_set(project):
    bpy.ops.refit.import_calibration(filepath=str(project), up="-Z", unit="CM")
    camera = bpy.context.scene.refit.camera_collection.objects["left"]
    assert camera.location.z == pytest.approx(-0.01 * RIG[0].place[2])
    bpy.ops.refit.import_calibration(filepath=str(project), unit="OTHER", metres=3.0)
    camera = bpy.context.scene.refit.camera_collection.objects[0]
    assert camera.location.z == pytest.approx(3 * RIG[0].place[2])


def test_file_handler_knows_the_suffixes():
    handler = bpy.types.REFIT_FH_calibration
    assert handler.bl_file_extensions == ".toml;.yml;.yaml;.json;.xml;.txt;.bin"
    assert handler.bl_import_operator == "refit.import_calibration"


def test_command_line_writes_a_scene(tmp_path, capsys):
    out = tmp_path / "scene.blend"
    assert cli.main(["import-calibration", str(SAMPLES / "calibration.toml"), "--out", str(out)]) == 0
    assert "4 cameras from calibration.toml (Pose2Sim or Anipose): Z up, 1 unit is 1 m" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(out))
    found = [item for item in bpy.context.scene.objects if item.type == "CAMERA"]
    assert [camera.data.background_images[0].image.name for camera in found] == [f"cam0{i}.jpg" for i in range(1, 5)]


def test_command_line_names_what_is_wrong(project, capsys):
    project.write_text("[cam]\nsize = 3\n")
    assert cli.main(["import-calibration", str(project), "--out", str(project.with_suffix(".blend"))]) == 1
    assert capsys.readouterr().err == "refit: Calib.toml, [cam] size must hold 2 numbers, not 1.\n"


def test_command_line_takes_axis_unit_and_folder(project, tmp_path):
    words = ["--up=-Y", "--metres", "0.001", "--pictures", str(project.parent / "pictures")]
    assert cli.main(["import-calibration", str(project), "--out", str(tmp_path / "a.blend"), *words]) == 0
    assert bpy.data.objects["left"].location.z == pytest.approx(-0.001 * RIG[0].place[1])
