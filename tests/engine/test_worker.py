# SPDX-License-Identifier: GPL-3.0-or-later
"""The resident process: it answers whatever comes, guards its output, and never outlives its client."""

import json
import os
import subprocess
import sys
import time

import pytest
import worker_client
from refit_engine import protocol
from refit_engine.protocol import Params, ProtocolError
from worker_client import Client

from tests.processes import running


@pytest.fixture
def odd():
    with Client(worker_client.HERE) as client:
        yield client


def code(message):
    return message["error"]["code"]


def test_request_is_answered_with_its_progress_first(odd):
    odd.request("echo", "seven", text="ü \u2028 \n")
    progress, answer = odd.receive(), odd.receive()
    assert progress["method"] == "$/progress"
    assert progress["params"] == {"id": "seven", "stage": "echo", "done": 1, "total": 1, "message": "line\nbreak ü"}
    assert answer == {"jsonrpc": "2.0", "id": "seven", "result": {"text": "ü \u2028 \n"}}


@pytest.mark.parametrize(
    "line, expected",
    [
        (b"hello", protocol.PARSE_ERROR),
        (b"\xff\xfe\x00garbage", protocol.PARSE_ERROR),
        (b"[" * 100_000, protocol.PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method"', protocol.PARSE_ERROR),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "echo"}]', protocol.INVALID_REQUEST),
        (b"17", protocol.INVALID_REQUEST),
        (b'{"id": 1, "method": "echo"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "echo"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]}', protocol.INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "methods"}', protocol.METHOD_NOT_FOUND),
        (b'{"a": "' + b"x" * (17 * 1024 * 1024) + b'"}', protocol.PARSE_ERROR),
    ],
    ids=["text", "bytes", "deep", "cut", "batch", "number", "version", "id", "method", "params", "unknown", "long"],
)
def test_malformed_line_is_answered_and_the_next_one_served(odd, line, expected):
    odd.send(line)
    assert code(odd.receive()) == expected
    assert odd.call("echo", still="here")["result"] == {"still": "here"}


def test_empty_lines_and_unknown_notifications_are_passed_over(odd):
    odd.send(b"")
    odd.send(b'{"jsonrpc": "2.0", "method": "$/setTrace"}')
    odd.send(b'{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": [1]}}')
    assert odd.call("echo")["result"] == {}


def test_failures_keep_their_kind_and_the_process_lives(odd):
    image = odd.call("fail", kind="image")["error"]
    assert image == {"code": protocol.JOB_FAILED, "message": "That is no image.", "data": {"kind": "ImageError"}}
    disk = odd.call("full")["error"]
    assert disk["message"] == "No space left on device (/out/result.npz)."
    for kind in ("nan", "bug"):
        broken = odd.call("fail", kind=kind)["error"]
        assert broken["code"] == protocol.INTERNAL_ERROR and broken["data"] == {"kind": "InternalError"}
    assert odd.call("echo")["result"] == {}


def test_prints_of_libraries_native_code_and_children_stay_out_of_the_stream(odd):
    assert odd.call("chatter")["result"] == "quiet"


def test_running_job_can_be_cancelled(odd):
    odd.request("endless", 5)
    assert odd.receive()["params"]["stage"] == "endless"
    odd.cancel(5)
    answer = odd.answer()
    assert answer["id"] == 5 and code(answer) == protocol.CANCELLED
    assert odd.call("echo")["result"] == {}


def test_waiting_job_can_be_cancelled_before_it_starts(odd):
    odd.request("endless", 1)
    odd.request("endless", 2)
    odd.request("echo", 3)
    odd.cancel(2)
    odd.cancel(1)
    assert [(m["id"], "error" in m) for m in (odd.answer(), odd.answer(), odd.answer())] == [
        (1, True),
        (2, True),
        (3, False),
    ]


def test_id_of_a_running_request_cannot_be_used_again(odd):
    odd.request("endless", 1)
    odd.receive()
    odd.request("echo", 1)
    assert code(odd.answer()) == protocol.INVALID_REQUEST


def test_shutdown_ends_the_process(odd):
    assert odd.call("shutdown")["result"] is None
    assert odd.wait() == 0


@pytest.mark.parametrize("method", ["endless", "deaf"])
def test_end_of_input_ends_the_process_even_in_the_middle_of_a_job(odd, method):
    odd.request(method)
    odd.receive()
    odd.process.stdin.close()
    assert odd.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_process_ends_with_its_parent_even_if_the_pipe_stays_open():
    """The parent is killed while another process holds the other end of the worker's input."""
    read_end, write_end = os.pipe()
    script = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, sys.argv[1]], stdin=int(sys.argv[2]), stdout=subprocess.DEVNULL)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, worker_client.HERE, str(read_end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[read_end]) as parent:
        worker = int(parent.stdout.readline())
        os.close(read_end)
        time.sleep(1.0)
        assert running(worker)
        parent.kill()
    deadline = time.monotonic() + worker_client.DEADLINE
    while running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.close(write_end)
    assert not running(worker)


def test_parameters_are_checked_by_name_type_and_range():
    values = Params({"images": [{"image": "a.jpg", "K": [[1, 0, 0], [0, 1, 0]]}], "iterations": 3.5, "odd": 1})
    (image,) = values.objects("images")
    assert image.string("image") == "a.jpg"
    with pytest.raises(ProtocolError, match=r"images\[0\]\.K must have 3 rows"):
        image.optional_rows("K", columns=3, rows=3)
    with pytest.raises(ProtocolError, match="iterations has the wrong type"):
        values.integer("iterations", 5, 0, 100)
    with pytest.raises(ProtocolError, match="job_folder is missing"):
        values.string("job_folder")
    with pytest.raises(ProtocolError, match="Unknown parameter: odd"):
        values.done()


NOT_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "bool": True, "text": "1", "null": None, "huge": 10**400}


@pytest.mark.parametrize("number", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_numbers_must_be_finite_numbers(number):
    with pytest.raises(ProtocolError):
        Params({"betas": [number] * 10}).optional_numbers("betas", 10)


def test_lines_are_ascii_so_that_no_encoding_can_break_them():
    line = protocol.response_line(1, {"path": "/Übung/写真\u2028"})
    assert line.isascii() and line.count(b"\n") == 1
    assert json.loads(line)["result"]["path"] == "/Übung/写真\u2028"
