# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command refit`, without a window."""

import json
import os

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices

from refit_blender import cli
from refit_blender.scene import body as bodies
from refit_blender.scene import rigs


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results"


def rig_vertices() -> np.ndarray:
    (rig,) = [found for found in bpy.context.scene.objects if bodies.is_rig(found)]
    return evaluated_vertices(bodies.body_mesh(rig))


def test_photo_becomes_a_blend_file(photo, install_fake, out, capsys):
    fake = install_fake()
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), "--keep", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 body from a photo.png in " in said and " s on the CPU" in said
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    assert {found.type for found in bpy.context.scene.objects} == {"CAMERA", "ARMATURE", "MESH"}
    place = np.array(bpy.context.scene.camera.matrix_world)[:3, 3]
    expected = fake.result["vertices_cam"][0][:, [0, 2, 1]] * [1, 1, -1] + place
    np.testing.assert_allclose(rig_vertices(), expected, atol=1e-4)
    assert (out / "result.npz").exists() and (out / "overlay.png").exists()


def test_rig_is_the_one_that_was_asked_for(photo, install_fake, out):
    install_fake()
    words = ["reconstruct", str(photo), "--out", str(out / "a.blend")]
    for more, kind, follows in (
        ([], "animation", True),
        (["--no-root-motion"], "animation", False),
        (["--rig", "smpl"], "smpl", False),
    ):
        assert cli.main([*words, *more]) == 0
        bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
        (rig,) = [found for found in bpy.context.scene.objects if bodies.is_rig(found)]
        assert (rigs.kind_of(rig), rigs.root_follows(rig)) == (kind, follows)
        bpy.ops.wm.read_homefile(use_empty=True)


def test_glb_shows_the_posed_body(photo, install_fake, out):
    install_fake()
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), "--glb", str(out / "a.glb")]) == 0
    expected = rig_vertices()
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(out / "a.glb"))
    (mesh,) = [found for found in bpy.context.scene.objects if found.find_armature()]
    imported = evaluated_vertices(mesh)
    # Vertices are split at the seams of the UVs: each one must be one of ours.
    nearest = np.linalg.norm(imported[:, None] - expected[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-3
    assert [found.type for found in bpy.context.scene.objects].count("CAMERA") == 1


def test_options_reach_the_engine(photo, install_fake, out):
    fake = install_fake()
    words = "--bbox 1,2,30,40 --bbox 5,6,7,8 --focal 900 --people largest --iterations 2 --device cpu".split()
    words += ["--height", "1.8"]
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend"), *words]) == 0
    asked = json.loads((fake.folder / "request.json").read_text())
    assert asked["images"][0]["bboxes_xywh"] == [[1, 2, 30, 40], [5, 6, 7, 8]]
    assert asked["images"][0]["focal"] == 900
    assert (asked["people"], asked["iterations"], asked["device"], asked["overlay"]) == ("largest", 2, "cpu", False)
    assert asked["height"] == 1.8


def test_failure_is_one_sentence_and_exit_code_1(photo, install_fake, out, capsys):
    install_fake("fail:NoPersonFound:Nobody was found in a photo.png.")
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "a.blend")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "refit: Nobody was found in a photo.png."
    assert not (out / "a.blend").exists()


def test_place_that_cannot_be_written_is_named(photo, install_fake, tmp_path, capsys):
    install_fake()
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["reconstruct", str(photo), "--out", str(tmp_path / "file" / "a.blend")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--glb"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is a folder"),
        ("file/a.blend", "Not a directory"),
        ("x" * 300, "too long"),
        ("/".join(["x" * 200] * 6), "longer than Blender"),
    ],
)
def test_wrong_places_are_named_before_the_job(photo, install_fake, tmp_path, capsys, option, name, sentence):
    fake = install_fake()
    (tmp_path / "file").write_text("in the way")
    places = {"--out": tmp_path / "a.blend", "--glb": tmp_path / "a.glb"} | {option: tmp_path / name}
    words = [str(word) for pair in places.items() for word in pair]
    assert cli.main(["reconstruct", str(photo), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert not (fake.folder / "request.json").exists()


def test_numbers_that_are_none_are_named(photo, install_fake, tmp_path, capsys):
    install_fake()
    assert cli.main(["reconstruct", str(photo), "--out", str(tmp_path / "a.blend"), "--focal", "nan"]) == 1
    assert "refit: The focal length must be a finite number, not nan." in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [[], ["dance"], ["reconstruct"], ["fit-cameras", "--out", "b", "--frame", "99999999999"]]
    + [
        ["reconstruct", "a.png", "--out", "b", "--bbox", box]
        for box in ("1,2", "a,b,c,d", "nan,nan,nan,nan", "0,0,inf,9")
    ],
)
def test_wrong_usage_has_exit_code_2(words, capsys):
    assert cli.main(words) == 2
    assert "usage: blender --command refit" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_not_replaced(photo, install_fake, tmp_path, capsys):
    install_fake()
    os.mkfifo(tmp_path / "pipe.blend")
    assert cli.main(["reconstruct", str(photo), "--out", str(tmp_path / "pipe.blend")]) == 1
    assert "is not a regular file" in capsys.readouterr().err
    assert (tmp_path / "pipe.blend").is_fifo()


def test_open_file_is_added_to(photo, install_fake, out):
    install_fake()
    mine = bpy.data.objects.new("mine", None)
    bpy.context.scene.collection.objects.link(mine)
    out.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "mine.blend"))
    assert cli.main(["reconstruct", str(photo), "--out", str(out / "both.blend")]) == 0
    assert "mine" in bpy.data.objects


