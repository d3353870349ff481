# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrations in OpenCV's words as OpenCV, ROS, Kalibr and Python programs write them: YAML, JSON and XML."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from calibration_samples import (
    RIG,
    nerfstudio_frames,
    opencv_camera,
    opencv_json,
    opencv_matrix,
    opencv_xml,
    rig_toml,
    write_easymocap,
)
from test_calibration_files import assert_is_the_rig, names, write

from refit_blender.calibration import read_calibration
from refit_blender.calibration.yaml_tree import parse_yaml
from refit_blender.errors import CalibrationError

MATRIX = "[[500.0, 0.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]]"


def only_camera(folder: Path, text: str, name: str = "c.yml"):
    (camera,) = read_calibration([write(folder, name, text)]).cameras
    return camera


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_opencvs_other_formats(tmp_path, suffix):
    text = {"json": opencv_json, "xml": opencv_xml}[suffix]
    calibration = read_calibration([write(tmp_path, f"{sample.name}.{suffix}", text(sample)) for sample in RIG])
    assert names(calibration) == ["left", "middle", "right"]
    assert_is_the_rig(calibration)


def test_sample_program_of_opencv_adds_extrinsics_and_corners(tmp_path):
    text = opencv_camera(RIG[0]) + opencv_matrix("extrinsic_parameters", np.ones((2, 6)), 2, 6)
    text += opencv_matrix("image_points", np.random.default_rng(0).random(50_000), 1, 50_000)
    calibration = read_calibration([write(tmp_path, "left.yml", text)])
    assert_is_the_rig(calibration, rig=RIG[:1])


def test_opencv_5_appends_documents(tmp_path):
    text = "%YAML 1.2\n---\n" + opencv_matrix("camera_matrix", RIG[0].matrix, 3, 3)
    text += "...\n---\n" + opencv_matrix("dist_coeffs", [0.1, 0.2, 0, 0, 0], 1, 5)
    assert only_camera(tmp_path, text).distortion == (0.1, 0.2, 0, 0)


def test_deviations_beside_the_matrix_are_no_cameras(tmp_path):
    text = opencv_camera(RIG[0]) + opencv_matrix("camera_matrix_std", np.ones((3, 3)), 3, 3)
    assert_is_the_rig(read_calibration([write(tmp_path, "left.yml", text)]), rig=RIG[:1])


def test_lists_in_lists_as_pyyaml_writes_them(tmp_path):
    text = (
        "camera_matrix:\n- - 1000.0\n  - 0.0\n  - 640.0\n- - 0.0\n  - 1000.0\n  - 360.0\n- - 0.0\n  - 0.0\n  - 1.0\n"
        "dist_coeffs: &id001\n- - -0.1\n  - 0.05\n  - 0.0\n  - 0.0\n  - 0.0\nagain: *id001\n"
        "rms: !!python/object/apply:n.f\n- 1\nimage_size: !!python/tuple\n- 1280\n- 720\n"
        "note: a long text that\n  goes on\n"
        "rvec:\n- - 0.0\n- - 0.0\n- - 0.0\ntvec:\n- - 0.0\n- - 0.0\n- - 3.0\n"
    )
    camera = only_camera(tmp_path, text)
    assert (camera.K[0, 2], camera.size, camera.t.tolist()) == (640.5, (1280, 720), [0, 0, 3])
    assert camera.distortion == (-0.1, 0.05, 0, 0)


def test_ros_file_of_camera_calibration(tmp_path):
    text = (
        "image_width: 640\nimage_height: 480\ncamera_name: head\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
        "  data: [438.78, 0, 305.59, 0, 437.35, 243.73, 0, 0, 1]\ndistortion_model: plumb_bob\n"
        "distortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [-0.36, 0.11, 0.001, 0.0005, 0.02]\n"
        "rectification_matrix:\n  rows: 3\n  cols: 3\n  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n"
        "projection_matrix:\n  rows: 3\n  cols: 4\n  data: [393, 0, 307, 0, 0, 412, 247, 0, 0, 0, 1, 0]\n"
    )
    camera = only_camera(tmp_path, text)
    assert (camera.name, camera.size, camera.K[0, 0], camera.K[0, 2]) == ("head", (640, 480), 438.78, 306.09)
    assert camera.distortion == (-0.36, 0.11, 0.001, 0.0005, 0.02)


