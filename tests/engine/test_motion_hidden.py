# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints of moving bodies that no camera shows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refit_engine.body import SMPL_JOINT_NAMES, BodyModel, load_body
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.camera import Intrinsics
from refit_engine.fitting.motion.frame_fit import Record
from refit_engine.fitting.motion.hidden import guessed_in_motion
from refit_engine.fitting.motion.people import Person
from refit_engine.motion_results import ABSENT, FILLED, SEEN

FRAMES, AWAY, FOCAL = 4, 4.0, 400.0
LEGS = {f"{side}_{part}" for side in ("left", "right") for part in ("ankle", "foot")}
ARM = {"left_elbow", "left_wrist", "left_hand"}


@pytest.fixture(scope="module")
def standing() -> np.ndarray:
    """Joints [F,24,3] of somebody with arms held out, in the frame of a camera at the pelvis' height."""
    with torch.inference_mode():
        joints = BodyModel(load_body()).eval().joints(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3))[0].numpy()
    return np.tile((joints - joints[0]) * (1, -1, -1) + (0, 0, AWAY), (FRAMES, 1, 1)).astype(np.float64)


def camera(size: tuple[int, int]) -> SimpleNamespace:
    """A still camera whose axis meets the pelvis at the pixel (200, 200) of a picture of that size."""
    K = np.array([[FOCAL, 0, 200], [0, FOCAL, 200], [0, 0, 1.0]])
    pictures = SimpleNamespace(footage=SimpleNamespace(size=size))
    R, t = np.tile(np.eye(3), (FRAMES, 1, 1)), np.zeros((FRAMES, 3))
    return SimpleNamespace(R=R, t=t, intrinsics=(Intrinsics(K, "user"),) * FRAMES, pictures=pictures)


def record(frames: range = range(FRAMES), **visibility: float) -> Record:
    """A track at these frames; visibility: of the landmarks of a side and kind, such as left_wrist, others are 1."""
    marks = np.ones((33, 3))
    for name, value in visibility.items():
        marks[LANDMARK_NAMES.index(name), 2] = value
    track = Record(list(frames))
    for _ in frames:
        track.landmarks.append(marks)
    return track


def names(marked: np.ndarray) -> set[str]:
    return {name for name, one in zip(SMPL_JOINT_NAMES, marked, strict=True) if one}


def guessed(joints: np.ndarray, *cameras: tuple[SimpleNamespace, Record], state: list[int] | None = None) -> np.ndarray:
    views, tracks = zip(*cameras, strict=True)
    states = np.array([SEEN] * FRAMES if state is None else state)
    return guessed_in_motion(Person(tuple(enumerate(tracks))), joints, states, views)


def test_whoever_is_seen_whole_has_nothing_guessed(standing):
    assert not guessed(standing, (camera((400, 400)), record())).any()


def test_joints_outside_the_pictures_are_guessed_at_their_instants(standing):
    walking = standing.copy()
    walking[2:, :, 1] += 0.3  # metres further down
    found = guessed(walking, (camera((400, 310)), record()))
    assert names(found[0]) == set() and names(found[3]) == LEGS


def test_a_second_camera_shows_what_the_first_does_not(standing):
    low, wide = camera((400, 265)), camera((400, 400))
    assert names(guessed(standing, (low, record()))[0]) == LEGS
    found = guessed(standing, (low, record()), (wide, record(range(2))))
    assert [names(one) for one in found] == [set(), set(), LEGS, LEGS]


def test_limb_that_nobody_finds_near_the_border_is_guessed(standing):
    unseen = dict.fromkeys(("left_elbow", "left_wrist", "left_index", "left_pinky", "left_thumb"), 0.02)
    standing = standing.copy()
    arm = [SMPL_JOINT_NAMES.index(name) for name in ARM]  # folded in front of the trunk
    standing[:, arm, 0] = 2 * standing[:, [SMPL_JOINT_NAMES.index("left_shoulder")], 0] - standing[:, arm, 0]
    right_of_shoulder = camera((225, 400))
    assert names(guessed(standing, (right_of_shoulder, record(**unseen)))[0]) == ARM
    assert names(guessed(standing, (right_of_shoulder, record()))[0]) == set()
    assert names(guessed(standing, (camera((400, 400)), record(**unseen)))[0]) == set()


def test_in_a_filled_gap_everything_is_guessed_and_nothing_where_nobody_is(standing):
    state = [SEEN, FILLED, ABSENT, SEEN]
    standing = np.where(np.array(state)[:, None, None] == ABSENT, np.nan, standing)
    track = record(range(0, FRAMES, 3))
    found = guessed(standing, (camera((400, 400)), track), state=state)
    assert found.all(axis=1).tolist() == [False, True, False, False] and not found[[0, 2, 3]].any()