def save_cameras_scene(out, four_cameras):
    """The four cameras as a file that is open, as `blender FILE --command` has it."""
    out.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "cameras.blend"))


def test_cameras_of_a_scene_become_a_body_in_it(install_fake, four_cameras, out, capsys):
    fake = install_fake()
    names = ["cam_1", "cam_2", "cam_3", "cam_10"]
    result = fake.prepare_views(names, left_out=["cam_2"])
    save_cameras_scene(out, four_cameras)
    assert cli.main(["fit-cameras", "--out", str(out / "a.blend"), "--keep", str(out / "kept")]) == 0
    said = capsys.readouterr().out
    assert "1 body from 3 cameras" in said and "left out: cam_2" in said
    assert "cam_10" in said and "2.5 px" in said
    assert "left out: disagrees with the other cameras" in said
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    np.testing.assert_allclose(rig_vertices(), result["vertices_world"][0], atol=1e-4)
    (rig,) = [found for found in bpy.context.scene.objects if bodies.is_rig(found)]
    assert [view["camera"].name for view in rig["refit_views"]] == names
    assert (out / "kept" / "overlay_cam_10.png").exists()


def test_which_cameras_and_which_frame_reach_the_engine(install_fake, four_cameras, out):
    fake = install_fake()
    fake.prepare_views(["cam_1", "cam_3"])
    save_cameras_scene(out, four_cameras)
    camera = bpy.context.scene.objects["cam_1"]
    for frame, x in ((1, 0.0), (11, 5.0)):
        camera.location = (x, 0, 0)
        camera.keyframe_insert("location", frame=frame)
    words = "--cameras cam_3,cam_1 --frame 11 --people largest --iterations 3 --device cpu".split()
    assert cli.main(["fit-cameras", "--out", str(out / "a.blend"), *words]) == 0
    asked = fake.request()
    assert [view["name"] for view in asked["views"]] == ["cam_1", "cam_3"]
    assert (asked["people"], asked["iterations"], asked["device"], asked["overlay"]) == ("largest", 3, "cpu", False)
    first = asked["views"][0]
    centre = -np.array(first["R_world2cam"]).T @ first["t_world2cam"]
    np.testing.assert_allclose(centre, [5, 0, 0], atol=1e-5)


def test_shape_of_a_body_in_the_scene_is_kept(install_fake, four_cameras, out):
    fake = install_fake()
    result = fake.prepare_views(["cam_1", "cam_2", "cam_3", "cam_10"])
    save_cameras_scene(out, four_cameras)
    assert cli.main(["fit-cameras", "--out", str(out / "a.blend")]) == 0
    assert cli.main(["fit-cameras", "--out", str(out / "b.blend"), "--shape-of", "cameras person 1"]) == 0
    np.testing.assert_allclose(fake.request()["betas"], result["betas"][0], atol=1e-6)
    assert cli.main(["fit-cameras", "--out", str(out / "b.blend"), "--shape-of", "nobody"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cameras", "cam_7,cam_1"], "The scene has no camera “cam_7”."),
        (["--collection", "rig"], "There is no collection “rig”."),
        (["--cameras", "cam_1"], "2 cameras or more are needed"),
    ],
)
def test_cameras_that_cannot_be_fitted_are_one_sentence(install_fake, four_cameras, out, capsys, words, sentence):
    install_fake()
    save_cameras_scene(out, four_cameras)
    assert cli.main(["fit-cameras", "--out", str(out / "a.blend"), *words]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not (out / "a.blend").exists()


def test_photos_of_one_person_become_a_shape(install_fake, photo, out, capsys):
    fake = install_fake()
    (fake.folder / "shape.json").write_text(json.dumps({"betas": [0.5] * 10, "left_out": [1]}))
    words = ["fit-shape", str(photo), str(photo), "--out", str(out / "a.blend"), "--focal", "900"]
    assert cli.main(words) == 0
    assert "Shape from 1 picture" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    assert bpy.context.scene.refit.fixed_shape["refit_betas"][:] == pytest.approx([0.5] * 10)
