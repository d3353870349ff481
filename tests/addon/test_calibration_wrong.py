# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with wrong calibration files is named; whatever bytes a file has, there is an answer, and soon."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from calibration_damage import damaged
from calibration_samples import (
    RIG,
    nerfstudio_frames,
    opencv_camera,
    opencv_json,
    opencv_matrix,
    opencv_xml,
    rig_toml,
    write_colmap,
    write_easymocap,
)

from refit_blender.calibration import find_pictures, read_calibration, world_of, yaml_tree
from refit_blender.errors import CalibrationError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


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
        (("   dt: d", "   dt"), r"intri.yml, line 11 is no proper YAML"),
        (("---\n", "---\n\tK: 1\n"), r"line 3 is no proper YAML: found character .* that cannot start any token"),
        (
            ("1.0000000000000000e+00 ]", "1.0000000000000000e+00"),
            r"intri.yml, line 14 is no proper YAML: expected ',' or ']'",
        ),
        (
            ("data: [ 6.1000000000000000e+02,", "data: [ 6.1000000000000000e+02 [ 1 ],"),
            r"intri.yml, line 11 is no proper YAML: expected ',' or ']'",
        ),
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
        ("cameras.txt", ("OPENCV", "PINHOLE"), "line 3: PINHOLE has 4 parameters, not 8"),
        ("cameras.txt", ("OPENCV", "MAGIC"), "line 3: “MAGIC” is no camera model"),
        ("cameras.txt", ("640 480", "640 x"), "line 3: “x” is no whole number"),
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


def test_colmap_images_of_fisheye_lenses(tmp_path):
    path = write_colmap(tmp_path, binary=False)
    path.write_text(path.read_text().replace("OPENCV", "OPENCV_FISHEYE"))
    calibration = read_calibration([path])
    assert [camera.name for camera in calibration.cameras] == ["frames/middle", "frames/right"]
    assert calibration.remarks == ("1 of 3 images were left out: their lens model is OPENCV_FISHEYE.",)
    write_colmap(tmp_path, RIG[:1], binary=False)
    path.write_text(path.read_text().replace("OPENCV", "OPENCV_FISHEYE"))
    with pytest.raises(CalibrationError, match="line 3: the camera model OPENCV_FISHEYE is not supported"):
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
        ("a.bin", b"\xff\xfe\x00\x01", "a.bin is none of these: Pose2Sim"),
        ("a.bin", b"\x89PNG\r\n\x1a\n\x00", "a.bin is no text"),
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


def test_absent_file(tmp_path):
    with pytest.raises(CalibrationError, match="There is no file"):
        read_calibration([tmp_path / "gone.toml"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": "[3000000000, 2000000000]"}, "more than 65536 pixels"),
        ({"size": f"[1{'0' * 400}, 480]"}, "size must hold numbers only"),
        ({"size": f"[{'9' * 5000}, 480]"}, "too many digits"),
        ({"size": "[0, 480]"}, "is no size"),
        ({"a": "[" * 100_000}, "nested too deeply"),
        ({"name": '"a\\u0000"'}, "name is empty or has characters"),
        ({"name": '""'}, "name is empty"),
        ({"matrix": "[[500, 0, 320], [0, 500, 240], [0, 0, 1e-320]]"}, "not finite, or far too large"),
        ({"matrix": "[[500, 0, 320], [0, 5e6, 240], [0, 0, 1]]"}, "do not belong to one lens"),
        ({"translation": "[1e308, 1e308, 1e308]"}, "not finite, or far too large"),
        ({"rotation": "[1e300, 1e300, 0]"}, "no rotation matrix"),
        ({"matrix": "2024-01-01"}, "matrix must hold numbers only"),
        ({"distortion_model": '"double_sphere"'}, "omnidirectional lenses are not supported"),
        ({".".join("a" * 100_000): "1"}, "keys of more than 20 parts"),
    ],
)
def test_numbers_and_names_beyond_all_bounds(tmp_path, changes, says):
    camera = {
        "name": '"c"',
        "size": "[640, 480]",
        "matrix": "[[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]]",
        "rotation": "[0, 0, 0]",
        "translation": "[0, 0, 5]",
    }
    text = "[c]\n" + "".join(f"{key} = {value}\n" for key, value in (camera | changes).items())
    with pytest.raises(CalibrationError, match=says):
        read_calibration([write(tmp_path, "c.toml", text)])


@pytest.mark.parametrize("name", ["/", ".", "..", "a\0b", "images/"])
def test_images_without_a_name(tmp_path, name):
    write(tmp_path, "cameras.txt", "1 PINHOLE 640 480 500 500 320 240\n")
    with pytest.raises(CalibrationError, match="name"):
        read_calibration([write(tmp_path, "images.txt", f"1 1 0 0 0 0 0 5 1 {name}\n\n")])


