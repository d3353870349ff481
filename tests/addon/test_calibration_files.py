# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration files of every format, read without Blender's data, and what is wrong with wrong ones."""

from pathlib import Path

import numpy as np
import pytest
from calibration_samples import (
    POINTS,
    RIG,
    opencv_camera,
    opencv_matrix,
    rig_toml,
    write_colmap,
    write_easymocap,
    write_opencv_pair,
)

from refit_blender.calibration import find_pictures, read_calibration, world_of
from refit_blender.calibration.opencv_yaml import parse_yaml
from refit_blender.errors import CalibrationError

SAMPLES = Path(__file__).parents[2] / "docs" / "samples" / "multiview"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def pixels(camera, points, scale: float = 1.0) -> np.ndarray:
    """Where a camera that was read sees world points [N,3] given in metres; `scale`: units per metre."""
    seen = (np.array(points) * scale @ camera.R.T + camera.t) @ camera.K.T
    return seen[:, :2] / seen[:, 2:]


def assert_is_the_rig(calibration, scale: float = 1.0, rig=RIG) -> None:
    """By the numbers that were written, not by those that were read."""
    assert len(calibration.cameras) == len(rig)
    for camera, sample in zip(calibration.cameras, rig, strict=True):
        expected = [sample.sees(point) for point in POINTS]
        np.testing.assert_allclose(pixels(camera, POINTS, scale), expected, atol=1e-3)
        np.testing.assert_allclose(camera.centre / scale, sample.place, atol=1e-5)
        written = sample.distortion if any(sample.distortion) else ()
        np.testing.assert_allclose(camera.distortion, written, atol=1e-12)
        assert camera.size == sample.size


def names(calibration) -> list[str]:
    return [camera.name for camera in calibration.cameras]


# ------------------------------------------------------------------------------------------------------- formats


def test_pose2sim(tmp_path):
    calibration = read_calibration([write(tmp_path, "Calib.toml", rig_toml())])
    assert names(calibration) == ["left", "middle", "right"]
    assert_is_the_rig(calibration)
    assert world_of(calibration).metres == 1
    assert world_of(calibration).up == "Z"


@pytest.mark.parametrize("freemocap", [False, True])
def test_anipose_and_freemocap_count_in_millimetres(tmp_path, freemocap):
    path = write(tmp_path, "calibration.toml", rig_toml(millimetres=True, freemocap=freemocap))
    calibration = read_calibration([path])
    assert_is_the_rig(calibration, scale=1000)
    assert world_of(calibration).metres == 0.001
    assert ("FreeMoCap" == calibration.label) == freemocap


@pytest.mark.parametrize("chosen", ["intri.yml", "extri.yml"])
def test_easymocap_by_either_file(tmp_path, chosen):
    write_easymocap(tmp_path)
    calibration = read_calibration([tmp_path / chosen])
    assert calibration.label == "EasyMocap"
    assert names(calibration) == ["left", "middle", "right"]
    assert_is_the_rig(calibration)


def test_easymocap_with_both_files_chosen_is_one_rig(tmp_path):
    write_easymocap(tmp_path)
    assert len(read_calibration([tmp_path / "extri.yml", tmp_path / "intri.yml"]).cameras) == 3


def test_easymocap_of_old_has_no_sizes(tmp_path):
    calibration = read_calibration([write_easymocap(tmp_path, sizes=False)])
    assert [camera.size for camera in calibration.cameras] == [None] * 3


def test_opencv_files_with_one_camera_each_are_one_rig(tmp_path):
    paths = [write(tmp_path, f"{sample.name}.yml", opencv_camera(sample)) for sample in RIG]
    calibration = read_calibration(paths)
    assert calibration.label == "OpenCV"
    assert names(calibration) == ["left", "middle", "right"]
    assert_is_the_rig(calibration)


@pytest.mark.parametrize("chosen", ["intrinsics.yml", "extrinsics.yml"])
def test_opencv_stereo_pair_in_two_files(tmp_path, chosen):
    first, second = RIG[0], RIG[1]
    write_opencv_pair(tmp_path, first, second)
    cameras = read_calibration([tmp_path / chosen]).cameras
    assert [camera.name for camera in cameras] == ["1", "2"]
    # The first camera is the world: move the points there.
    local = [list(first.rotation @ (vector(point) - vector(first.place))) for point in POINTS]
    for camera, sample in zip(cameras, (first, second), strict=True):
        np.testing.assert_allclose(pixels(camera, local), [sample.sees(point) for point in POINTS], atol=1e-3)


def vector(values):
    from mathutils import Vector

    return Vector(values)


