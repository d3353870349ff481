# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and messages from anywhere: readers end in their own error class, quickly and in little memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from engine_doubles import street, view_call
from refit_engine import protocol
from refit_engine.body.loading import load_body
from refit_engine.body.smpl_pickle import read_smpl_pickle
from refit_engine.errors import BodyFileError, DeviceError, RefitError, ViewsError, WeightsFileError
from refit_engine.evaluate import DatasetError, multiview_predictions, read_dataset
from refit_engine.fitting import FitOptions, Models, ViewRequest
from refit_engine.fitting.confidence_model import BUNDLED_CALIBRATION, read_calibration
from refit_engine.fitting.job import FitJob
from refit_engine.images import write_image
from refit_engine.job_params import read_views, reconstruct_params
from refit_engine.multiview_results import MultiViewResult, read_multiview_result, write_multiview_result
from refit_engine.network import checkpoint
from refit_engine.protocol import ProtocolError
from refit_engine.results import ImageResult, ResultFileError, read_result, write_result
from scipy import sparse

from tests.damage import damaged, damaged_json, damaged_npz, limited_memory

JOINTS = 24


@pytest.fixture(autouse=True)
def little_memory():
    with limited_memory():
        yield


def survives(contents, path: Path, read, error: type[Exception]) -> int:
    """How many of the contents `read` refuses; all others it reads."""
    refused = 0
    for number, content in enumerate(contents):
        path.write_bytes(content)
        try:
            read(path)
        except error as caught:
            refused += 1
            sentence = str(caught)
            assert sentence and "\n" not in sentence.replace("\\n", ""), (number, sentence)
    return refused


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def result(tmp_path) -> Path:
    """A result of one person with a body of five vertices."""
    zeros = np.zeros
    write_result(
        tmp_path / "result.npz",
        ImageResult(
            image="/photo.png", image_size=np.array([640, 480]), K=np.diag([500.0, 500, 1]), focal_source="default",
            boxes_xywh=zeros((1, 4)), scores=np.ones(1), betas=zeros((1, 10)), rotmats=np.tile(np.eye(3), (1, JOINTS, 1, 1)),
            transl=zeros((1, 3)), joints_cam=zeros((1, JOINTS, 3)), joints2d=zeros((1, JOINTS, 2)),
            vertices_cam=zeros((1, 5, 3)), joint_std_mm=zeros((1, JOINTS)), joint_std_deg=zeros((1, JOINTS)),
            guessed=np.zeros((1, JOINTS), dtype=bool),
            confidence="calibrated", up_cam=np.array([0.0, -1, 0]), up_source="level", up_std_deg=20.0, up_sure=False,
            camera_height=1.0, on_floor=np.array([True]), joint_names=("pelvis",), body_name="body", body_kind="bundled",
            body_file="/body.npz", weights_name="weights", iterations=5,
        ),
    )  # fmt: skip
    return tmp_path / "result.npz"


@pytest.fixture
def views_result(tmp_path) -> Path:
    """A result of one person seen by two cameras."""
    zeros = np.zeros
    write_multiview_result(
        tmp_path / "views.npz",
        MultiViewResult(
            view_names=("a", "b"), images=("a.png", "b.png"), image_sizes=zeros((2, 2), int), K=zeros((2, 3, 3)),
            R_world2cam=zeros((2, 3, 3)), t_world2cam=zeros((2, 3)), betas=zeros((1, 10)), rotmats=zeros((1, JOINTS, 3, 3)),
            transl=zeros((1, 3)), joints_world=zeros((1, JOINTS, 3)), vertices_world=zeros((1, 5, 3)),
            joints2d=zeros((1, 2, JOINTS, 2)), used=np.ones((1, 2), bool), weights=np.ones((1, 2)),
            reasons=np.array([["", "hidden"]]), reprojection_errors=zeros((1, 2)), boxes_xywh=zeros((1, 2, 4)),
            joint_std_mm=zeros((1, JOINTS)), joint_std_deg=zeros((1, JOINTS)),
            guessed=np.zeros((1, JOINTS), dtype=bool), confidence="off", joint_names=("pelvis",),
            body_name="body", body_kind="bundled", body_file="/body.npz", weights_name="weights", iterations=5,
        ),
    )  # fmt: skip
    return tmp_path / "views.npz"


