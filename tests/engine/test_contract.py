# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-on and engine agree on: both sides are read here, and results of the one with the readers of the other."""

import argparse
import dataclasses
import importlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from engine_doubles import Found, ScriptedDetector, ScriptedModels
from refit_engine import cli, contract
from refit_engine.fitting import FitOptions
from refit_engine.job_params import reconstruct_params, views_params
from refit_engine.motion_results import MotionResult
from refit_engine.multiview_results import MultiViewResult
from refit_engine.protocol import ProtocolError
from refit_engine.results import ImageResult, read_result
from refit_engine.service import EngineService
from refit_engine.worker import Job

ADD_ON = Path(__file__).parents[2] / "refit_blender"
PERSON = (110.0, 40.0, 90.0, 170.0)


@pytest.fixture
def add_on(monkeypatch):
    """Modules of the add-on by name, those that need no Blender."""
    for name in [name for name in sys.modules if name.split(".")[0] == "refit_blender"]:
        monkeypatch.delitem(sys.modules, name)
    package = types.ModuleType("refit_blender")
    package.__path__ = [str(ADD_ON)]
    monkeypatch.setitem(sys.modules, "refit_blender", package)
    yield lambda name: importlib.import_module(f"refit_blender.{name}")
    for name in [name for name in sys.modules if name.startswith("refit_blender.")]:
        del sys.modules[name]


def test_both_sides_have_one_table_and_one_schema(add_on):
    other = add_on("contract")
    for name in ("OPTIONS", "IMAGE_RESULT", "VIEWS_RESULT", "MOTION_RESULT"):
        assert repr(getattr(other, name)) == repr(getattr(contract, name))
    assert add_on("results")._RESULT_ARRAYS <= contract.IMAGE_RESULT.arrays | {"format", "version"}
    assert add_on("multiview_results")._ARRAYS <= contract.VIEWS_RESULT.arrays | {"format", "version"}


@pytest.mark.parametrize(
    ("record", "file"),
    [
        (ImageResult, contract.IMAGE_RESULT),
        (MultiViewResult, contract.VIEWS_RESULT),
        (MotionResult, contract.MOTION_RESULT),
    ],
)
def test_results_hold_the_arrays_of_the_schema(record, file):
    assert {field.name for field in dataclasses.fields(record)} == file.arrays


def test_the_protocol_has_the_options_of_the_table_with_their_defaults():
    image = {"images": [{"image": "a.png"}], "job_folder": "/job"}
    asked = reconstruct_params(image)
    assert asked.options == FitOptions() and asked.overlay is contract.OPTIONS["overlay"].default
    for option in contract.OPTIONS.values():
        if option.kind != "flag" and option.default is not None:
            given = asked.device if option.name == "device" else getattr(asked.options, option.name)
            assert given == option.default
        reconstruct_params(image | {option.name: option.default})  # it is known
    view = {"name": "a", "image": "a.png", "K": np.eye(3).tolist(), "R_world2cam": np.eye(3).tolist()}
    view["t_world2cam"] = [0, 0, 0]
    assert views_params({"views": [view], "job_folder": "/job"}).options.iterations == contract.VIEWS_ITERATIONS


@pytest.mark.parametrize(
    "wrong", [{"iterations": 101}, {"people": "some"}, {"gender": "x"}, {"device": "tpu"}], ids=str
)
def test_the_protocol_keeps_to_the_limits(wrong):
    with pytest.raises(ProtocolError, match=f"Parameter {next(iter(wrong))} must be"):
        reconstruct_params({"images": [{"image": "a.png"}], "job_folder": "/job", **wrong})


def test_the_command_line_keeps_to_the_limits(capsys):
    updates = contract.OPTIONS["iterations"]
    for number in (updates.low, updates.high):
        words = ["reconstruct", "a.png", "--out", "x", "--iterations", str(number)]
        assert cli._parser().parse_args(words).iterations == number
    with pytest.raises(SystemExit):
        cli._parser().parse_args(["reconstruct", "a.png", "--out", "x", "--iterations", str(updates.high + 1)])
    assert "must be from 0 to 100" in capsys.readouterr().err


def test_the_help_says_the_default():
    parser = argparse.ArgumentParser()
    contract.add_option(parser, "iterations", contract.VIEWS_ITERATIONS)
    contract.add_option(parser, "height")
    assert "updates after the first estimate (default: 10)" in parser.format_help()
    assert parser.parse_args([]).height is None


def test_the_add_on_reads_what_the_engine_writes(add_on, untrained_weights, photo_file, tmp_path):
    models = ScriptedModels(ScriptedDetector([Found(PERSON, 0.9)]))
    call = {"images": [{"image": str(photo_file)}], "weights": str(untrained_weights), "iterations": 1}
    call |= {"device": "cpu", "job_folder": str(tmp_path / "job"), "overlay": True}
    answer = EngineService(models).reconstruct(call, Job(1, lambda line: None))
    told = add_on("engine_answers").AnswerReader(answer, tmp_path / "job")
    (entry,) = told.objects("results", 1)
    written, read = read_result(entry.file("npz")), add_on("results").read_result(entry.file("npz"))
    assert entry.optional_file("overlay") and told.text("device") == "cpu" and told.seconds()
    (person,) = read.people
    for name in ("betas", "rotmats", "transl", "vertices_cam"):
        np.testing.assert_allclose(getattr(person, name), getattr(written, name)[0])
    assert person.confidence is not None and read.up_source == written.up_source
    assert (read.iterations, read.body_kind, str(read.image)) == (1, written.body_kind, str(photo_file))
    body = add_on("results").read_body(read.body_file)
    add_on("results").check_body(person.vertices_cam, body)