def test_opencv_names_with_the_cameras_at_their_end(tmp_path):
    text = "%YAML:1.0\n"
    for sample in RIG:
        extrinsic = [[*row, t] for row, t in zip(sample.rotation, sample.translation, strict=True)]
        text += opencv_matrix(f"K_{sample.name}", sample.matrix, 3, 3)
        text += opencv_matrix(f"RT_{sample.name}", extrinsic, 3, 4)
        text += opencv_matrix(f"distCoeffs_{sample.name}", (sample.distortion + (0.0,) * 5)[:5], 1, 5)
        text += f"image_size_{sample.name}: [ {sample.size[0]}, {sample.size[1]} ]\n"
    assert_is_the_rig(read_calibration([write(tmp_path, "rig.yaml", text)]))


def test_opencv_mapping_for_each_camera(tmp_path):
    text = "cameras:\n"
    for sample in RIG:
        text += f"  - name: {sample.name}\n    width: {sample.size[0]}\n    height: {sample.size[1]}\n"
        text += f"    K: {sample.matrix}\n    dist: {list(sample.distortion)}\n"
        text += f"    rvec: {sample.vector}\n    tvec: {sample.translation}\n"
    calibration = read_calibration([write(tmp_path, "rig.yaml", text)])
    assert names(calibration) == ["left", "middle", "right"]
    assert_is_the_rig(calibration)


def test_single_opencv_camera_without_a_pose_is_the_origin(tmp_path):
    text = opencv_matrix("camera_matrix", RIG[0].matrix, 3, 3)
    (camera,) = read_calibration([write(tmp_path, "lens.yml", f"%YAML:1.0\n---\n{text}")]).cameras
    assert camera.name == "lens"
    np.testing.assert_array_equal(camera.centre, [0, 0, 0])


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("chosen", ["cameras", "images"])
def test_colmap(tmp_path, binary, chosen):
    path = write_colmap(tmp_path / "sparse", binary=binary)
    calibration = read_calibration([path.with_stem(chosen)])
    assert names(calibration) == ["frames/left", "frames/middle", "frames/right"]
    assert_is_the_rig(calibration)
    assert world_of(calibration).metres == 1


@pytest.mark.parametrize(
    ("line", "K", "distortion"),
    [
        ("SIMPLE_PINHOLE 640 480 500 320 240", (500, 500, 320, 240), ()),
        ("PINHOLE 640 480 500 510 320 240", (500, 510, 320, 240), ()),
        ("SIMPLE_RADIAL 640 480 500 320 240 0.1", (500, 500, 320, 240), (0.1, 0, 0, 0)),
        ("RADIAL 640 480 500 320 240 0.1 -0.2", (500, 500, 320, 240), (0.1, -0.2, 0, 0)),
        ("OPENCV 640 480 500 510 320 240 0.1 -0.2 3e-3 4e-3", (500, 510, 320, 240), (0.1, -0.2, 3e-3, 4e-3)),
        (
            "FULL_OPENCV 640 480 500 510 320 240 0.1 -0.2 3e-3 4e-3 5e-2 6e-2 7e-2 8e-2",
            (500, 510, 320, 240),
            (0.1, -0.2, 3e-3, 4e-3, 5e-2, 6e-2, 7e-2, 8e-2),
        ),
    ],
)
def test_colmap_lenses(tmp_path, line, K, distortion):
    write(tmp_path, "cameras.txt", f"1 {line}\n")
    write(tmp_path, "images.txt", "1 1 0 0 0 0 0 2 1 a b.png\n\n")
    (camera,) = read_calibration([tmp_path / "cameras.txt"]).cameras
    assert (camera.K[0, 0], camera.K[1, 1], *camera.K[:2, 2]) == K
    assert camera.distortion == distortion
    assert camera.picture == "a b.png"


def test_demo_calibration_reads_as_metres_with_z_up():
    calibration = read_calibration([SAMPLES / "calibration.toml"])
    world = world_of(calibration)
    assert (len(calibration.cameras), world.up, world.metres) == (4, "Z", 1)
    for camera in calibration.cameras:
        assert 2 < np.linalg.norm(camera.centre[:2]) < 5 and 1 < camera.centre[2] < 3


# --------------------------------------------------------------------------------------------------------- worlds


@pytest.mark.parametrize(("up", "axis"), [("Y", (0, 1, 0)), ("-Y", (0, -1, 0)), ("X", (1, 0, 0)), ("-Z", (0, 0, -1))])
def test_axis_that_points_up_becomes_z(tmp_path, up, axis):
    calibration = read_calibration([write(tmp_path, "c.toml", rig_toml())])
    camera = calibration.cameras[0]
    placed = world_of(calibration, up=up, metres=0.5).place(camera)
    np.testing.assert_allclose(np.linalg.norm(placed.centre), np.linalg.norm(camera.centre) / 2)
    assert placed.centre[2] == pytest.approx(camera.centre @ axis / 2)
    assert np.linalg.det(placed.R) == pytest.approx(1)