def test_more_cameras_than_a_rig_has(tmp_path):
    path = write_colmap(tmp_path, binary=True).with_stem("images")
    path.write_bytes(b"\xff" * 7 + b"\0" + path.read_bytes()[8:])
    with pytest.raises(CalibrationError, match="more than 2000 images"):
        read_calibration([path])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "[" * 1000, "nested too deeply"),
        ("".join(" " * depth + "a:\n" for depth in range(500)), "nested too deeply"),
        ("- " * 1000, "nested too deeply"),
        ("a: &a [1, 1]\nb: [*c]\n", "line 2: “\\*c” stands for nothing"),
        ("a: &a [*a]\n", "line 1: “\\*a” stands for nothing"),
        ("a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 12)), "entries"),
        ("a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 40)), "nested too deeply"),
        ("K: [" + "a, " * 2000 + "]", "more than 1000 entries"),
        ("K: " + "[1, 2" * 10, "is no proper YAML"),
        ("{[1]: 2}", "a list or mapping cannot be a key"),
        ("a: 'b", "c.yml, line 1 is no proper YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "has no camera matrix"),
        ("camera_matrix: !!python/object/apply:numpy.array\n- 1\n", "has no camera matrix"),
        ("camera_matrix: [!!python/object/apply:numpy.float64 [1]]\n", "Python object: save matrix.tolist"),
        ("a: \a", "c.yml is no proper YAML"),
        ("#" + "x" * 2_000_000, "too large"),
    ],
)
def test_yaml_that_would_cost_too_much_or_is_damaged(tmp_path, monkeypatch, text, says):
    monkeypatch.setattr(yaml_tree, "_MAX_ENTRIES", 1000)
    with pytest.raises(CalibrationError, match=says):
        read_calibration([write(tmp_path, "c.yml", text)])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.json", "[" * 100_000, "nested too deeply"),
        ("c.json", '{"K": [1, 2}', "line 1 is no proper JSON"),
        ("c.json", json.dumps({"K": [[1e400] * 9]}), "finite"),
        ("c.json", '{"K": [null, 1, 1, 1, 1, 1, 1, 1, 1]}', "numbers only"),
        ("c.json", "[1, 2]", "no camera matrix"),
        ("c.xml", "<a>" * 5000 + "</a>" * 5000, "nested too deeply"),
        ("c.xml", "<opencv_storage><K>1", "line 1 is no proper XML"),
        ("c.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entities"),
        ("c.xml", "<a>b</a>", "no calibration"),
    ],
)
def test_damaged_json_and_xml(tmp_path, name, text, says):
    with pytest.raises(CalibrationError, match=says):
        read_calibration([write(tmp_path, name, text)])


def test_special_files_are_not_opened(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "c.toml")
    with pytest.raises(CalibrationError, match="no regular file"):
        read_calibration([tmp_path / "c.toml"])
    write_colmap(tmp_path, binary=False)
    (tmp_path / "images.txt").unlink()
    os.mkfifo(tmp_path / "images.txt")
    with pytest.raises(CalibrationError, match="images.txt is not beside"):
        read_calibration([tmp_path / "cameras.txt"])


@pytest.mark.parametrize(
    "kind",
    [
        "toml",
        "intri",
        "extri",
        "opencv",
        "json",
        "xml",
        "frames",
        "cameras.txt",
        "images.txt",
        "cameras.bin",
        "images.bin",
    ],
)
def test_damaged_files_are_read_or_refused_with_a_sentence(tmp_path, kind):
    write_easymocap(tmp_path, RIG[:1])
    path = {
        "toml": lambda: write(tmp_path, "c.toml", rig_toml()),
        "intri": lambda: tmp_path / "intri.yml",
        "extri": lambda: tmp_path / "extri.yml",
        "opencv": lambda: write(tmp_path, "left.yml", opencv_camera(RIG[0])),
        "json": lambda: write(tmp_path, "left.json", opencv_json(RIG[0])),
        "xml": lambda: write(tmp_path, "left.xml", opencv_xml(RIG[0])),
        "frames": lambda: write(tmp_path, "transforms.json", json.dumps(nerfstudio_frames(), indent=4)),
    }.get(kind, lambda: write_colmap(tmp_path, binary=kind.endswith("bin")).with_name(kind))()
    rng = np.random.default_rng(sum(kind.encode()))
    whole = path.read_bytes()
    read = 0
    for _ in range(200):
        path.write_bytes(damaged(whole, rng, binary=path.suffix == ".bin"))
        try:
            calibration = read_calibration([path])
        except CalibrationError as error:
            assert str(error).endswith((".", "?")) and "\n" not in str(error) and len(str(error)) < 400
            continue
        read += 1
        assert np.isfinite(world_of(calibration).metres)
        assert all(np.isfinite(part).all() for camera in calibration.cameras for part in (camera.K, camera.R, camera.t))
        find_pictures(calibration.cameras, path)
    assert 0 < read < 200
