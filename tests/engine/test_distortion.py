# SPDX-License-Identifier: GPL-3.0-or-later
"""Lens distortion, held to OpenCV's functions and to what Blender does to a picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from refit_engine.distortion import (
    Distortion,
    distort_points,
    undistort_box,
    undistort_image,
    undistort_points,
)
from refit_engine.errors import ImageError

DATA = Path(__file__).parents[1] / "data"
K = np.array([[900.0, 0, 655.0], [0, 910.0, 350.0], [0, 0, 1]])
SIZE = (1280, 720)
OPENCV = (-0.28, 0.09, 0.001, -0.0007, 0.01)
LENSES = [
    Distortion("opencv", OPENCV[:4]),
    Distortion("opencv", OPENCV),
    Distortion("opencv", (0.3, -0.1, 0.001, -0.002, 0.01, 0.5, -0.05, 0.002)),
    Distortion("polynomial", (-0.2, 0.05, 0.01)),
    Distortion("division", (0.15, 0.03)),
    Distortion("nuke", (0.08, 0.01), SIZE),
    Distortion("brown", (-0.2, 0.05, 0.01, 0.005, 0.002, -0.003)),
]
IDS = [f"{lens.model} {len(lens.coefficients)}" for lens in LENSES]
every_lens = pytest.mark.parametrize("lens", LENSES, ids=IDS)


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform([20, 20], [1260, 700], (200, 2))


@pytest.mark.parametrize("lens", LENSES[:3], ids=IDS[:3])
def test_opencv_model_is_opencvs(lens, points):
    rays = (points - K[:2, 2]) / K[[0, 1], [0, 1]]
    coefficients = np.array(lens.coefficients)
    expected, _ = cv2.projectPoints(
        np.column_stack([rays, np.ones(len(rays))]), np.zeros(3), np.zeros(3), K, coefficients
    )
    np.testing.assert_allclose(distort_points(points, K, lens), expected[:, 0], atol=1e-6)


def test_blenders_models_are_blenders():
    """tests/addon/lens_maps.py recorded them, and test_lenses.py there watches over the versions."""
    with np.load(DATA / "blender_lenses.npz") as recorded:
        for index, model in enumerate(recorded["models"]):
            coefficients = recorded["coefficients"][index, : recorded["counts"][index]]
            if model == "brown":
                coefficients[5] *= -1  # Blender counts y upwards
            lens = Distortion(str(model), tuple(coefficients), tuple(recorded["size"]))
            found = distort_points(recorded["undistorted"], recorded["K"][index], lens)
            taken = recorded["taken"][index]
            seen = np.isfinite(taken).all(axis=1)
            assert seen.mean() > 0.9
            np.testing.assert_allclose(found[seen], taken[seen], atol=1e-3, err_msg=f"{index}: {model}")


@every_lens
def test_undistortion_undoes_distortion(lens, points):
    assert np.abs(distort_points(points, K, lens) - points).max() > 5
    np.testing.assert_allclose(undistort_points(distort_points(points, K, lens), K, lens), points, atol=1e-5)
    np.testing.assert_allclose(distort_points(undistort_points(points, K, lens), K, lens), points, atol=1e-5)


@every_lens
def test_undistorted_picture_shows_what_undistorted_points_say(lens):
    """A dot drawn at a distorted place comes out at the undistorted one: the pixel origins agree."""
    place = np.array([[300.5, 200.5]])
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] + 0.5
    dot = np.exp(-((x - place[0, 0]) ** 2 + (y - place[0, 1]) ** 2) / 50)
    image = np.repeat((255 * dot).astype(np.uint8)[..., None], 3, axis=2)
    flat, K_out = undistort_image(image, K, lens)
    assert flat.shape == image.shape
    np.testing.assert_array_equal(K_out, K)
    weight = flat[..., 0].astype(float)
    found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    assert np.abs(found - undistort_points(place, K, lens)[0]).max() < 0.1


def test_polynomial_that_turns_back_shows_nothing_twice():
    """Beyond its turning point the polynomial would show the middle of the picture once more, at the border."""
    lens = Distortion.opencv((-0.5, 0.0, 0.0, 0.0))
    wide = np.array([[400.0, 0, 640], [0, 400, 360], [0, 0, 1]])
    flat, _ = undistort_image(np.full((720, 1280, 3), 200, np.uint8), wide, lens)
    turning = 400 * np.sqrt(1 / 1.5)
    y, x = np.mgrid[0:720, 0:1280] + 0.5
    radius = np.hypot(x - 640, y - 360)
    assert (flat[radius > turning + 2] == 0).all()
    assert (flat[radius < turning - 2] == 200).all()


def test_point_that_no_lens_could_have_taken_there_gets_the_nearest():
    lens = Distortion.opencv((-0.5, 0.0, 0.0, 0.0))
    found = undistort_points(np.array([[K[0, 2] + 2000, K[1, 2]]]), K, lens)
    assert np.isfinite(found).all()


def test_no_distortion_is_none():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    lens = Distortion.opencv(np.zeros(5))
    flat, _ = undistort_image(image, K, lens)
    np.testing.assert_array_equal(flat, image)


def test_box_of_an_undistorted_picture_contains_what_the_box_held():
    lens = Distortion.opencv(OPENCV)
    box = np.array([100.0, 80, 300, 500])
    inside = np.random.default_rng(1).uniform(box[:2], box[:2] + box[2:], (100, 2))
    moved = undistort_points(inside, K, lens)
    x, y, w, h = undistort_box(box, K, lens)
    assert (moved >= [x - 0.5, y - 0.5]).all() and (moved <= [x + w + 0.5, y + h + 0.5]).all()


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("fisheye", (0, 0, 0, 0)), ("opencv", (0, 0)), ("brown", (0,) * 5), ("division", (float("nan"), 0))],
)
def test_impossible_lenses_are_refused(model, coefficients):
    with pytest.raises(ImageError, match="distortion model"):
        Distortion(model, coefficients)


def test_nuke_needs_to_know_the_size():
    with pytest.raises(ImageError, match="size of the picture"):
        distort_points(np.zeros((1, 2)), K, Distortion("nuke", (0.1, 0.0)))