def test_up_is_told_by_the_cameras(tmp_path):
    """OpenCV's world often is its first camera's, where up is -Y."""
    write_opencv_pair(tmp_path, RIG[0], RIG[1])
    assert world_of(read_calibration([tmp_path / "intrinsics.yml"])).up == "-Y"


# ---------------------------------------------------------------------------------------------------------- wrong


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("matrix = [[610", "matrx = [[610"), r"c.toml, \[cam_left\] has no “matrix”"),
        (("rotation = [", "rotation = [1.0, "), r"\[cam_left\] rotation must hold 3 numbers, not 4"),
        (("rotation = [", 'rotation = ["a", '), r"\[cam_left\] rotation must hold numbers only"),
        (("fisheye = false", "fisheye = true"), r"\[cam_left\]: fisheye lenses are not supported"),
        (("[metadata]", "[metadata"), r"c.toml is no proper TOML: .*line"),
        (("[[610.0, 0.0", "[[-610.0, 0.0"), "no positive focal lengths"),
        (("[[610.0, 0.0", "[[610.0, 99.0"), "skewed pixels"),
        (('name = "middle"', 'name = "left"'), "2 cameras that are called “left”"),
        (("distortions = [-0.1", "distortions = [nan"), r"\[cam_left\] distortions must hold finite numbers"),
    ],
)
def test_wrong_toml_is_named_with_its_key_or_line(tmp_path, change, says):
    text = rig_toml()
    assert change[0] in text
    with pytest.raises(CalibrationError, match=says):
        read_calibration([write(tmp_path, "c.toml", text.replace(*change, 1))])


def test_toml_without_cameras(tmp_path):
    with pytest.raises(CalibrationError, match="c.toml has no camera"):
        read_calibration([write(tmp_path, "c.toml", "[metadata]\nerror = 0.0\n")])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("K_left", "K_lost"), "camera “left” has no K_left"),
        (("   cols: 3", "   cols: 4"), "K_left has 9 numbers, but 3 rows and 4 columns"),
        (("data: [ 6", "data: [ x6"), "K_left must hold numbers only"),
        (("   dt: d", "   dt"), r"intri.yml, line 10: “dt” is no “key: value” entry"),
        (("---\n", "---\n\tK: 1\n"), "line 3: tabs cannot indent"),
        (("1.0000000000000000e+00 ]", "1.0000000000000000e+00"), "a bracket is never closed"),
        (("data: [ 6.1000000000000000e+02,", "data: [ 6.1000000000000000e+02 [ 1 ],"), "line 11: .* misses a comma"),
    ],
)
def test_wrong_yaml_is_named_with_its_key_or_line(tmp_path, change, says):
    path = write_easymocap(tmp_path)
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(CalibrationError, match=says):
        read_calibration([path])


def test_half_of_easymocap(tmp_path):
    path = write_easymocap(tmp_path)
    (tmp_path / "extri.yml").unlink()
    with pytest.raises(CalibrationError, match="the other is not beside it"):
        read_calibration([path])


def test_mirrored_rotation(tmp_path):
    text = opencv_camera(RIG[0]).replace("rvec", "unused")
    text += opencv_matrix("R", np.diag([1.0, 1.0, -1.0]), 3, 3)
    with pytest.raises(CalibrationError, match="camera “c”: the rotation is no rotation matrix"):
        read_calibration([write(tmp_path, "c.yml", text)])


def test_several_opencv_cameras_need_poses(tmp_path):
    text = opencv_matrix("K1", RIG[0].matrix, 3, 3) + opencv_matrix("K2", RIG[1].matrix, 3, 3)
    with pytest.raises(CalibrationError, match="camera “1” has no pose"):
        read_calibration([write(tmp_path, "c.yml", text)])


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("cameras.txt", ("OPENCV", "OPENCV_FISHEYE"), "line 3: the camera model OPENCV_FISHEYE is not supported"),
        ("cameras.txt", ("OPENCV", "PINHOLE"), "line 3: PINHOLE has 4 parameters, not 8"),
        ("cameras.txt", ("OPENCV", "MAGIC"), "line 3: “MAGIC” is no camera model"),
        ("cameras.txt", ("640 480", "640 x"), "line 3: invalid literal"),
        ("cameras.txt", ("7 OPENCV", "70 OPENCV"), "image “frames/left.jpg” was taken by camera 7"),
        ("images.txt", (" frames/left.jpg", ""), "images.txt, line 2: an image is IMAGE_ID"),
    ],
)
def test_wrong_colmap_text(tmp_path, file, change, says):
    path = write_colmap(tmp_path, binary=False).with_name(file)
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(CalibrationError, match=says):
        read_calibration([path])


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin"])
def test_truncated_colmap_binary(tmp_path, file):
    path = write_colmap(tmp_path, binary=True).with_name(file)
    path.write_bytes(path.read_bytes()[:70])
    with pytest.raises(CalibrationError, match=f"{file} ends too early"):
        read_calibration([path])


