# SPDX-License-Identifier: GPL-3.0-or-later
"""Intrinsics and their sources."""

import numpy as np
import pytest
from refit_engine import camera
from refit_engine.errors import ImageError

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
        np.array([[3.0, 0, 320], [0, 500, 240], [0, 0, 1]]),
        np.array([[500.0, 0, 320], [0, 1e9, 240], [0, 0, 1]]),
    ],
    ids=["singular", "4x4", "nan", "mirrored", "skewed", "elsewhere", "wide", "narrow"],
)
def test_impossible_camera_matrices_are_refused(bad):
    with pytest.raises(ImageError):
        camera.choose_intrinsics(640, 480, K=bad)


@pytest.mark.parametrize("focal", [0.0, -3.0, float("nan"), float("inf"), 1e-300, 3.0, 1e7, 1e300])
def test_impossible_focal_lengths_are_refused(focal):
    with pytest.raises(ImageError):
        camera.choose_intrinsics(640, 480, focal=focal)


def test_points_behind_the_camera_have_no_pixel():
    pixels = camera.project(np.array([[0.0, 0, 2], [0, 0, -2], [0, 0, 0]]), K)
    np.testing.assert_allclose(pixels[0], K[:2, 2])
    assert np.isnan(pixels[1:]).all()
