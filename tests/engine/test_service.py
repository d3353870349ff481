# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocol's methods answer, and what they write into the job's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import worker_client
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from refit_engine import __version__, protocol
from refit_engine.errors import BodyFileError, Cancelled, ImageError, NoPersonFound, WeightsFileError
from refit_engine.images import write_image
from refit_engine.protocol import ProtocolError, ProtocolMismatch
from refit_engine.results import read_result
from refit_engine.service import EngineService
from refit_engine.worker import Job
from worker_client import Client

PERSON = [110.0, 40.0, 90.0, 170.0]


@pytest.fixture(scope="module")
def service():
    """One person in pictures of 320x240, nobody in others."""
    return EngineService(ScriptedModels(ScriptedDetector([Found(tuple(PERSON), 0.9)], size=(320, 240))))


@pytest.fixture
def job():
    lines = []
    job = Job(1, lambda line: lines.append(line))
    job.lines = lines
    return job


@pytest.fixture
def request_for(untrained_weights, tmp_path):
    def build(*images: Path, **changes):
        entries = [{"image": str(image), "bboxes_xywh": None, "K": None, "focal": None} for image in images]
        return {
            "images": entries,
            "people": "all",
            "body": None,
            "gender": "neutral",
            "weights": str(untrained_weights),
            "betas": None,
            "iterations": 3,
            "device": "cpu",
            "overlay": False,
            "job_folder": str(tmp_path / "job"),
            **changes,
        }

    return build


@pytest.fixture
def empty_street(tmp_path):
    path = tmp_path / "empty.png"
    write_image(path, street(160, 120))
    return path


def test_detect_answers_boxes_in_the_picture(service, job, photo_file, empty_street):
    answer = service.detect({"image": str(photo_file), "people": "all"}, job)
    assert answer == {"image_size": [320, 240], "people": [{"bbox_xywh": PERSON, "score": 0.9}]}
    assert service.detect({"image": str(empty_street)}, job)["people"] == []


def test_reconstruct_writes_what_it_answers(service, job, photo_file, request_for, tmp_path):
    answer = service.reconstruct(request_for(photo_file, overlay=True), job)
    (entry,) = answer["results"]
    assert entry["image"] == str(photo_file) and entry["people"] == 1
    result = read_result(Path(entry["npz"]))
    assert result.iterations == 3 and result.body_file == answer["body_file"]
    assert Path(entry["overlay"]).is_file() and tmp_path / "job" in Path(entry["overlay"]).parents
    assert set(answer["seconds"]) == {"detect", "lines", "crop", "network", "confidence", "body", "total"}
    assert answer["device"] == "cpu" and answer["messages"] == []


def test_scene_camera_boxes_and_shape_are_passed_on(service, job, photo_file, request_for):
    request = request_for(photo_file, betas=[0.5] * 10)
    request["images"][0] |= {"K": [[350, 0, 160], [0, 350, 120], [0, 0, 1]], "up": [0, -4, -3]}
    request["images"][0] |= {"bboxes_xywh": [[5, 5, 100, 200]]}
    result = read_result(Path(service.reconstruct(request, job)["results"][0]["npz"]))
    assert result.K[0, 0] == 350 and result.focal_source == "scene"
    assert result.up_source == "camera" and result.up_sure
    np.testing.assert_allclose(result.up_cam, (0, -0.8, -0.6))
    np.testing.assert_allclose(result.boxes_xywh, [[5, 5, 100, 200]])
    np.testing.assert_allclose(result.betas, [[0.5] * 10])


def test_progress_names_stages_and_counts_pictures(service, job, photo_file, request_for):
    service.reconstruct(request_for(photo_file, photo_file), job)
    steps = [json.loads(line)["params"] for line in job.lines]
    assert [step["stage"] for step in steps][0] == "load" and steps[-1]["stage"] == "done"
    assert steps[-1]["done"] == steps[-1]["total"] == 2
    assert [step["done"] for step in steps] == sorted(step["done"] for step in steps)