def test_colmap_needs_both_files(tmp_path):
    path = write_colmap(tmp_path, binary=True)
    (tmp_path / "images.bin").unlink()
    with pytest.raises(CalibrationError, match="images.bin is not beside cameras.bin"):
        read_calibration([path])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"shopping list: milk", "a.txt is none of these: Pose2Sim"),
        ("a.bin", b"\xff\xfe\x00\x01", "a.bin is no text, so none of these"),
        ("a.yml", b"", "a.yml is empty"),
        ("a.yml", b"%YAML:1.0\n---\n", "a.yml is empty"),
        ("a.yml", b"milk: 2\n", "a.yml has no camera matrix"),
        ("a.yml", b"- milk\n- bread\n", "does not consist of “key: value” entries"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CalibrationError, match=says):
        read_calibration([tmp_path / name])


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path, seed):
    rng = np.random.default_rng(seed)
    paths = [write(tmp_path, "c.toml", rig_toml()), write_easymocap(tmp_path), tmp_path / "extri.yml"]
    paths += [write(tmp_path, "left.yml", opencv_camera(RIG[0]))]
    for binary in (False, True):
        path = write_colmap(tmp_path / str(binary), binary=binary)
        paths += [path, path.with_stem("images")]
    for path in paths:
        whole = path.read_bytes()
        for _ in range(10):
            damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
            for place in rng.integers(0, len(damaged), rng.integers(1, 6)):
                damaged[place] = rng.choice([0, 9, 10, 32, 34, 35, 45, 46, 48, 57, 58, 91, 93, 123, 125, 255])
            path.write_bytes(damaged)
            try:
                world_of(read_calibration([path]))
            except CalibrationError as error:
                assert str(error).endswith((".", "?")) and "\n" not in str(error)
        path.write_bytes(whole)


def test_absent_file(tmp_path):
    with pytest.raises(CalibrationError, match="There is no file"):
        read_calibration([tmp_path / "gone.toml"])


# ----------------------------------------------------------------------------------------------------------- yaml


def test_yaml_keeps_scalars_as_they_are_written():
    text = "%YAML:1.0\n---\nnames:\n- \"01\" # first\n- 02\nbox: { a: 1, b: [ 1., 2 ],\n  c: 'x, y' }\nlast: -.5\n"
    assert parse_yaml(Path("a.yml"), text) == {
        "names": ["01", "02"],
        "box": {"a": "1", "b": ["1.", "2"], "c": "x, y"},
        "last": "-.5",
    }


# ------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (["left.png", "middle.png"], "left.png"),
        (["videos/left.mp4", "unrelated/left_board.png"], "videos/left.mp4"),
        (["../videos/LEFT.MP4"], "../videos/LEFT.MP4"),
        (["left.mp4", "left.jpg"], "left.jpg"),
        (["trial_left_01.avi", "leftover.png"], "trial_left_01.avi"),
        (["a_left.png", "b_left.png"], None),
        (["images/left/000000.jpg", "images/left/000001.jpg"], "images/left/000000.jpg"),
        (["left/000003.jpg", "left/000004.jpg"], "left/000003.jpg"),
        (["../holiday/left.png"], None),
        (["notes.txt"], None),
    ],
)
def test_pictures_are_found_by_the_cameras_names(tmp_path, files, left):
    folder = tmp_path / "project" / "calibration"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    calibration = read_calibration([write(folder, "Calib.toml", rig_toml())])
    found = find_pictures(calibration.cameras, folder / "Calib.toml")[0]
    assert (found and found.path.resolve()) == (left and (folder / left).resolve())
    if left and "0000" in left:
        assert found.kind == "sequence"


def test_pose2sims_names_of_intrinsic_folders(tmp_path):
    calibration = read_calibration([write(tmp_path, "c.toml", rig_toml().replace('"left"', '"int_left_img"'))])
    (tmp_path / "left.mp4").touch()
    assert find_pictures(calibration.cameras, tmp_path / "c.toml")[0].path == tmp_path / "left.mp4"


def test_colmap_names_its_pictures(tmp_path):
    path = write_colmap(tmp_path / "sparse" / "0", binary=False)
    wanted = tmp_path / "images" / "frames" / "left.jpg"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    found = find_pictures(read_calibration([path]).cameras, path)
    assert [picture and picture.path for picture in found] == [wanted, None, None]


def test_pictures_of_a_chosen_folder_only(tmp_path):
    (tmp_path / "left.png").touch()
    (tmp_path / "other").mkdir()
    calibration = read_calibration([write(tmp_path, "c.toml", rig_toml())])
    assert find_pictures(calibration.cameras, tmp_path / "c.toml", tmp_path / "other")[0] is None
