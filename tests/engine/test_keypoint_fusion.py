# SPDX-License-Identifier: GPL-3.0-or-later
"""The fusion of two networks' keypoints: who is believed, what goes along, and that nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_doubles import STANDING
from refit_engine.body.joints import mirrored_order
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.fitting.crops.keypoint_fusion import SHARED, KeypointFusion, agreeing, directions, fuse
from refit_engine.movenet import COCO_JOINT_NAMES
from refit_engine.network.vector_head import LANDMARK_VALUES

WRIST = COCO_JOINT_NAMES.index("left_wrist")


def person(presence: float = 0.9, score: float = 0.8) -> tuple[torch.Tensor, ...]:
    """Landmarks [1,33,3], vector [1,D], peaks [1,33] and joints [1,17,3] of somebody whom both see alike."""
    landmarks = torch.full((1, 33, 3), 128.0)
    landmarks[0, SHARED, :2] = torch.tensor(STANDING, dtype=torch.float32)
    landmarks[..., 2] = 0.95
    flat = torch.cat([landmarks[..., :2] / 128 - 1, torch.zeros(1, 33, 1), torch.full((1, 33, 2), presence)], -1)
    vector = torch.cat([flat.flatten(1), torch.zeros(1, LANDMARK_VALUES - 165)], 1)
    vector[:, -1] = 1.0
    joints = torch.cat([landmarks[:, SHARED, :2], torch.full((1, 17, 1), score)], -1)
    return landmarks, vector, torch.full((1, 33), presence), joints


def test_where_both_agree_nothing_moves_far():
    landmarks, vector, peaks, joints = person()
    fused = fuse(landmarks, vector, peaks, joints)
    assert (fused - landmarks)[..., :2].norm(dim=-1).max() < 4
    assert (fused - landmarks)[..., 2].abs().max() < 0.06


def test_what_thunder_sees_well_counts_as_visible_and_nothing_as_less_so():
    landmarks, vector, peaks, joints = person(0.1, 0.9)
    landmarks[..., 2] = 0.2
    raised = fuse(landmarks, vector, peaks, joints)[0, :, 2] - 0.2
    hands = [index for index in range(33) if index not in SHARED]
    assert raised[SHARED].min() > 0.2 and not raised[hands].any()
    joints[..., 2] = 0.0
    torch.testing.assert_close(fuse(landmarks, vector, peaks, joints)[..., 2], landmarks[..., 2])


def test_where_thunder_saw_nobody_landmarks_stay():
    landmarks, vector, peaks, joints = person()
    torch.testing.assert_close(
        fuse(landmarks, vector, peaks, torch.full_like(joints, np.nan)), landmarks, atol=0, rtol=0
    )


def test_people_are_fused_one_by_one():
    landmarks, vector, peaks, joints = person()
    joints[..., :2] += 6
    both = torch.cat([torch.full_like(joints, np.nan), joints])
    fused = fuse(landmarks.expand(2, -1, -1), vector.expand(2, -1), peaks.expand(2, -1), both)
    torch.testing.assert_close(fused[0], landmarks[0], atol=0, rtol=0)
    torch.testing.assert_close(fused[1:], fuse(landmarks, vector, peaks, joints))


def shared_of_the_way(presence: float, score: float, away: float = 40.0) -> float:
    """How far the left wrist goes to where Thunder sees it."""
    landmarks, vector, peaks, joints = person(presence, score)
    joints[0, WRIST, 0] += away
    without = fuse(*person(presence, score))[0, SHARED[WRIST], 0]
    return float((fuse(landmarks, vector, peaks, joints)[0, SHARED[WRIST], 0] - without) / away)


def test_the_surer_eye_is_believed():
    shares = [shared_of_the_way(*sure) for sure in ((0.9, 0.1), (0.5, 0.5), (0.1, 0.9))]
    assert shares == sorted(shares)
    assert shares[0] < 0.3 and shares[2] > 0.6


def test_what_hangs_on_a_joint_goes_along_with_it():
    landmarks, vector, peaks, joints = person(0.2, 0.9)
    joints[0, WRIST, :2] += 30
    moved = (fuse(landmarks, vector, peaks, joints) - fuse(*person(0.2, 0.9)))[0, :, :2]
    hand = [LANDMARK_NAMES.index(f"left_{part}") for part in ("pinky", "index", "thumb")]
    assert moved[SHARED[WRIST]].min() > 3
    torch.testing.assert_close(moved[hand], moved[SHARED[WRIST]].expand(3, 2), atol=2.0, rtol=0)


def test_a_small_change_of_what_is_seen_is_a_small_change_of_the_result():
    """No switch: landmarks move by little more than the joint, wherever it is."""
    landmarks, vector, peaks, joints = person(0.6, 0.5)
    places = []
    for away in np.linspace(0, 120, 241):
        joints[0, WRIST, 0] = float(STANDING[WRIST, 0] - away)
        places.append(fuse(landmarks, vector, peaks, joints)[0, SHARED[WRIST], 0].item())
    assert np.abs(np.diff(places)).max() < 1.0


def test_both_mean_the_same_place_in_any_turned_and_scaled_crop():
    network = KeypointFusion()
    network.moves.normal_(generator=torch.Generator().manual_seed(0))
    joints = person()[3]
    turn = torch.tensor([[0.0, -1.3], [1.3, 0.0]])
    turned = torch.cat([joints[..., :2] @ turn.T, joints[..., 2:]], -1)
    torch.testing.assert_close(network.moved(turned)[..., :2], network.moved(joints)[..., :2] @ turn.T)


def test_directions_of_a_mirrored_person_are_mirrored():
    places = person()[3][..., :2] + torch.rand(1, 17, 2, generator=torch.Generator().manual_seed(0))
    flip = torch.tensor([-1.0, 1.0])
    sides = mirrored_order(COCO_JOINT_NAMES)
    torch.testing.assert_close(directions(places[:, sides] * flip), directions(places)[:, sides] * flip)


@pytest.mark.parametrize("away, agrees", [(5.0, True), (30.0, False)])
def test_joints_agree_within_a_fifth_of_the_trunk(away, agrees):
    landmarks, _, _, joints = (part[0].numpy() for part in person())
    joints[WRIST, 0] += away
    assert agreeing(landmarks, joints).sum() == 16 + agrees