def test_ros_message_as_it_is_printed(tmp_path):
    text = (
        "header:\n  seq: 1\n  frame_id: cam\nheight: 480\nwidth: 640\ndistortion_model: rational_polynomial\n"
        "D: [0.1, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5, 0.6]\nK: [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]\n"
        "R: [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0]\nP: [5.0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1, 0]\n"
        "roi:\n  height: 0\n  width: 0\n---\n"
    )
    camera = only_camera(tmp_path, text)
    assert (camera.size, camera.distortion) == ((640, 480), (0.1, 0.2, 0, 0, 0.3, 0.4, 0.5, 0.6))
    np.testing.assert_array_equal(camera.R, np.eye(3))


def test_kalibr_chains_its_cameras(tmp_path):
    lens = "  camera_model: pinhole\n  distortion_model: {}\n  distortion_coeffs: [0.1, 0.2, 0.01, 0.02]\n"
    lens += "  intrinsics: [500.0, 510.0, 320.0, 240.0]\n  resolution: [640, 480]\n  rostopic: /cam/image\n"
    step = "  T_cn_cnm1:\n  - [0.0, 0.0, 1.0, 0.5]\n  - [0.0, 1.0, 0.0, 0.0]\n  - [-1, 0, 0, 0]\n  - [0, 0, 0, 1]\n"
    text = "cam0:\n  cam_overlaps: [1]\n" + lens + "cam1:\n" + step + lens + "cam2:\n" + step + lens
    cameras = read_calibration([write(tmp_path, "camchain.yaml", text.format(*["radtan"] * 3))]).cameras
    assert [camera.name for camera in cameras] == ["cam0", "cam1", "cam2"]
    assert cameras[0].K.tolist() == [[500, 0, 320.5], [0, 510, 240.5], [0, 0, 1]]
    np.testing.assert_allclose(cameras[0].t, 0, atol=1e-12)
    np.testing.assert_allclose(cameras[1].t, [0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(cameras[2].R, np.diag([-1.0, 1, -1]), atol=1e-12)
    np.testing.assert_allclose(cameras[2].t, [0.5, 0, -0.5], atol=1e-12)
    with pytest.raises(CalibrationError, match="camera “cam1”: fisheye"):
        read_calibration([write(tmp_path, "camchain.yaml", text.format("radtan", "equi", "radtan"))])


def test_nerfstudio(tmp_path):
    content = nerfstudio_frames()
    frames = content["frames"]
    calibration = read_calibration([write(tmp_path, "transforms.json", json.dumps(content))])
    assert names(calibration) == ["images/left", "images/middle", "images/right"]
    assert_is_the_rig(calibration)
    assert not calibration.metric
    for change, says in (
        ({"camera_model": "OPENCV_FISHEYE"}, "fisheye lenses"),
        ({"frames": [{"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}]}, "frame 0 “a.png” has no focal"),
        ({"frames": [{"transform_matrix": np.eye(4).tolist()}]}, "frame 0 has no file_path"),
        ({"frames": [frames[0] | {"transform_matrix": [1]}]}, "transform_matrix must hold 16 numbers"),
    ):
        with pytest.raises(CalibrationError, match=says):
            read_calibration([write(tmp_path, "transforms.json", json.dumps(content | change))])


def test_numbers_one_by_one_in_nested_json(tmp_path):
    text = (
        '[{"id": 7, "name": "a", "intrinsics": {"fx": 500, "fy": 510, "cx": 320, "cy": 240, "k1": 0.1},'
        ' "extrinsics": {"R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t": [0, 0, 3]}, "resolution": [640, 480]}]'
    )
    camera = only_camera(tmp_path, text, "rig.json")
    assert (camera.name, camera.size, camera.distortion) == ("a", (640, 480), (0.1, 0, 0, 0))
    assert camera.K.tolist() == [[500, 0, 320.5], [0, 510, 240.5], [0, 0, 1]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("fisheye_model: 1", "fisheye"),
        ("fisheye: true", "fisheye"),
        ("distortion_model: equidistant", "fisheye"),
        ("distortion_model: equi", "fisheye"),
        ("distortion_model: fisheye", "fisheye"),
        ("distortion_model: thin_prism_fisheye", "fisheye"),
        ("camera_model: KANNALA_BRANDT", "fisheye"),
        ("type: KannalaBrandt8", "fisheye"),
        ("model_type: MEI", "omnidirectional"),
        ("camera_model: omni", "omnidirectional"),
        ("camera_model: ds", "omnidirectional"),
        ("xi: 1.2", "omnidirectional"),
        ("distortion_model: magic", "“magic” is not known"),
    ],
)
def test_lenses_that_are_no_pinholes_are_refused(tmp_path, line, says):
    text = f"camera_matrix: {MATRIX}\ndist_coeffs: [0.1, 0.2, 0.3, 0.4]\n"
    camera = only_camera(tmp_path, text + "fisheye_model: 0\nxi: 0\ncamera_model: Basler acA1300\n")
    assert camera.distortion == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(CalibrationError, match=says):
        only_camera(tmp_path, text + line + "\n")


@pytest.mark.parametrize("count", [8, 12, 14])
def test_coefficients_that_are_zero_do_not_count(tmp_path, count):
    values = [0.1, 0.2, 0.01, 0.02, 0.3, 0.4, 0.5, 0.6] + [0.0] * (count - 8)
    assert only_camera(tmp_path, f"K: {MATRIX}\nD: {values}\n").distortion == tuple(values[:8])
    if count > 8:
        with pytest.raises(CalibrationError, match="thin prism and tilted sensor"):
            only_camera(tmp_path, f"K: {MATRIX}\nD: {values[:-1] + [0.1]}\n")


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("image_width: 640\nimage_height: 480", (640, 480)),
        ("image_size: [640, 480]", (640, 480)),
        ("image_size: [480, 640]", (640, 480)),
        ("image_shape: [480, 640, 3]", (640, 480)),
        ("image_width: 0\nimage_height: 0", None),
        ("image_width: -1\nimage_height: -1", None),
        ("note: none", None),
    ],
)
def test_sizes(tmp_path, line, size):
    assert only_camera(tmp_path, f"K: {MATRIX}\n{line}\n").size == size


def test_easymocap_writes_zero_for_sizes_that_it_does_not_know(tmp_path):
    path = write_easymocap(tmp_path)
    path.write_text(re.sub(r"^([HW]_\w+): \d+$", r"\1: 0", path.read_text(), flags=re.MULTILINE))
    assert "H_left: 0" in path.read_text()
    assert [camera.size for camera in read_calibration([path]).cameras] == [None] * 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_of_editors(tmp_path, encoding, line_end):
    text = opencv_camera(RIG[0]).replace("a comment", "März").replace("\n", line_end)
    (tmp_path / "left.yml").write_bytes(text.encode(encoding))
    assert_is_the_rig(read_calibration([tmp_path / "left.yml"]), rig=RIG[:1])
    toml = rig_toml().replace("\n", line_end if line_end != "\r" else "\n")
    (tmp_path / "c.toml").write_bytes(toml.encode(encoding))
    assert_is_the_rig(read_calibration([tmp_path / "c.toml"]))


def test_caliscope_has_its_tables_one_level_deeper(tmp_path):
    text = rig_toml().replace("[cam_", "[cameras.").replace("[metadata]", "[charuco]\ncolumns = 4\n[metadata]")
    text = "\n".join(line for line in text.split("\n") if not line.startswith("name"))
    calibration = read_calibration([write(tmp_path, "camera_array.toml", text)])
    assert (names(calibration), calibration.label) == (["left", "middle", "right"], "Caliscope")
    assert_is_the_rig(calibration)


def test_yaml_keeps_scalars_as_they_are_written():
    text = "%YAML:1.0\n---\nnames:\n- \"01\" # first\n- 02\nbox: { a: 1, b: [ 1., 2 ],\n  c: 'x, y' }\nlast: -.5\n"
    assert parse_yaml(Path("a.yml"), text) == {
        "names": ["01", "02"],
        "box": {"a": "1", "b": ["1.", "2"], "c": "x, y"},
        "last": "-.5",
    }
