# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration files of every format, read without Blender's data."""

import struct
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

from refit_blender.calibration import read_calibration, world_of

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


def test_opencv_files_of_one_name_are_called_after_their_folders(tmp_path):
    paths = []
    for sample in RIG:
        (tmp_path / sample.name).mkdir()
        paths.append(write(tmp_path / sample.name, "calibration.yml", opencv_camera(sample)))
    calibration = read_calibration(paths)
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


def test_colmap_text_without_lines_of_points(tmp_path):
    write_colmap(tmp_path, binary=False)
    lines = [line for line in (tmp_path / "images.txt").read_text().split("\n") if "frames" in line]
    assert_is_the_rig(read_calibration([write(tmp_path, "images.txt", "\n".join(lines)).with_name("cameras.txt")]))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_colmap_text_from_windows(tmp_path, encoding):
    path = write_colmap(tmp_path, binary=False)
    for file in (path, path.with_stem("images")):
        file.write_bytes(file.read_text().replace("\n", "\r\n").encode(encoding))
    assert_is_the_rig(read_calibration([path]))


def test_colmap_images_that_differ_in_their_suffixes_only(tmp_path):
    path = write_colmap(tmp_path, binary=False).with_name("images.txt")
    path.write_text(path.read_text().replace("middle.jpg", "left.png"))
    calibration = read_calibration([path])
    assert names(calibration) == ["frames/left.jpg", "frames/left.png", "frames/right"]
    assert [camera.picture for camera in calibration.cameras][:2] == ["frames/left.jpg", "frames/left.png"]


@pytest.mark.parametrize("binary", [False, True])
def test_colmap_lens_that_no_image_uses(tmp_path, binary):
    path = write_colmap(tmp_path, binary=binary)
    if binary:
        content = bytearray(path.read_bytes())
        content[0] += 1
        path.write_bytes(content + struct.pack("<iiQQ16d", 99, 11, 640, 480, *range(1, 17)))
    else:
        path.write_text(path.read_text() + "99 OPENCV_FISHEYE 640 480 400 400 320 240 0.1 0 0 0\n")
    calibration = read_calibration([path])
    assert_is_the_rig(calibration)
    assert not calibration.remarks


def test_newer_colmap_writes_rigs_and_frames(tmp_path):
    path = write_colmap(tmp_path, binary=True)
    for name in ("rigs.bin", "frames.bin"):
        (tmp_path / name).write_bytes(struct.pack("<Q", 0))
        assert_is_the_rig(read_calibration([tmp_path / name, path]))
