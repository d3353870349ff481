# SPDX-License-Identifier: GPL-3.0-or-later
"""A second look at a person who was cut out badly, and a second opinion on the landmarks."""

import numpy as np
import pytest
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import ROI_PADDING, Crop
from refit_engine.detect import JOINT_NAMES
from refit_engine.fitting.second_opinion import average
from refit_engine.fitting.upright import look_again

INTRINSICS = choose_intrinsics(640, 480)
CROP = Crop(np.array([300.0, 200.0]), 256.0, 0.0)
RADIUS = 128 / ROI_PADDING


def circle(hip=(128.0, 128.0), degrees=0.0, radius=RADIUS):
    angle = np.radians(degrees)
    return np.array([hip, np.add(hip, radius * np.array([np.sin(angle), -np.cos(angle)]))])


def test_good_crop_is_kept():
    assert look_again(CROP, INTRINSICS, circle(degrees=3)) is None


@pytest.mark.parametrize(
    "seen, center, side, roll",
    [
        (circle(hip=(168.0, 128.0)), (340, 200), 256, 0),
        (circle(radius=1.3 * RADIUS), (300, 200), 1.3 * 256, 0),
        (circle(degrees=30), (300, 200), 256, -30),
    ],
)
def test_shifted_small_or_turned_crop_is_corrected(seen, center, side, roll):
    better = look_again(CROP, INTRINSICS, seen)
    np.testing.assert_allclose(better.center, center, atol=1e-6)
    assert better.side == pytest.approx(side)
    assert np.degrees(better.roll) == pytest.approx(roll)


def test_wild_circle_is_not_believed():
    assert look_again(CROP, INTRINSICS, circle(radius=20 * RADIUS)) is None


def person():
    """Landmarks [33,3] and joints [17,3] of somebody whose trunk is 50 pixels long; both networks see the same."""
    rng = np.random.default_rng(0)
    landmarks = np.column_stack([rng.uniform(0, 256, (33, 2)), np.ones(33)])
    for name, place in (("left_shoulder", (100, 100)), ("right_hip", (130, 140))):
        landmarks[LANDMARK_NAMES.index(name), :2] = place
    for name, place in (("right_shoulder", (130, 100)), ("left_hip", (100, 140))):
        landmarks[LANDMARK_NAMES.index(name), :2] = place
    joints = np.array([landmarks[LANDMARK_NAMES.index(name)] for name in JOINT_NAMES])
    joints[:, 2] = 0.9
    return landmarks, joints


@pytest.mark.parametrize("shift, score, moved", [(8.0, 0.9, 4.0), (12.0, 0.9, 0.0), (8.0, 0.1, 0.0)])
def test_joints_that_agree_and_are_sure_are_met_halfway(shift, score, moved):
    landmarks, joints = person()
    joints[JOINT_NAMES.index("left_wrist")] += (shift, 0, score - 0.9)
    expected = landmarks.copy()
    expected[LANDMARK_NAMES.index("left_wrist"), 0] += moved
    np.testing.assert_allclose(average(landmarks, joints), expected, atol=1e-9)