def test_of_several_pictures_those_that_fail_are_left_out_and_named(
    service, job, photo_file, empty_street, request_for, tmp_path
):
    answer = service.reconstruct(request_for(empty_street, photo_file, tmp_path / "missing.jpg"), job)
    assert [entry["image"] for entry in answer["results"]] == [str(photo_file)]
    assert len(answer["messages"]) == 2 and "empty.png" in answer["messages"][0]


def bad_file(tmp_path, content=b"this is text"):
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    return str(path)


def test_each_bad_input_has_its_own_failure_and_writes_nothing(
    service, job, photo_file, empty_street, request_for, tmp_path
):
    strange = bad_file(tmp_path)
    for images, changes, error in [
        ((tmp_path / "missing.jpg",), {}, ImageError),
        ((Path(strange),), {}, ImageError),
        ((empty_street,), {}, NoPersonFound),
        ((photo_file,), {"weights": strange}, WeightsFileError),
        ((photo_file,), {"weights": str(tmp_path / "missing.pt")}, WeightsFileError),
        ((photo_file,), {"body": strange}, BodyFileError),
        ((photo_file,), {"body": str(tmp_path / "missing.pkl")}, BodyFileError),
    ]:
        with pytest.raises(error):
            service.reconstruct(request_for(*images, **changes), job)
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"images": []},
        {"images": ["a.jpg"]},
        {"images": [{"image": 5}]},
        {"images": [{"image": "a.jpg", "K": [[1, 2], [3, 4]]}]},
        {"images": [{"image": "a.jpg", "bboxes_xywh": [[1, 2, 3]]}]},
        {"images": [{"image": "a.jpg", "up": [0, 0, 0]}]},
        {"images": [{"image": "a.jpg", "camera_height": 1.6}]},
        {"images": [{"image": "a.jpg", "colour": "red"}]},
        {"betas": [0.0] * 9},
        {"iterations": 1000},
        {"iterations": True},
        {"device": "abacus"},
        {"people": "some"},
        {"overlay": "yes"},
        {"job_folder": None},
        {"surprise": 1},
    ],
    ids=str,
)
def test_wrong_parameters_are_named(service, job, photo_file, request_for, changes):
    with pytest.raises(ProtocolError) as caught:
        service.reconstruct(request_for(photo_file, **changes), job)
    assert caught.value.code == protocol.INVALID_PARAMS


def test_cancelled_job_stops_before_it_writes(service, job, photo_file, request_for, tmp_path):
    job.cancelled.set()
    with pytest.raises(Cancelled):
        service.reconstruct(request_for(photo_file), job)
    assert not (tmp_path / "job").exists()


def test_other_protocol_version_is_refused(service, job):
    with pytest.raises(ProtocolMismatch, match="version 99"):
        service.initialize({"protocol_version": 99, "client": "test"}, job)


def test_real_worker_introduces_itself_and_serves(photo_file, request_for, tmp_path):
    with Client("-m", "refit_engine.worker") as client:
        hello = client.call("initialize", protocol_version=protocol.PROTOCOL_VERSION, client="test")["result"]
        assert hello["engine_version"] == __version__ and hello["devices"][-1] == "cpu"
        assert Path(hello["body_file"]).is_file()
        request = request_for(photo_file)
        request["images"][0]["bboxes_xywh"] = [PERSON]
        answer = client.call("reconstruct", **request)
        assert answer["result"]["results"][0]["people"] == 1
        request["images"][0]["image"] = bad_file(tmp_path)
        assert client.call("reconstruct", **request)["error"]["data"] == {"kind": "ImageError"}
        client.send(b"\x00garbage")
        assert client.answer()["error"]["code"] == protocol.PARSE_ERROR
        assert client.call("shutdown")["result"] is None
        assert client.process.wait(worker_client.DEADLINE) == 0
