# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an engine answers, in words or in files: it is checked before the scene is touched."""

import json

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import engine_messages
from refit_blender.errors import ResultFileError
from refit_blender.multiview_results import read_multiview_result
from refit_blender.results import read_body, read_result
from refit_blender.session import state
from tests.damage import damaged, damaged_json, damaged_npz, limited_memory

ANSWERS = {
    "no results": {"results": []},
    "two results": {"results": [{}, {}]},
    "results of another kind": {"results": "x"},
    "result of another kind": {"results": [3]},
    "no npz": {"results": [{"npz": None}]},
    "relative path": {"results": [{"npz": "result.npz"}]},
    "path outside": {"results": [{"npz": "/etc/passwd"}]},
    "path that leads out": {"results": [{"npz": "JOB_FOLDER/../result.npz"}]},
    "NUL in a path": {"results": [{"npz": "JOB_FOLDER/0000/re\0sult.npz"}]},
    "missing file": {"results": [{"npz": "JOB_FOLDER/other.npz"}]},
    "overlay outside": {"results": [{"npz": "JOB_FOLDER/result.npz", "overlay": "/etc/passwd"}]},
    "overlay is a number": {"results": [{"npz": "JOB_FOLDER/result.npz", "overlay": 5}]},
    "seconds are text": {"seconds": "x"},
    "a second is text": {"seconds": {"detect": "x"}},
    "a second is negative": {"seconds": {"detect": -1}},
    "messages are a number": {"messages": 5},
    "a message is a list": {"messages": [["x"]]},
    "device is a number": {"device": 5},
}
ARRAYS = {
    "transl": np.array([[np.nan, 0, 4]]),
    "betas": np.full((1, 10), np.inf),
    "rotmats": np.zeros((1, 24, 3, 3)),
    "vertices_cam": np.full((1, 144, 3), 1e30),
    "K": np.diag([0.0, 0, 1]),
    "image_size": np.array([640, -480]),
    "image": np.array("/somebody/else's.png"),
    "up_cam": np.zeros(3),
    "camera_height": np.array(np.nan),
    "on_floor": np.array([True, False]),
    "scores": np.array([np.inf]),
    "guessed": np.zeros((1, 17), dtype=bool),
    "joint_std_mm": np.full((1, 24), -1.0),
    "body_kind": np.array("a\0b"),
    "engine_version": np.array("x" * 10_000),
}


def refused(photo) -> str:
    bpy.context.scene.refit.image_path = str(photo)
    before = scene_state()
    with pytest.raises(RuntimeError):
        bpy.ops.refit.reconstruct()
    assert state.job is None and state.error and scene_state() == before
    return state.error


@pytest.mark.parametrize("name", ANSWERS)
def test_unsound_answer_changes_nothing(photo, install_fake, name):
    fake = install_fake()
    (fake.folder / "behaviour").write_text("answer:" + json.dumps(ANSWERS[name]))
    assert "engine's answer" in refused(photo)


@pytest.mark.parametrize("name", ARRAYS)
def test_unsound_result_changes_nothing(photo, install_fake, name):
    fake = install_fake()
    np.savez(fake.folder / "result.npz", **{**fake.result, name: ARRAYS[name]})
    refused(photo)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("parents", np.zeros(24, int) + 30),
        ("faces", np.array([[0, 1, 9999]])),
        ("faces", np.array([[0, 1, 1]])),
        ("uv_faces", np.zeros((1, 3), int)),
        ("v_template", np.full((144, 3), np.nan)),
        ("v_template", np.zeros((10, 3))),
        ("weights", np.zeros((144, 23))),
    ],
)
def test_unsound_body_changes_nothing(photo, install_fake, name, array):
    fake = install_fake()
    np.savez(fake.folder / "body.npz", **{**fake.body, name: array})
    assert "body.npz" in refused(photo)


def test_result_and_body_must_belong_together(photo, install_fake):
    fake = install_fake()
    np.savez(fake.folder / "result.npz", **{**fake.result, "vertices_cam": np.zeros((1, 7, 3))})
    assert "not about the body" in refused(photo)


def survives(contents, path, read) -> int:
    """How many of the contents `read` refuses with a sentence; all others it reads."""
    count = 0
    for content in contents:
        path.write_bytes(content)
        try:
            read(path)
        except ResultFileError as error:
            count += 1
            assert str(error).endswith(".")
    return count


def test_damaged_files(install_fake, tmp_path):
    fake = install_fake(regressor=True, correctives=True)
    views = fake.prepare_views(["a", "b"])
    with limited_memory():
        assert survives(damaged_npz(fake.result), tmp_path / "r.npz", read_result) > 100
        assert survives(damaged_npz(views), tmp_path / "v.npz", read_multiview_result) > 100
        assert survives(damaged_npz(fake.body), tmp_path / "b.npz", read_body) > 100


LINES = (
    {"jsonrpc": "2.0", "id": 2, "result": {"device": "cpu"}},
    {
        "jsonrpc": "2.0",
        "id": 2,
        "error": {"code": -32000, "message": "Nobody was found.", "data": {"kind": "NoPersonFound"}},
    },
    {
        "jsonrpc": "2.0",
        "method": "$/progress",
        "params": {"id": 2, "stage": "fit", "done": 1, "total": 3, "message": ""},
    },
)


@pytest.mark.parametrize("message", LINES, ids=["answer", "error", "progress"])
def test_damaged_lines(message):
    refused = 0
    with limited_memory():
        for line in [*damaged_json(message), *damaged(json.dumps(message).encode())]:
            try:
                engine_messages.parse_line(line)
            except engine_messages.InvalidMessage:
                refused += 1
    assert refused > 100


def test_damaged_greetings():
    greeting = {
        "protocol_version": 2, "engine_version": "0.1.0", "python": "3.11", "torch": "2", "device": "cpu", "device_name": "x",
        "devices": ["cpu"],
    }  # fmt: skip
    for line in damaged_json({"id": 1, "result": greeting}):
        try:
            answer = engine_messages.parse_line(line)
            if isinstance(answer, engine_messages.Answer):
                assert engine_messages.parse_info(answer.result).protocol_version is not None
        except engine_messages.InvalidMessage:
            pass
