# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives fitted to a tube for a limb, and what they do for the bundled body's limbs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import SMPL_JOINT_NAMES, load_body
from refit_training.assets.body_correctives import Bend, SkinnedTemplate, both_sides, fitted, pose_correctives, wanted
from refit_training.evaluation.measure_skin import CASES, measure

KNEE = SMPL_JOINT_NAMES.index("left_knee")
RADIUS = 0.05
TUBE_BEND = Bend("left_knee", ((0, 45, 90, 135), (-10, 0, 10), (0,)), shapes=3, arc=1.0)


@pytest.fixture(scope="module")
def tube() -> SkinnedTemplate:
    """Two thin legs side by side; weights go over within 6 cm around the knees."""
    angle, height = (grid.ravel() for grid in np.meshgrid(np.arange(12) * np.pi / 6, np.linspace(-0.3, 0.3, 31)))
    left = np.column_stack([0.1 + RADIUS * np.cos(angle), height - 0.5, RADIUS * np.sin(angle)])
    joints = np.zeros((24, 3))
    for name, sign in (("left_knee", 1), ("right_knee", -1)):
        joints[SMPL_JOINT_NAMES.index(name)] = (0.1 * sign, -0.5, 0)
    weights = np.zeros((2 * len(left), 24))
    below = np.clip(0.5 - height / 0.06, 0, 1)
    for side, rows in (("left", slice(0, len(left))), ("right", slice(len(left), None))):
        weights[rows, SMPL_JOINT_NAMES.index(f"{side}_knee")] = below
        weights[rows, SMPL_JOINT_NAMES.index(f"{side}_hip")] = 1 - below
    order = np.arange(len(left))
    vertices = np.concatenate([left, left * [-1, 1, 1]])
    return SkinnedTemplate(vertices, joints, weights, np.concatenate([order + len(left), order]))


def bent(degrees: float) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor([degrees, 0.0, 0.0], dtype=torch.float64))).numpy()


def skin(tube: SkinnedTemplate, offsets: np.ndarray, vertices: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Blended skin from the knee."""
    share = tube.weights[vertices, KNEE][:, None]
    return offsets + share * (offsets @ (rotation.T - np.eye(3)))


def test_skin_on_the_arc_keeps_its_distance_from_the_joint(tube):
    offsets = tube.vertices[:372] - tube.joints[KNEE]
    share = tube.weights[:372, KNEE]
    places = wanted(TUBE_BEND, offsets, share, bent(120)[None])[0]
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), np.linalg.norm(offsets, axis=1), atol=1e-9)
    np.testing.assert_allclose(places[share == 1], offsets[share == 1] @ bent(120).T, atol=1e-9)
    np.testing.assert_allclose(places[share == 0], offsets[share == 0], atol=1e-9)


@pytest.mark.parametrize("degrees", [60, 90, 120])
def test_a_bent_tube_keeps_its_thickness(tube, degrees):
    shapes = fitted(tube, TUBE_BEND)
    offsets = tube.vertices[shapes.vertices] - tube.joints[KNEE]
    rotation = bent(degrees)
    correction = shapes.directions() @ (rotation - np.eye(3)).ravel()
    rest = np.linalg.norm(offsets, axis=1)
    loss = [
        np.abs(np.linalg.norm(skin(tube, one, shapes.vertices, rotation), axis=1) / rest - 1).mean()
        for one in (offsets, offsets + correction)
    ]
    assert loss[1] < 0.4 * loss[0]


def test_halves_of_a_limb_are_held_back(tube):
    bend = replace(TUBE_BEND, limb=(0.0, -1.0, 0.0), reach=0.3, apart=1.0)
    offsets, share = tube.vertices[:372] - tube.joints[KNEE], tube.weights[:372, KNEE]
    rotation = bent(120)
    free, held = (wanted(one, offsets, share, rotation[None])[0] for one in (TUBE_BEND, bend))
    limb = np.array([0.0, -1, 0])
    halfway = rotation @ limb + limb
    halfway /= np.linalg.norm(halfway)
    near = (np.abs(offsets[:, 1]) < 0.2) & (share == 1) & (free @ (rotation @ limb - limb) > 0)
    assert (free @ halfway)[near].min() < -0.02
    assert (held @ halfway)[near].min() > -1e-9


def test_the_other_side_gets_the_mirror_image(tube):
    left, right = both_sides(fitted(tube, TUBE_BEND), tube.mirror)
    assert SMPL_JOINT_NAMES[right.joint] == "right_knee"
    flip = np.array([-1.0, 1, 1])
    rotation = bent(70) @ roma.rotvec_to_rotmat(torch.tensor([0, 0.2, 0.1], dtype=torch.float64)).numpy()
    across = flip[:, None] * rotation * flip
    moved = [one.directions() @ (turn - np.eye(3)).ravel() for one, turn in ((left, rotation), (right, across))]
    np.testing.assert_allclose(moved[1], moved[0] * flip, atol=1e-12)
    np.testing.assert_allclose(tube.vertices[right.vertices], tube.vertices[left.vertices] * flip, atol=1e-12)


def test_the_file_holds_each_shape_once(tube):
    arrays = pose_correctives(tube, (TUBE_BEND,))
    assert arrays["corrective_joints"].tolist() == [KNEE] * 3 + [SMPL_JOINT_NAMES.index("right_knee")] * 3
    np.testing.assert_allclose(np.linalg.norm(arrays["corrective_mix"], axis=1), 1, atol=1e-6)
    entries = arrays["corrective_entries"]
    assert len(np.unique(entries, axis=0)) == len(entries) == len(arrays["corrective_offsets"])


@pytest.mark.parametrize(
    ("name", "least"),
    [("elbow 90°", 83), ("elbow 140°", 75), ("knee 90°", 93), ("knee 140°", 85), ("sitting, 90°", 93)]
    + [("squatting, 120°", 88), ("arm up, 80° + 15°", 94), ("arm forward, 90°", 87)],
)
def test_limbs_of_the_bundled_body_keep_their_volume(name, least):
    body = load_body()
    (case,) = (case for case in CASES if case.name == name)
    without, corrected = (measure(one, case) for one in (replace(body, posedirs=None), body))
    assert least < corrected.volume < 105
    assert corrected.volume > without.volume + 6
    if "elbow" in name or "knee" in name:
        assert corrected.outside > without.outside + 20
        assert corrected.overlap < 0.8 * without.overlap
