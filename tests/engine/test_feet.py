# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet toward their landmarks, and flat on the floor."""

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import SMPL_JOINT_NAMES, BodyModel, LandmarkBody, load_body
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.fitting.feet import global_rotations, laid_flat, toward_landmarks
from refit_engine.network import CropCamera
from refit_engine.network.geometry import cam_from_translation, project_to_crop

ANKLES = [SMPL_JOINT_NAMES.index(f"{side}_ankle") for side in ("left", "right")]
ENDS = [LANDMARK_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "foot_index")]


@pytest.fixture(scope="module")
def body():
    data = load_body()
    return BodyModel(data).double(), LandmarkBody(data).double()


def turned(*angles: tuple[str, str, float]) -> torch.Tensor:
    """A pose [24,3,3] upright before a camera (Y down), with joints turned about an axis by degrees."""
    rotmats = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    rotmats[0] = roma.rotvec_to_rotmat(torch.tensor([np.pi, 0.0, 0.0], dtype=torch.float64))
    for joint, axis, degrees in angles:
        vector = np.radians(degrees) * np.eye(3)["xyz".index(axis)]
        rotmats[SMPL_JOINT_NAMES.index(joint)] = roma.rotvec_to_rotmat(torch.from_numpy(vector))
    return rotmats


class Seen:
    """A body in a crop 1.7 m wide, three metres away."""

    def __init__(self, body, rotmats):
        self.model, self.landmark_body = body
        middle = torch.tensor([[320.0, 240.0]], dtype=torch.float64)
        self.camera = CropCamera(middle, middle.new_tensor([340.0]), middle.new_tensor([600.0]), middle)
        self.cam = cam_from_translation(torch.tensor([[0.0, -0.2, 3.0]], dtype=torch.float64), self.camera)
        self.rotmats = rotmats[None]

    def landmarks(self, rotmats):
        return project_to_crop(self.landmark_body(self.betas, rotmats), self.cam, self.camera)

    betas = torch.zeros(1, 10, dtype=torch.float64)

    def followed(self, landmarks, feet=(True, True)):
        joints = self.model.joints(self.betas, self.rotmats)
        points = self.landmark_body(self.betas, self.rotmats)
        which = torch.tensor([feet])
        return toward_landmarks(self.rotmats, joints, points, landmarks, self.cam, self.camera, which)


def test_feet_go_to_where_heel_and_toes_are_seen(body):
    seen = Seen(body, turned(("left_hip", "y", 60), ("right_hip", "y", -60)))
    truth = seen.rotmats.clone()
    truth[0, ANKLES] = turned(("left_ankle", "x", 25), ("right_ankle", "x", -25))[ANKLES]
    there, before = seen.landmarks(truth), seen.landmarks(seen.rotmats)
    result = seen.followed(there)
    after = seen.landmarks(result)
    missed, left = ((points - there)[:, ENDS].norm(dim=-1).max() for points in (before, after))
    assert left < 0.6 * missed
    others = [joint for joint in range(24) if joint not in ANKLES]
    torch.testing.assert_close(result[:, others], seen.rotmats[:, others], atol=0, rtol=0)
    torch.testing.assert_close(result @ result.mT, torch.eye(3).double().expand_as(result))


def test_feet_that_are_not_seen_or_are_right_stay(body):
    seen = Seen(body, turned(("left_knee", "x", 30)))
    torch.testing.assert_close(seen.followed(seen.landmarks(seen.rotmats)), seen.rotmats, atol=1e-6, rtol=0)
    away = seen.landmarks(seen.rotmats) + torch.arange(33)[:, None]
    result = seen.followed(away, feet=(True, False))
    assert (result - seen.rotmats)[0, ANKLES[0]].abs().max() > 1e-3
    torch.testing.assert_close(result[0, ANKLES[1]], seen.rotmats[0, ANKLES[1]], atol=1e-12, rtol=0)


def test_wild_landmarks_turn_a_foot_by_no_more_than_feet_are_off(body):
    seen = Seen(body, turned())
    wild = seen.landmarks(seen.rotmats)
    wild[:, ENDS] += torch.tensor([900.0, -700.0])
    turn = roma.rotmat_to_rotvec(seen.followed(wild)[0, ANKLES].mT @ seen.rotmats[0, ANKLES]).norm(dim=1)
    assert 0 < turn.max() < np.radians(45)


def test_people_who_could_not_be_followed_do_no_harm(body):
    seen = Seen(body, turned())
    landmarks = seen.landmarks(seen.rotmats)
    seen.rotmats = seen.rotmats * np.nan
    assert seen.followed(landmarks).isnan().any()


def pitch_and_roll(rotmats, up):
    """Degrees [2,2] of the left and the right foot."""
    feet = [global_rotations(torch.as_tensor(rotmats), ankle)[0].numpy() for ankle in ANKLES]
    return np.degrees(np.arcsin([[foot[:, 2] @ up, foot[:, 0] @ up] for foot in feet]))


def flattened(pose, up, *, lowest=(0.0, 0.0), up_std=0.0, may=(True, True)):
    return laid_flat(pose[None].numpy(), np.array([lowest]), up, up_std, np.array([may]))


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.4, 0.3, -0.2)])
def test_feet_that_stand_nearly_flat_become_flatter(tilt):
    turn = roma.rotvec_to_rotmat(torch.tensor(tilt, dtype=torch.float64))
    pose = turned(("left_ankle", "x", 12), ("right_ankle", "z", 8))
    up = (turn @ torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)).numpy()
    pose[0] = turn @ pose[0]
    before, after = pitch_and_roll(pose[None], up), pitch_and_roll(flattened(pose, up), up)
    assert np.abs(before[0, 0]) == pytest.approx(12, abs=0.5)
    assert np.abs(after[0, 0]) < 0.6 * np.abs(before[0, 0])
    assert np.abs(after[1, 1]) < 0.5 * np.abs(before[1, 1])
    assert (np.sign(after) * np.sign(before) >= 0)[np.abs(before) > 1].all()


def test_who_stands_on_toes_stays_there():
    pose, up = turned(("left_ankle", "x", 50), ("right_ankle", "x", 50)), np.array([0.0, -1, 0])
    before, after = pitch_and_roll(pose[None], up), pitch_and_roll(flattened(pose, up), up)
    np.testing.assert_allclose(after, before, atol=5)


@pytest.mark.parametrize("why", [{"lowest": (0.0, 0.2)}, {"may": (True, False)}])
def test_a_foot_that_does_not_stand_keeps_its_pitch(why):
    pose, up = turned(("left_ankle", "x", 10), ("right_ankle", "x", 10)), np.array([0.0, -1, 0])
    before, after = pitch_and_roll(pose[None], up), pitch_and_roll(flattened(pose, up, **why), up)
    assert np.abs(after[0, 0]) < np.abs(before[0, 0]) - 3
    np.testing.assert_allclose(after[1], before[1], atol=1e-9)


def test_feet_turn_less_where_up_is_a_guess():
    pose, up = turned(("left_ankle", "x", 10)), np.array([0.0, -1, 0])
    left = [np.abs(pitch_and_roll(flattened(pose, up, up_std=std), up)[0, 0]) for std in np.radians([0, 5, 20, 90])]
    assert left == sorted(left) and left[0] < 6 and left[-1] > 9.5


def test_a_foot_that_points_straight_down_has_no_pitch_to_mend():
    pose, up = turned(("left_ankle", "x", 90)), np.array([0.0, -1, 0])
    assert np.isfinite(flattened(pose, up)).all()
