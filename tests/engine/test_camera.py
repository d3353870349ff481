# SPDX-License-Identifier: GPL-3.0-or-later
"""Intrinsics, their sources, and lens distortion."""

import numpy as np
import pytest
from refit_engine import camera
from refit_engine.errors import ImageError

DIST = np.array([-0.28, 0.09, 0.001, -0.0007, 0.01])
K = np.array([[900.0, 0, 655.0], [0, 910.0, 350.0], [0, 0, 1]])


def test_default_focal_is_the_diagonal_and_the_axis_meets_the_middle():
    chosen = camera.choose_intrinsics(1600, 1200)
    assert chosen.source == "default"
    np.testing.assert_allclose(chosen.K, [[2000, 0, 800], [0, 2000, 600], [0, 0, 1]])


def test_better_knowledge_wins():
    assert camera.choose_intrinsics(100, 50, K=np.eye(3), focal=5, exif_focal=7).source == "scene"
    assert camera.choose_intrinsics(100, 50, focal=5, exif_focal=7).focal.tolist() == [5, 5]
    assert camera.choose_intrinsics(100, 50, exif_focal=7).source == "exif"


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 3)),
        np.eye(4),
        np.full((3, 3), np.nan),
        np.diag([-500.0, 500, 1]),
        np.array([[500.0, 40, 320], [0, 500, 240], [0, 0, 1]]),
        np.array([[500.0, 0, 90000], [0, 500, 240], [0, 0, 1]]),
    ],
    ids=["singular", "4x4", "nan", "mirrored", "skewed", "elsewhere"],
)
def test_impossible_camera_matrices_are_refused(bad):
    with pytest.raises(ImageError):
        camera.choose_intrinsics(640, 480, K=bad)


@pytest.mark.parametrize("focal", [0.0, -3.0, float("nan"), float("inf")])
def test_impossible_focal_lengths_are_refused(focal):
    with pytest.raises(ImageError):
        camera.choose_intrinsics(640, 480, focal=focal)


def test_points_behind_the_camera_have_no_pixel():
    pixels = camera.project(np.array([[0.0, 0, 2], [0, 0, -2], [0, 0, 0]]), K)
    np.testing.assert_allclose(pixels[0], K[:2, 2])
    assert np.isnan(pixels[1:]).all()


def test_distortion_is_undone_by_undistortion():
    points = np.random.default_rng(0).uniform([50, 50], [1230, 670], (200, 2))
    there = camera.undistort_points(camera.distort_points(points, K, DIST), K, DIST)
    assert np.abs(there - points).max() < 0.05


def test_undistorted_pixels_lie_where_undistorted_points_say():
    """A dot drawn at a distorted position comes out at the undistorted one: the pixel origins agree."""
    place = np.array([[300.5, 200.5]])
    image = np.zeros((720, 1280, 3), np.uint8)
    y, x = np.mgrid[0:720, 0:1280] + 0.5
    image[:] = (255 * np.exp(-((x - place[0, 0]) ** 2 + (y - place[0, 1]) ** 2) / 50))[..., None]
    flat = camera.undistort_image(image, K, DIST)[..., 0].astype(float)
    found = np.array([(x * flat).sum(), (y * flat).sum()]) / flat.sum()
    assert np.abs(found - camera.undistort_points(place, K, DIST)[0]).max() < 0.1


def test_box_of_an_undistorted_image_contains_what_the_box_held():
    box = np.array([100.0, 80, 300, 500])
    inside = np.random.default_rng(1).uniform(box[:2], box[:2] + box[2:], (100, 2))
    moved = camera.undistort_points(inside, K, DIST)
    x, y, w, h = camera.undistort_box(box, K, DIST)
    assert (moved >= [x - 0.5, y - 0.5]).all() and (moved <= [x + w + 0.5, y + h + 0.5]).all()