def test_damaged_results(result, views_result, tmp_path):
    read_result(result)
    assert survives(damaged_npz(arrays_of(result)), tmp_path / "r.npz", read_result, ResultFileError) > 80
    assert (
        survives(damaged_npz(arrays_of(views_result)), tmp_path / "v.npz", read_multiview_result, ResultFileError) > 80
    )


def small_body(vertices: int) -> dict[str, np.ndarray]:
    """A body in this package's format."""
    from refit_engine.body.joints import SMPL_PARENTS
    from refit_engine.body.points import SMPL_MARKER_IDS

    return {
        "name": np.array("body"),
        "kind": np.array("smpl"),
        "v_template": np.zeros((vertices, 3), np.float32),
        "shapedirs": np.zeros((vertices, 3, 10), np.float32),
        "weights": np.zeros((vertices, JOINTS), np.float32),
        "J_regressor": np.zeros((JOINTS, vertices), np.float32),
        "parents": np.array(SMPL_PARENTS),
        "faces": np.array([[0, 1, 2]]),
        "marker_ids": np.arange(len(SMPL_MARKER_IDS)),
    }


def test_damaged_bodies(tmp_path):
    body = small_body(100)
    np.savez(tmp_path / "good.npz", **body)
    assert load_body(tmp_path / "good.npz").name == "body"
    assert survives(damaged_npz(body), tmp_path / "body.npz", load_body, BodyFileError) > 100


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_damaged_pickles(tmp_path, protocol):
    arrays = {
        "v_template": np.ones((3, 3)),
        "f": np.ones((2, 3), np.uint32),
        "J_regressor": sparse.csc_matrix(np.eye(4)),
    }
    content = pickle.dumps(arrays, protocol)
    (tmp_path / "good.pkl").write_bytes(content)
    np.testing.assert_array_equal(read_smpl_pickle(tmp_path / "good.pkl")["J_regressor"], np.eye(4))
    assert survives(damaged(content), tmp_path / "bad.pkl", read_smpl_pickle, BodyFileError) > 80


@pytest.fixture
def no_network(monkeypatch):
    """In place of the network, which takes long to make: something that no file's tensors fit."""
    monkeypatch.setattr(checkpoint, "ReFit", lambda config, backbone: torch.nn.Linear(2, 2))


@pytest.mark.parametrize("as_zip", [True, False])
def test_damaged_checkpoints(tmp_path, no_network, as_zip):
    state = {"init_layer.weight": torch.zeros(10, 256), "flow_layer.weight": torch.zeros(67, 1, 49)}
    buffer = io.BytesIO()
    torch.save({"model": state, "best": np.float64(3)}, buffer, _use_new_zipfile_serialization=as_zip)
    contents = [buffer.getvalue(), *damaged(buffer.getvalue())]
    assert survives(contents, tmp_path / "weights.pt", checkpoint.load_refit, WeightsFileError) == 201


def test_damaged_safetensors(tmp_path, no_network):
    config = {"backbone": "hrnet_w32", "keypoints": "markers67", "radius": 3}
    metadata = {"format": "refit-weights", "version": "1", "body": "smpl", "config": json.dumps(config)}
    content = safetensors.torch.save({"a": torch.zeros(3, 4), "b": torch.zeros(2)}, metadata)
    path = tmp_path / "weights.safetensors"
    assert survives([content, *damaged(content)], path, checkpoint.load_refit, WeightsFileError) == 201
    configs = (
        safetensors.torch.save({"a": torch.zeros(1)}, {**metadata, "config": text.decode("latin-1")})
        for text in damaged_json(config)
    )
    assert survives(configs, path, checkpoint.load_refit, WeightsFileError) == 202


def test_damaged_calibrations_of_the_confidence(tmp_path):
    record = json.loads(BUNDLED_CALIBRATION.read_text())
    assert survives(damaged_json(record), tmp_path / "confidence.json", read_calibration, WeightsFileError) > 100


