# SPDX-License-Identifier: GPL-3.0-or-later
"""From MakeHuman's rig to SMPL's T-pose, on a stick figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refit_engine.body import SMPL_JOINT_NAMES, SMPL_PARENTS
from refit_training.assets.body_hands import FingerBones, relax_hands
from refit_training.assets.body_points import mirror_map
from refit_training.assets.body_rest import (
    BoneEnds,
    bone_to_joint_weights,
    lengthen_forearms,
    place_joints,
    pose_joints,
    t_pose_rotations,
    unskin,
)
from refit_training.assets.body_shapes import ShapeSpace, aligned, as_tall_as, packed_difference
from refit_training.assets.body_weights import WeightedMesh, shift_to_joints, weight_plane

MIDLINE = {
    "spine05": ((0, 0.17, 0.01), (0, 0.25, -0.03)),
    "spine04": ((0, 0.25, -0.03), (0, 0.33, -0.01)),
    "spine03": ((0, 0.33, -0.01), (0, 0.41, -0.01)),
    "spine02": ((0, 0.41, -0.01), (0, 0.56, -0.02)),
    "spine01": ((0, 0.56, -0.02), (0, 0.75, 0.01)),
    "neck01": ((0, 0.75, 0.01), (0, 0.78, 0.02)),
    "neck02": ((0, 0.78, 0.02), (0, 0.82, 0.03)),
    "neck03": ((0, 0.82, 0.03), (0, 0.84, 0.05)),
    "head": ((0, 0.84, 0.05), (0, 1.0, 0.05)),
    "jaw": ((0, 0.85, 0.06), (0, 0.77, 0.12)),
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


def test_forearms_grow_and_carry_the_hands_along(t_pose):
    _, _, after = t_pose
    longer = lengthen_forearms(after, after)
    names = ("left_elbow", "left_wrist", "left_hand", "left_knee")
    elbow, wrist, hand, knee = (SMPL_JOINT_NAMES.index(name) for name in names)
    before, now = (np.linalg.norm(joints[0, wrist] - joints[0, elbow]) for joints in (after, longer))
    assert 1.05 * before < now < 1.15 * before
    np.testing.assert_allclose(longer[:, hand] - longer[:, wrist], after[:, hand] - after[:, wrist], atol=1e-12)
    np.testing.assert_array_equal(longer[:, [elbow, knee]], after[:, [elbow, knee]])


def hand_bones() -> BoneEnds:
    """A flat left hand that points to the left, palm down, fingers spread; and its mirror image."""
    bones = {"wrist.L": ((0.0, 0, 0), (0.02, 0, 0))}
    for number, side in enumerate((0.04, 0.015, -0.015, -0.04), start=1):
        bones[f"metacarpal{number}.L"] = ((0.02, 0, side / 2), (0.1, 0, side))
    for finger, (x, z, slope) in enumerate(
        ((0.03, 0.05, 0.8), (0.1, 0.04, 0.3), (0.1, 0.015, 0.05), (0.1, -0.015, -0.2), (0.1, -0.04, -0.4)), start=1
    ):
        for part in range(3):
            ends = [(x + step * 0.03, 0, z + step * 0.03 * slope) for step in (part, part + 1)]
            bones[f"finger{finger}-{part + 1}.L"] = tuple(ends)
    both = {name[:-1] + "R": tuple((-x, y, z) for x, y, z in ends) for name, ends in bones.items()} | bones
    places = np.array(list(both.values()), float)
    return BoneEnds(tuple(both), places[None, :, 0], places[None, :, 1])


def test_fingers_curl_towards_the_palm_and_close_up():
    flat = hand_bones()
    bones = FingerBones(flat.labels, np.arange(len(flat.labels)), np.eye(len(flat.labels)))
    skin, relaxed = relax_hands(flat.tails, flat, bones)
    np.testing.assert_allclose(skin, relaxed.tails, atol=1e-12)
    for finger in range(2, 6):
        tip, joint = relaxed.at(f"finger{finger}-3.L", "tail"), relaxed.at(f"finger{finger}-2.L", "tail")
        assert tip[0, 1] < joint[0, 1] < 0
        lengths = [
            np.linalg.norm(ends.at(f"finger{finger}-3.L", "tail") - ends.at(f"finger{finger}-3.L", "head"))
            for ends in (flat, relaxed)
        ]
        assert lengths[0] == pytest.approx(lengths[1])
    spread = [ends.at("finger2-3.L", "tail")[0, 2] - ends.at("finger5-3.L", "tail")[0, 2] for ends in (flat, relaxed)]
    assert 0.08 < spread[1] < spread[0] - 0.03
    for label in flat.labels:
        if label.endswith(".L"):
            mirrored = relaxed.at(label[:-1] + "R", "tail") * [-1, 1, 1]
            np.testing.assert_allclose(relaxed.at(label, "tail"), mirrored, atol=1e-12)


def test_weights_move_to_the_joints_along_a_limb():
    """A leg of tubes whose weights go over 3 cm below the knee."""
    joints = np.tile([0.0, 2.0, 0.0], (24, 1))  # trunk and arms are far away
    for part, height in (("hip", 0.0), ("knee", -0.4), ("ankle", -0.8), ("foot", -0.84)):
        for side, sign in (("left", 1), ("right", -1)):
            joints[SMPL_JOINT_NAMES.index(f"{side}_{part}")] = (0.1 * sign, height, 0.1 if part == "foot" else 0.0)
    heights, angles = np.meshgrid(np.linspace(0.2, -0.9, 111), np.linspace(0, 2 * np.pi, 24, endpoint=False))
    tube = np.column_stack([0.1 + 0.05 * np.cos(angles.ravel()), heights.ravel(), 0.05 * np.sin(angles.ravel())])
    vertices = np.concatenate([tube, tube * [-1, 1, 1]])
    weights = np.zeros((len(vertices), 24))
    for side, rows in (("left", slice(0, len(tube))), ("right", slice(len(tube), None))):
        for part, middle in (("hip", 0.0), ("knee", -0.43), ("ankle", -0.8)):
            over = np.clip((middle - tube[:, 1]) / 0.06 + 0.5, 0, 1)
            index = SMPL_JOINT_NAMES.index(f"{side}_{part}")
            weights[rows, index] = over
            weights[rows, SMPL_PARENTS[index]] -= over
    weights[:, 0] += 1
    count = len(vertices)
    edges = np.column_stack([np.arange(count - 1), np.arange(1, count)])
    mesh = WeightedMesh(vertices, edges, np.ones(count), np.ones(count, bool), joints)
    down = np.array([0.0, -1.0, 0.0])
    assert weight_plane("left_knee", down, vertices, weights, joints, mesh.areas) == pytest.approx(0.03, abs=0.003)
    shifted = shift_to_joints(mesh, weights)
    for joint in ("left_hip", "left_knee", "left_ankle", "right_knee"):
        assert weight_plane(joint, down, vertices, shifted, joints, mesh.areas) == pytest.approx(0, abs=0.004), joint
    np.testing.assert_allclose(shifted.sum(axis=1), 1, atol=1e-9)


def random_space(seed: int) -> ShapeSpace:
    random = np.random.default_rng(seed)
    scale = 0.05 / np.arange(1, 11)
    space = ShapeSpace(
        random.uniform(-0.5, 0.5, (50, 3)),
        random.standard_normal((50, 3, 10)) * scale,
        random.standard_normal((24, 3)) * 0.1,
        random.standard_normal((24, 3, 10)) * scale,
    )
    top, bottom = space.v_template[:, 1].argmax(), space.v_template[:, 1].argmin()
    space.shapedirs[top, 1, 0], space.shapedirs[bottom, 1, 0] = 0.05, -0.05
    return space


def test_betas_of_a_turned_space_mean_again_what_they_meant():
    space = random_space(0)
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((10, 10)))
    turned = replace(space, shapedirs=space.shapedirs @ turn, joint_shapedirs=space.joint_shapedirs @ turn)
    back = aligned(turned, space, np.ones(50))
    np.testing.assert_allclose(back.shapedirs, space.shapedirs, atol=1e-12)
    np.testing.assert_allclose(back.joint_shapedirs, space.joint_shapedirs, atol=1e-12)


def test_zero_moves_along_height_alone():
    space, other = random_space(0), random_space(2)
    moved = as_tall_as(space, other)
    change = (moved.v_template - space.v_template).ravel()
    along = space.shapedirs[..., 0].ravel()
    assert abs(change @ along) == pytest.approx(np.linalg.norm(change) * np.linalg.norm(along))
    top, bottom = space.v_template[:, 1].argmax(), space.v_template[:, 1].argmin()
    height = moved.v_template[top, 1] - moved.v_template[bottom, 1]
    assert height == pytest.approx(np.ptp(other.v_template[:, 1]))


def test_a_sex_is_kept_to_a_half_of_its_steps():
    space, neutral = random_space(0), random_space(3)
    steps, sizes = packed_difference(space, neutral)
    assert steps.dtype == np.int8 and steps.shape == (11, 3, 50)
    given_back = steps.T * sizes
    np.testing.assert_allclose(given_back[..., 0] + neutral.v_template, space.v_template, atol=0.51 * sizes[0])
    for beta in range(10):
        stored = neutral.shapedirs[..., beta].astype(np.float16)
        error = np.abs(given_back[..., 1 + beta] + stored - space.shapedirs[..., beta])
        assert error.max() <= 0.51 * sizes[1 + beta]
