# SPDX-License-Identifier: GPL-3.0-or-later
"""How a crop is turned by the joints that Thunder sees."""

from __future__ import annotations

import numpy as np
import pytest
from engine_doubles import STANDING
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import Crop, crop_matrix, rotation_2d, transform
from refit_engine.fitting.crops.upright import NUMBERS, align_upright, body_circle
from refit_engine.movenet import COCO_JOINT_NAMES

INTRINSICS = choose_intrinsics(640, 480)
PICTURE = np.zeros((480, 640, 3), np.uint8)
CROP = Crop(np.array([300.0, 200.0]), 256.0, 0.0)
BOX = np.array([200.0, 100, 200, 200])


def standing(score: float = 0.9) -> np.ndarray:
    return np.column_stack([STANDING, np.full(17, score)])


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -120])
def test_the_circle_turns_with_the_body(degrees):
    turn = rotation_2d(np.radians(degrees))
    hip, top = body_circle(np.column_stack([STANDING @ turn.T, np.full(17, 0.9)]))
    np.testing.assert_allclose(hip, turn @ (128, 134), atol=1e-9)
    radius = NUMBERS.limb_ends * np.linalg.norm(STANDING - (128, 134), axis=1).max()
    np.testing.assert_allclose(top, turn @ (128, 134 - radius), atol=1e-9)


def test_joints_that_are_not_seen_are_no_part_of_the_circle():
    joints = standing()
    joints[COCO_JOINT_NAMES.index("left_ankle")] = (1000, 1000, 0.05)
    assert np.linalg.norm(np.subtract(*body_circle(joints))) < 130


def test_the_circle_of_unseen_joints_is_finite():
    assert np.isfinite(body_circle(np.zeros((17, 3)))).all()


class Eye:
    """Sees somebody who stands in crops that are turned by a number of degrees; elsewhere hardly anybody."""

    def __init__(self, degrees: float, there: float = 0.8, elsewhere: float = 0.1) -> None:
        self.degrees, self.scores, self.turns = degrees, (elsewhere, there), 0

    def look(self, crop: np.ndarray) -> np.ndarray:
        turn = (0, 90, 180, -90)[self.turns]
        self.turns += 1
        return standing(self.scores[turn == self.degrees])


@pytest.mark.parametrize("degrees, turns", [(0, 1), (90, 2), (180, 3), (-90, 4)])
def test_other_quarter_turns_are_tried_until_somebody_is_seen(degrees, turns):
    eye = Eye(degrees)
    aligned = align_upright(PICTURE, CROP, BOX, INTRINSICS, eye)
    assert eye.turns == turns
    assert np.cos(aligned.crop.roll - np.radians(degrees)) > 0.99999
    places = transform(crop_matrix(aligned.crop, INTRINSICS), aligned.joints[:, :2])
    hips = places[[COCO_JOINT_NAMES.index("left_hip"), COCO_JOINT_NAMES.index("right_hip")]].mean(axis=0)
    np.testing.assert_allclose(hips, 128, atol=0.2)
    assert places[COCO_JOINT_NAMES.index("nose"), 1] < 128 < places[COCO_JOINT_NAMES.index("left_knee"), 1]


def test_the_surest_of_four_unsure_turns_is_taken():
    aligned = align_upright(PICTURE, CROP, BOX, INTRINSICS, Eye(180, there=0.25, elsewhere=0.2))
    assert abs(np.degrees(aligned.crop.roll)) == pytest.approx(180, abs=0.1)


@pytest.mark.parametrize("box", [(500.0, 300, 60, 60), (0, 0, 20, 20)])
def test_somebody_outside_the_box_is_not_believed(box):
    aligned = align_upright(PICTURE, CROP, np.array(box), INTRINSICS, Eye(0))
    assert aligned.crop is CROP and aligned.joints is None


def test_where_nobody_is_seen_the_crop_stays():
    aligned = align_upright(PICTURE, CROP, BOX, INTRINSICS, Eye(0, there=0.0, elsewhere=0.0))
    assert aligned.crop is CROP and aligned.joints is None