def test_damaged_requests():
    request = {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "reconstruct",
        "params": {
            "images": [{"image": "/a.png", "bboxes_xywh": [[1, 2, 30, 40]], "K": None, "focal": 500.0}],
            "people": "all", "body": None, "gender": "neutral", "weights": "/w.pt", "betas": [0.1] * 10, "iterations": 5,
            "device": "cpu", "overlay": False, "confidence": True, "job_folder": "/job",
        },
    }  # fmt: skip
    refused = 0
    for line in damaged_json(request):
        try:
            reconstruct_params(protocol.parse_line(line).params)
        except ProtocolError as error:
            refused += 1
            assert protocol.error_line(error.request_id, error).endswith(b"\n")
    assert refused > 100


def test_damaged_lists_of_views(tmp_path):
    view = ViewRequest("a", Path("a.png"), np.eye(3), np.eye(3), np.zeros(3))
    record = [
        {**view_call(view), "distortion": {"model": "opencv", "coefficients": [0.1, 0.0]}, "image_size": [640, 480]}
    ]
    assert survives(damaged_json(record), tmp_path / "views.json", read_views, ViewsError) > 100


def named(module: bytes, name: bytes) -> bytes:
    return b"c" + module + b"\n" + name + b"\n"


def key(name: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(name)) + name


def laughs(count: int) -> bytes:
    """Tuples of tuples, each twice in the next: their hash and their text take 2**count steps."""
    steps = b"".join(b"h" + bytes([number]) + b"\x86q" + bytes([number + 1]) for number in range(count))
    return b"\x80\x02}X\1\0\0\0aX\1\0\0\0b\x86q\0" + steps + b"K\1s."


def empty_sparse(rows: int) -> bytes:
    """A pickle of a sparse matrix that announces so many rows, and has no numbers."""

    def array(code: bytes, count: int, content: bytes) -> bytes:
        dtype = (
            named(b"numpy", b"dtype")
            + b"X\2\0\0\0"
            + code
            + b"K\0K\1\x87R(K\3X\1\0\0\0<NNNJ"
            + b"\xff" * 4
            + b"J"
            + b"\xff" * 4
        )
        begin = (
            named(b"numpy.core.multiarray", b"_reconstruct")
            + named(b"numpy", b"ndarray")
            + b"K\0\x85X\1\0\0\0b\x87R(K\1(J"
        )
        return (
            begin
            + struct.pack("<i", count)
            + b"t"
            + dtype
            + b"K\0tb\x89B"
            + struct.pack("<I", len(content))
            + content
            + b"tb"
        )

    parts = [
        (b"data", array(b"f8", 0, b"")),
        (b"indices", array(b"i4", 0, b"")),
        (b"indptr", array(b"i4", 2, b"\0" * 8)),
    ]
    matrix = named(b"scipy.sparse.csc", b"csc_matrix") + b")\x81}"
    matrix += b"".join(key(name) + content + b"s" for name, content in parts)
    matrix += key(b"_shape") + b"J" + struct.pack("<i", rows) + b"K\1\x86sb"
    return b"\x80\x02}" + key(b"J_regressor") + matrix + b"s."


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r" + struct.pack("<I", 2**28) + b".",
        laughs(60),
        laughs(25),
        b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"K\1s.",
        empty_sparse(500_000_000),
        b"\x80\x02cnumpy\nndarray\nq\0)R}(X\1\0\0\0ah\0ub.",
    ],
    ids=["memo", "hash", "text", "deep", "sparse", "state"],
)
def test_pickles_that_would_eat_memory_or_time_are_refused(tmp_path, content):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(content)
    with pytest.raises(BodyFileError):
        load_body(path)


