# SPDX-License-Identifier: GPL-3.0-or-later
"""One shape from several pictures: the robust mean, pictures that fail, and the protocol's answer."""

import json

import numpy as np
import pytest
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from refit_engine.errors import ImageError
from refit_engine.fitting import FitOptions, ImageRequest
from refit_engine.fitting.shape import ShapeFitter, mean_shape
from refit_engine.images import write_image
from refit_engine.service import EngineService
from refit_engine.worker import Job

PERSON = (110.0, 40.0, 90.0, 170.0)


@pytest.fixture(scope="module")
def models():
    """One person in pictures of 320x240, nobody in others."""
    return ScriptedModels(ScriptedDetector([Found(PERSON, 0.9)], size=(320, 240)))


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of somebody, and one of nobody."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    write_image(paths[0], street())
    write_image(paths[1], street()[:, ::-1].copy())
    write_image(paths[2], street(160, 120))
    return paths


def test_mean_of_one_shape_is_that_shape():
    shape = mean_shape([np.arange(10.0)])
    np.testing.assert_allclose(shape.betas, np.arange(10.0))
    assert shape.frames[0].used and shape.frames[0].weight == pytest.approx(1)


def test_shape_of_somebody_else_does_not_count():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=10)
    shapes = [truth + 0.2 * rng.normal(size=10) for _ in range(6)] + [truth + 6]
    shape = mean_shape(shapes)
    assert np.abs(shape.betas - truth).max() < 0.3
    assert [frame.used for frame in shape.frames] == [True] * 6 + [False] and shape.frames[-1].reason


def test_shapes_that_differ_widely_are_still_averaged():
    shapes = [np.full(10, value) for value in (-2.0, 0.0, 2.0)]
    shape = mean_shape(shapes)
    np.testing.assert_allclose(shape.betas, 0, atol=1e-9)
    assert all(frame.used for frame in shape.frames)


def test_pictures_that_fail_are_left_out_and_say_why(models, untrained_weights, pictures, tmp_path):
    fitter = ShapeFitter(models, FitOptions(weights=untrained_weights, iterations=1), "cpu")
    requests = [ImageRequest(path) for path in (*pictures, tmp_path / "missing.png")]
    shape = fitter.fit_shape(requests)
    assert [frame.betas is None for frame in shape.frames] == [False, False, True, True]
    assert "Nobody was found" in shape.frames[2].reason and "no image" in shape.frames[3].reason
    singles = [fitter.reconstruct(request)[0].betas[0] for request in requests[:2]]
    np.testing.assert_allclose(shape.betas, np.mean(singles, axis=0), atol=0.5)


def test_nothing_usable_is_the_first_failure(models, untrained_weights, tmp_path):
    fitter = ShapeFitter(models, FitOptions(weights=untrained_weights), "cpu")
    with pytest.raises(ImageError, match="one.png"):
        fitter.fit_shape([ImageRequest(tmp_path / "one.png"), ImageRequest(tmp_path / "two.png")])


@pytest.fixture
def job():
    return Job(1, lambda line: None)


def test_protocol_fits_a_shape_that_later_jobs_keep_exactly(models, untrained_weights, pictures, job, tmp_path):
    service = EngineService(models)
    common = {"weights": str(untrained_weights), "iterations": 1, "device": "cpu", "job_folder": str(tmp_path / "job")}
    answer = service.fit_shape({"images": [{"image": str(path)} for path in pictures], **common}, job)
    assert len(answer["betas"]) == 10 and [frame["used"] for frame in answer["frames"]] == [True, True, False]
    assert [frame["image"] for frame in answer["frames"]] == [str(path) for path in pictures]
    json.dumps(answer, allow_nan=False)
    from refit_engine.results import read_result

    kept = service.reconstruct({"images": [{"image": str(pictures[0])}], "betas": answer["betas"], **common}, job)
    betas = read_result(kept["results"][0]["npz"]).betas[0]
    np.testing.assert_array_equal(betas, np.array(answer["betas"], dtype=np.float32))


def test_protocol_averages_known_shapes(models, job):
    shapes = [[1.0] * 10, [1.2] * 10]
    answer = EngineService(models).fit_shape({"shapes": shapes}, job)
    np.testing.assert_allclose(answer["betas"], 1.1, atol=1e-6)
    assert [frame["used"] for frame in answer["frames"]] == [True, True] and answer["body_name"] == "bundled"
