# SPDX-License-Identifier: GPL-3.0-or-later
"""A known height decides the shape: the T-pose mesh measures it, in every kind of fit and with every body file."""

from __future__ import annotations

import numpy as np
import pytest
import refit_engine.fitting
from engine_doubles import Found, ScriptedDetector, ScriptedModels
from refit_engine.body import load_body
from refit_engine.cli import main
from refit_engine.fitting import FitOptions, Fitter, ImageRequest
from refit_engine.fitting.height import HeightError, ShapeError, betas_of_height, standing_height
from refit_engine.results import read_result
from refit_engine.service import EngineService
from refit_engine.worker import Job

LARGE, SMALL = (110.0, 40.0, 90.0, 170.0), (10.0, 60.0, 60.0, 120.0)


@pytest.fixture(scope="module")
def models():
    return ScriptedModels(ScriptedDetector([Found(LARGE, 0.9), Found(SMALL, 0.6)]))


@pytest.fixture
def smpl_file(tmp_path):
    """A body in SMPL's format that is no copy of the bundled one: a tenth larger, with other betas."""
    own = load_body()
    shapedirs = 1.1 * own.shapedirs.copy()
    shapedirs[..., :3] = shapedirs[..., [1, 0, 2]]
    ids = np.linspace(0, len(own.v_template) - 1, 6890).astype(int)
    regressor = np.zeros((24, 6890), np.float32)
    for joint, place in enumerate(own.joint_template):
        near = np.argsort(np.linalg.norm(own.v_template[ids] - place, axis=1))[:40]
        regressor[joint, near] = 1 / 40
    np.savez(
        tmp_path / "SMPL_NEUTRAL.npz",
        v_template=1.1 * own.v_template[ids],
        shapedirs=shapedirs[ids],
        posedirs=np.zeros((6890, 3, 207), np.float32),
        weights=own.weights[ids],
        J_regressor=regressor,
        kintree_table=np.stack([own.parents, np.arange(24)]),
        f=np.arange(3 * 13776).reshape(-1, 3) % 6890,
    )
    return tmp_path / "SMPL_NEUTRAL.npz"


def test_betas_of_a_height_are_the_nearest_ones():
    body, start = load_body(), np.linspace(-0.5, 0.8, 10)
    betas = betas_of_height(body, start, 1.93)
    assert standing_height(body, betas) == pytest.approx(1.93, abs=1e-4)
    rng = np.random.default_rng(1)
    for other in betas + rng.normal(scale=0.3, size=(20, 10)):
        other = other + (betas - start) * (1.93 - standing_height(body, other)) / (1.93 - standing_height(body, start))
        if abs(standing_height(body, other) - 1.93) < 1e-3:
            assert np.linalg.norm(other - start) > np.linalg.norm(betas - start) - 1e-3


@pytest.mark.parametrize("height", [0.4, 1.1, 1.75, 2.5])
def test_every_height_is_met(height):
    betas = betas_of_height(load_body(), np.zeros(10), height)
    assert standing_height(load_body(), betas) == pytest.approx(height, abs=2e-4)


@pytest.mark.parametrize("own_file", [False, True], ids=["bundled", "smpl"])
def test_the_largest_person_is_as_tall_as_was_said(models, untrained_weights, photo_file, smpl_file, own_file):
    options = FitOptions(weights=untrained_weights, height=1.87, body=smpl_file if own_file else None)
    result, _ = Fitter(models, options, "cpu").reconstruct(ImageRequest(photo_file))
    body = load_body(options.body)
    tall = [standing_height(body, betas) for betas in result.betas]
    assert tall[0] == pytest.approx(1.87, abs=1e-3) and abs(tall[1] - 1.87) > 0.01


def test_the_updates_are_computed_for_the_known_shape(models, untrained_weights, photo_file):
    """As in Shape ReFit: the same as giving the shape from the start, not a shape exchanged at the end."""
    options = FitOptions(weights=untrained_weights, people="largest", height=1.95)
    known, _ = Fitter(models, options, "cpu").reconstruct(ImageRequest(photo_file))
    given = FitOptions(weights=untrained_weights, people="largest", betas=known.betas[0])
    again, _ = Fitter(models, given, "cpu").reconstruct(ImageRequest(photo_file))
    np.testing.assert_allclose(again.rotmats, known.rotmats, atol=1e-4)
    np.testing.assert_allclose(again.vertices_cam, known.vertices_cam, atol=1e-3)


@pytest.mark.parametrize("height", [0.3, 2.6, -1.8, float("nan"), float("inf")])
def test_impossible_heights_are_one_sentence(height):
    with pytest.raises(HeightError, match="The height must be between 0.4 and 2.5 metres, not"):
        FitOptions(height=height)


@pytest.mark.parametrize("betas", [np.full(10, 1e6), np.full(10, -100.1), np.full(10, np.nan), np.zeros(9)])
def test_impossible_shapes_are_one_sentence(betas):
    with pytest.raises(ShapeError, match=r"numbers must lie between -100 and 100\.|A shape has 10 numbers\."):
        FitOptions(betas=betas)


def test_height_and_fixed_shape_contradict_each_other():
    with pytest.raises(HeightError, match="The shape is fixed"):
        FitOptions(height=1.8, betas=np.zeros(10))


def test_command_line(models, untrained_weights, photo_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(refit_engine.fitting, "Models", lambda: models)
    words = ["reconstruct", str(photo_file), "--out", str(tmp_path / "out"), "--weights", str(untrained_weights)]
    assert main([*words, "--height", "1.6"]) == 0
    betas = read_result(tmp_path / "out" / "result.npz").betas[0]
    assert standing_height(load_body(), betas) == pytest.approx(1.6, abs=1e-3)
    assert main([*words, "--height", "16"]) == 1
    assert "between 0.4 and 2.5 metres, not 16" in capsys.readouterr().err


def test_protocol_takes_a_height_for_pictures_and_for_shapes(models, untrained_weights, photo_file, tmp_path):
    service, job = EngineService(models), Job(1, lambda line: None)
    images = {"images": [{"image": str(photo_file)}] * 2, "weights": str(untrained_weights), "iterations": 1}
    common = {"height": 1.66, "device": "cpu", "job_folder": str(tmp_path / "job")}
    picture = read_result(service.reconstruct({**images, **common}, job)["results"][0]["npz"])
    shapes = [picture.betas[0], service.fit_shape({**images, **common}, job)["betas"]]
    shapes.append(service.fit_shape({"shapes": [[1.0] * 10, [1.2] * 10], **common}, job)["betas"])
    for betas in shapes:
        assert standing_height(load_body(), betas) == pytest.approx(1.66, abs=1e-3)
    with pytest.raises(HeightError, match="not 5"):
        service.reconstruct({**images, **common, "height": 5}, job)