def test_archives_that_would_eat_memory_are_refused(tmp_path, monkeypatch):
    body = small_body(100)
    np.savez_compressed(tmp_path / "bomb.npz", **body, J_regressor_of_zeros=np.zeros(1))
    monkeypatch.setattr("refit_engine.body.loading.MAX_BYTES", 10_000)
    with pytest.raises(BodyFileError, match="take more than"):
        load_body(tmp_path / "bomb.npz")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,), }\n"
    with zipfile.ZipFile(tmp_path / "shape.npz", "w") as archive:
        archive.writestr("v_template.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    with pytest.raises(BodyFileError, match="as long as it says"):
        load_body(tmp_path / "shape.npz")


def test_networks_of_absurd_size_are_not_built(tmp_path):
    one = torch.zeros(1)
    state = {"init_layer.weight": one.expand(10, 384), "flow_layer.weight": one.expand(67, 1, 2001**2)}
    torch.save(state, tmp_path / "views.pt")
    with pytest.raises(WeightsFileError, match="another network"):
        checkpoint.load_refit(tmp_path / "views.pt")
    metadata = {"format": "refit-weights", "version": "1", "body": "smpl", "config": '{"radius": 100000}'}
    safetensors.torch.save_file({"a": one}, tmp_path / "radius.safetensors", metadata)
    with pytest.raises(WeightsFileError, match="which network"):
        checkpoint.load_refit(tmp_path / "radius.safetensors")


def test_compressed_checkpoints_are_not_unpacked(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in whole.namelist():
            bomb.writestr(name, whole.read(name))
    with pytest.raises(WeightsFileError, match="damaged"):
        checkpoint.load_refit(tmp_path / "bomb.pt")


def test_checkpoint_that_announces_more_numbers_than_it_has_bytes_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(77_777)}, buffer, _use_new_zipfile_serialization=False)
    content = buffer.getvalue()
    assert content.count(struct.pack("<I", 77_777)) >= 1
    (tmp_path / "bomb.pt").write_bytes(content.replace(struct.pack("<I", 77_777), struct.pack("<I", 2_000_000_000)))
    with pytest.raises(WeightsFileError):
        checkpoint.load_refit(tmp_path / "bomb.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
def test_pipes_in_place_of_files_are_not_opened(tmp_path):
    for name, read, error in (
        ("body.npz", load_body, BodyFileError),
        ("body.pkl", load_body, BodyFileError),
        ("weights.pt", checkpoint.load_refit, WeightsFileError),
        ("result.npz", read_result, ResultFileError),
        ("views.json", read_views, ViewsError),
        ("set.json", read_dataset, DatasetError),
    ):
        os.mkfifo(tmp_path / name)
        with pytest.raises(error):
            read(tmp_path / name)


def test_lack_of_memory_is_told_as_such(tmp_path, monkeypatch):
    sentence = (
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    )

    def full(*_, **__):
        raise RuntimeError(sentence)

    monkeypatch.setattr(checkpoint, "ReFit", full)
    with pytest.raises(DeviceError, match="not enough memory"):
        FitJob(Models(), FitOptions(), "cpu").subject()
    monkeypatch.setattr(checkpoint.torch, "load", full)
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(DeviceError, match="not enough memory"):
        FitJob(Models(), FitOptions(weights=tmp_path / "weights.pt"), "cpu").subject()
    assert b"not enough memory" in protocol.error_line(1, MemoryError())


class Unable:
    """In place of a fitter: nobody can be fitted."""

    def fit(self, *_args, **_options):
        raise RefitError("Nobody can be fitted.")

    def say(self, _message):
        pass


def test_damaged_datasets(tmp_path):
    write_image(tmp_path / "a.png", street(40, 32))
    record = {
        "id": "a", "image": "a.png", "width": 40, "height": 32, "bbox_xywh": [11, 4, 9, 17], "group": "g",
        "K": [[40.0, 0, 20], [0, 40, 16], [0, 0, 1]], "dist": [0.1, 0, 0, 0, 0], "view": "v",
        "R_world2cam": np.eye(3).tolist(), "t_world2cam": [0, 0, 4],
    }  # fmt: skip
    path = tmp_path / "set.json"
    predicted = 0
    for content in damaged_json([record, {**record, "id": "b"}]):
        path.write_bytes(content)
        try:
            records = read_dataset(path)
        except DatasetError:
            continue
        found = list(multiview_predictions(records, tmp_path, Unable(), Unable()))
        assert len(found) == len(records) and all(one["error"] for one in found)
        predicted += 1
    assert predicted > 50
