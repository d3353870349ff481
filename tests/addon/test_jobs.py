# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's process, seen from the side that talks to it."""

import sys
import threading
import time

import pytest

from refit_blender.engine_pipes import STDERR_LINE, STDERR_LINES
from refit_blender.errors import Cancelled, EngineCrashed, EngineFailure, EngineHung, EngineMissing
from refit_blender.jobs import EngineProcess, Limits, engine_environment, worker_command
from refit_blender.progress import Progress

ECHO = """
import json, sys
def send(**m): print(json.dumps({"jsonrpc": "2.0", **m}), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    if m["method"] == "initialize":
        send(id=m["id"], result={"protocol_version": 2, "engine_version": "1.2.3", "devices": ["cpu"]})
    elif m["method"] == "shutdown":
        print("goodbye", file=sys.stderr); break
    elif m["method"] == "later":
        send(id=12345, result=None); send(method="$/progress", params={"id": 99, "stage": "x"})
        send(method="$/unknown", params={}); send(id=m["id"], result=m["params"])
    else:
        send(id=m["id"], error={"code": -32601, "message": "Unknown method."})
"""


@pytest.fixture
def engine():
    process = EngineProcess([sys.executable, "-c", ECHO])
    yield process
    process.close()


def test_calls_before_the_greeting_are_kept_and_answered_in_turn(engine):
    first, second = engine.call("later", {"n": 1}), engine.call("later", {"text": "é\u2028"})
    assert not first.ended and engine.info is None
    assert second.wait() == {"text": "é\u2028"}
    assert first.result() == {"n": 1}
    assert engine.wait_ready().engine_version == "1.2.3"


def test_unknown_notifications_and_late_answers_are_ignored(engine):
    assert engine.call("later", {"n": 2}).wait() == {"n": 2}
    assert engine.alive


def test_error_without_data_has_a_kind_all_the_same(engine):
    with pytest.raises(EngineFailure, match="Unknown method.") as caught:
        engine.call("nonsense", {}).wait()
    assert caught.value.kind == "EngineFailure"
    assert engine.alive


def test_polite_shutdown_ends_the_process_and_later_calls_fail(engine):
    engine.wait_ready()
    engine.close(patience=10)
    assert not engine.alive
    with pytest.raises(Exception, match="shut down"):
        engine.call("later", {}).wait()


def test_closing_twice_does_no_harm(engine):
    engine.close()
    engine.close()


GREETING = """
import json, os, sys, time
request = json.loads(sys.stdin.readline())
print(json.dumps({"id": request["id"], "result": {"protocol_version": 2, "engine_version": "x"}}), flush=True)
"""


# What ends of itself waits to be asked: before, it might be gone when `started` still reads the greeting.
ASKED = "os.read(0, 1); "


def started(code: str, **limits: float):
    process = EngineProcess([sys.executable, "-c", GREETING + code], Limits(**limits))
    process.wait_ready()
    return process


def test_request_to_an_engine_that_does_not_read_does_not_block_and_ends():
    process = started("time.sleep(60)", silence=0.5)
    begin = time.monotonic()
    request = process.call("fit_shape", {"images": ["x" * 1000] * 5000})
    assert time.monotonic() - begin < 5
    with pytest.raises(EngineHung, match="no sign of life"):
        request.wait()


def test_cancel_ends_a_request_that_was_never_read():
    process = started("time.sleep(60)", cancel=0.2)
    request = process.call("fit_shape", {"images": ["x" * 1000] * 5000})
    request.cancel()
    with pytest.raises(Cancelled):
        request.wait()


FLOOD = """
sys.stdin.readline()
lines = b'{"method":"$/progress","params":{"id":2,"stage":"fit","done":1,"total":3}}\\n' * 5000
while True: os.write(1, lines)
"""


def test_endless_progress_neither_holds_up_the_window_nor_cancel():
    process = started(FLOOD, cancel=0.3)
    request = process.call("x", {})
    time.sleep(0.5)
    for _ in range(3):
        begin = time.monotonic()
        assert not request.poll()
        assert time.monotonic() - begin < 2
    assert request.progress == Progress("fit", 1, 3)
    request.cancel()
    with pytest.raises(Cancelled):
        request.wait()


def test_flood_on_stderr_is_kept_short():
    code = ASKED + "[os.write(2, b'x' * 2**20) for _ in range(30)]; os.write(2, b'\\nlast words\\n'); sys.exit(3)"
    process = started(code)
    with pytest.raises(EngineCrashed, match=r"exit code 3, last message: “last words”"):
        process.call("x", {}).wait()
    kept = process._stderr.lines()
    assert len(kept) <= STDERR_LINES and max(map(len, kept)) <= STDERR_LINE


def test_output_that_ends_without_the_process_is_told():
    process = started(ASKED + "os.close(1); time.sleep(60)")
    with pytest.raises(EngineCrashed, match="closed its output"):
        process.call("x", {}).wait()


def test_no_thread_is_left_of_a_process_that_ended():
    before = threading.active_count()
    for code in ("time.sleep(60)", FLOOD, ASKED + "sys.exit(1)"):
        process = started(code)
        process.call("x", {"long": "x" * 200_000})
        process.close(patience=0.0)
    until = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_program_that_does_not_exist():
    with pytest.raises(EngineMissing, match="cannot be started"):
        EngineProcess(worker_command("/nowhere/python"))


def test_blenders_python_does_not_leak_into_the_engine():
    kept = engine_environment({"PYTHONPATH": "a", "PYTHONHOME": "b", "HOME": "c"})
    assert "PYTHONPATH" not in kept and "PYTHONHOME" not in kept and kept["HOME"] == "c"


def test_progress_grows_with_stages_and_with_things_done():
    steps = [
        Progress("start"),
        Progress("load", 0, 2),
        Progress("detect", 0, 2),
        Progress("fit", 0, 2),
        Progress("load", 1, 2),
        Progress("write", 1, 2),
        Progress("done", 2, 2),
    ]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert str(steps[3]) == "Fitting the body 1/2"
    assert str(Progress("detect", 3, 6, things=4)) == "Finding people 4/4"
    assert str(Progress("fit", 4, 6, things=4)) == "Fitting the body"
    assert str(Progress("dream", 0, 1, "Dreaming")) == "Dreaming"
