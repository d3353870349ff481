# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's process, seen from the side that talks to it."""

import sys

import pytest

from refit_blender.errors import EngineFailure, EngineMissing
from refit_blender.jobs import EngineProcess, engine_environment, worker_command
from refit_blender.progress import Progress

ECHO = """
import json, sys
def send(**m): print(json.dumps({"jsonrpc": "2.0", **m}), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    if m["method"] == "initialize":
        send(id=m["id"], result={"protocol_version": 1, "engine_version": "1.2.3", "devices": ["cpu"]})
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
    assert str(Progress("dream", 0, 1, "Dreaming")) == "Dreaming"
