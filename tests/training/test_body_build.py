# SPDX-License-Identifier: GPL-3.0-or-later
"""From MakeHuman's rig to SMPL's T-pose, on a stick figure."""

from __future__ import annotations

import numpy as np
import pytest
from refit_engine.body import SMPL_JOINT_NAMES, SMPL_PARENTS
from refit_training.assets.body_points import mirror_map
from refit_training.assets.body_rest import (
    BoneEnds,
    bone_to_joint_weights,
    place_joints,
    pose_joints,
    t_pose_rotations,
    unskin,
)

MIDLINE = {
    "spine05": ((0, 0.17, 0.01), (0, 0.25, -0.03)),
    "spine04": ((0, 0.25, -0.03), (0, 0.33, -0.01)),
    "spine02": ((0, 0.41, -0.01), (0, 0.56, -0.02)),
    "spine01": ((0, 0.56, -0.02), (0, 0.75, 0.01)),
    "neck01": ((0, 0.75, 0.01), (0, 0.78, 0.02)),
    "neck02": ((0, 0.78, 0.02), (0, 0.82, 0.03)),
}
# Arms hang sideways with bent elbows, palms half inwards, feet turned in: nothing is as in a T-pose.
LEFT = {
    "upperleg01": ((0.11, 0.16, 0), (0.11, 0.06, 0.03)),
    "upperleg02": ((0.11, 0.06, 0.03), (0.15, -0.29, 0.04)),
    "lowerleg01": ((0.15, -0.29, 0.04), (0.17, -0.51, 0.02)),
    "foot": ((0.19, -0.74, 0), (0.19, -0.77, 0.08)),
    "toe1-1": ((0.13, -0.79, 0.16), (0.13, -0.79, 0.19)),
    "toe2-1": ((0.15, -0.79, 0.16), (0.15, -0.79, 0.19)),
    "toe3-1": ((0.17, -0.79, 0.15), (0.17, -0.79, 0.18)),
    "toe4-1": ((0.19, -0.79, 0.14), (0.19, -0.79, 0.17)),
    "clavicle": ((0.02, 0.67, 0.03), (0.11, 0.69, 0.03)),
    "upperarm01": ((0.19, 0.65, 0.02), (0.24, 0.58, 0.02)),
    "lowerarm01": ((0.38, 0.44, 0.03), (0.44, 0.37, 0.12)),
    "wrist": ((0.51, 0.30, 0.21), (0.52, 0.29, 0.24)),
    "metacarpal1": ((0.52, 0.29, 0.24), (0.54, 0.26, 0.31)),
    "metacarpal2": ((0.52, 0.29, 0.24), (0.56, 0.25, 0.29)),
    "metacarpal3": ((0.53, 0.27, 0.22), (0.56, 0.24, 0.27)),
    "metacarpal4": ((0.53, 0.27, 0.22), (0.57, 0.23, 0.25)),
}


@pytest.fixture(scope="module")
def ends() -> BoneEnds:
    bones = dict(MIDLINE)
    for label, pair in LEFT.items():
        bones[f"{label}.L"] = pair
        bones[f"{label}.R"] = tuple((-x, y, z) for x, y, z in pair)
    places = np.array(list(bones.values()), float)
    return BoneEnds(tuple(bones), places[None, :, 0], places[None, :, 1])


@pytest.fixture(scope="module")
def t_pose(ends) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    joints = place_joints(ends)
    rotations = t_pose_rotations(joints, ends)
    return joints, rotations, pose_joints(joints, rotations)


def bone(joints: np.ndarray, start: str, end: str) -> np.ndarray:
    vector = joints[0, SMPL_JOINT_NAMES.index(end)] - joints[0, SMPL_JOINT_NAMES.index(start)]
    return vector / np.linalg.norm(vector)


def test_rotations_are_rotations(t_pose):
    _, rotations, _ = t_pose
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, -1, -2), np.tile(np.eye(3), (1, 24, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_bent_arms_come_out_level_and_straight(t_pose):
    before, _, after = t_pose
    fold = bone(before, "left_shoulder", "left_elbow") @ bone(before, "left_elbow", "left_wrist")
    assert fold < 0.9
    for side, sign in (("left", 1), ("right", -1)):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand")):
            assert bone(after, f"{side}_{start}", f"{side}_{end}")[0] * sign > 0.99


def test_feet_turn_out_and_stay_level(t_pose):
    before, _, after = t_pose
    assert bone(before, "left_ankle", "left_foot")[0] < 0
    sole = bone(after, "left_ankle", "left_foot")
    assert np.rad2deg(np.arctan2(sole[0], sole[2])) == pytest.approx(10)
    assert sole[1] == pytest.approx(bone(before, "left_ankle", "left_foot")[1])


def test_palms_turn_down(ends, t_pose):
    _, rotations, _ = t_pose
    for suffix, side, sign in ((".L", "left", 1), (".R", "right", -1)):
        knuckles = [ends.at(f"metacarpal{i}{suffix}", "tail") - ends.at(f"wrist{suffix}", "head") for i in (4, 1)]
        palm = np.cross(*knuckles)[0] * sign
        down = rotations[0, SMPL_JOINT_NAMES.index(f"{side}_wrist")] @ palm
        assert down[1] / np.linalg.norm(down) < -0.99


def test_the_right_side_mirrors_the_left(t_pose):
    _, _, after = t_pose
    for index, name in enumerate(SMPL_JOINT_NAMES):
        if name.startswith("left_"):
            other = SMPL_JOINT_NAMES.index(name.replace("left", "right"))
            np.testing.assert_allclose(after[0, other], after[0, index] * [-1, 1, 1], atol=1e-12)


def test_skinning_an_unskinned_body_gives_it_back(t_pose):
    joints, rotations, posed = t_pose
    random = np.random.default_rng(0)
    owner = random.integers(0, 24, 200)
    vertices = joints[:, owner] + random.standard_normal((1, 200, 3)) * 0.05
    weights = np.zeros((200, 24))
    weights[np.arange(200), owner] = 0.7
    weights[np.arange(200), np.maximum(np.array(SMPL_PARENTS)[owner], 0)] += 0.3
    rest = unskin(vertices, weights, joints, rotations, posed)
    # Back again, one joint at a time: undo the rotation about the joint's place in the T-pose.
    moved = np.einsum("jba,vjb->vja", rotations[0], rest[0][:, None] - posed[0]) + joints[0]
    np.testing.assert_allclose(np.einsum("vj,vja->va", weights, moved), vertices[0], atol=1e-12)


def test_bones_pass_their_weight_to_the_nearest_carrier():
    labels = ("root", "spine04", "spine03", "neck01", "neck03", "head", "wrist.L", "finger1-1.L", "finger2-1.L")
    shares = bone_to_joint_weights(labels, (-1, 0, 1, 2, 3, 4, 2, 6, 6))
    carrier = {label: SMPL_JOINT_NAMES[row.argmax()] for label, row in zip(labels, shares, strict=True)}
    assert carrier["head"] == "head" and carrier["finger1-1.L"] == "left_wrist"
    assert carrier["finger2-1.L"] == "left_hand" and carrier["spine03"] == "spine1"
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_a_lopsided_mesh_has_no_mirror_map():
    left = np.random.default_rng(0).random((20, 3)) + [0.1, 0, 0]
    mirror = mirror_map(np.concatenate([left, left * [-1, 1, 1]]))
    np.testing.assert_array_equal(mirror, np.roll(np.arange(40), 20))
    with pytest.raises(ValueError, match="symmetry"):
        mirror_map(left)
