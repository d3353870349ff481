# SPDX-License-Identifier: GPL-3.0-or-later
"""Result files: what is written is read, nothing is pickled, damage is named."""

import dataclasses
import os

import numpy as np
import pytest
from refit_engine.results import ImageResult, ResultFileError, read_result, write_result


def result(people=2, vertices=7):
    rng = np.random.default_rng(0)
    return ImageResult(
        image="/photos/Übung.jpg",
        image_size=np.array([640, 480]),
        K=np.array([[600.123456789, 0, 320], [0, 600, 240], [0, 0, 1]]),
        focal_source="exif",
        boxes_xywh=rng.normal(size=(people, 4)),
        scores=rng.uniform(size=people),
        betas=rng.normal(size=(people, 10)),
        rotmats=rng.normal(size=(people, 24, 3, 3)),
        transl=rng.normal(size=(people, 3)),
        joints_cam=rng.normal(size=(people, 24, 3)),
        joints2d=rng.normal(size=(people, 24, 2)),
        vertices_cam=rng.normal(size=(people, vertices, 3)).astype(np.float32),
        joint_std_mm=rng.uniform(size=(people, 24)),
        guessed=rng.random((people, 24)) < 0.5,
        joint_std_deg=np.full((people, 24), np.nan),
        confidence="calibrated",
        up_cam=np.array([0.123456789, -0.9, 0.4]),
        up_source="lines",
        up_std_deg=1.5,
        up_sure=True,
        camera_height=1.25,
        on_floor=np.arange(people) % 2 == 0,
        joint_names=("pelvis", "left_hip"),
        body_name="bundled",
        body_kind="bundled",
        body_file="/data/body.npz",
        weights_name="refit_compact",
        iterations=5,
    )


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "result.npz"
    write_result(path, result())
    back = read_result(path)
    for field in dataclasses.fields(ImageResult):
        before, after = getattr(result(), field.name), getattr(back, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_allclose(after, before, rtol=1e-6)
        else:
            assert after == before
    assert back.people == 2
    np.testing.assert_array_equal(back.K, result().K)


def test_file_holds_plain_arrays_and_its_format(tmp_path):
    write_result(tmp_path / "result.npz", result())
    with np.load(tmp_path / "result.npz", allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    assert str(arrays["format"]) == "refit-result" and int(arrays["version"]) == 3
    assert all(array.dtype != object for array in arrays.values())
    assert arrays["vertices_cam"].dtype == np.float32


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_damaged_file_is_named(tmp_path, size):
    path = tmp_path / "result.npz"
    write_result(path, result())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ResultFileError, match="result.npz"):
        read_result(path)


def test_foreign_or_missing_file_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", format=np.array("something"), version=np.array(1))
    np.savez(tmp_path / "pickle.npz", format=np.array({"a": 1}, dtype=object))
    for name in ("other.npz", "pickle.npz", "missing.npz"):
        with pytest.raises(ResultFileError, match=name):
            read_result(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "result.npz")
    with pytest.raises(OSError, match="regular file"):
        write_result(tmp_path / "result.npz", result())
    assert (tmp_path / "result.npz").is_fifo()


def test_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="space"):
        write_result(tmp_path / "result.npz", result())
    assert os.listdir(tmp_path) == []
