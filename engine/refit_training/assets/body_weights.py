# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin weights that go over from one joint to the next at the joint itself.

MakeHuman's weights belong to MakeHuman's bones, whose ends lie elsewhere than SMPL's joints. The weights
keep their form and are shifted along trunk and limbs until half of the weight goes over at the joint.
"""

from dataclasses import dataclass

import numpy as np
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, mirrored_name
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

# Joints along a direction of the T-pose, between which weights are shifted, and the joint whose subtree
# the shift belongs to (None: what does not follow an arm).
_CHAINS: tuple[tuple[tuple[float, float, float], str | None, tuple[str, ...]], ...] = (
    ((0.0, 1.0, 0.0), None, ("spine1", "spine2", "spine3")),
    ((0.0, 0.9, 0.436), None, ("neck", "head")),  # as the neck leans
    ((1.0, 0.0, 0.0), "left_collar", ("left_shoulder", "left_elbow", "left_wrist", "left_hand")),
    ((0.0, -1.0, 0.0), "left_hip", ("left_hip", "left_knee", "left_ankle")),
    ((0.0, 0.0, 1.0), "left_ankle", ("left_foot",)),
)
# What a plane is measured on: vertices this near to the joint along the limb, and around its axis, metres.
_PLANE_LENGTH = 0.12
_PLANE_RADIUS = {"spine1": 0.25, "spine2": 0.25, "spine3": 0.25, "left_hip": 0.2, "head": 0.08}
_LIMB_RADIUS = 0.12
_PLANE_SMOOTHING = 0.008
# The chin lies before the neck and is not to bend with it: metres from the neck's axis where its shift fades out.
_NECK_RADIUS = (0.07, 0.095)
# Metres beyond the ends of a chain where nothing is shifted any more.
_REACH = 0.08
_ROUNDS = 8
_NEIGHBOURS = 6
_SMOOTHINGS = 3


def subtree(joint: str) -> np.ndarray:
    """Which of the 24 joints hang on one, itself included, ``[24]`` bool."""
    inside = np.zeros(len(SMPL_JOINT_NAMES), bool)
    inside[SMPL_JOINT_NAMES.index(joint)] = True
    for child, parent in enumerate(SMPL_PARENTS):
        if parent >= 0 and inside[parent]:
            inside[child] = True
    return inside


def weight_plane(
    joint: str, axis: np.ndarray, vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray, areas: np.ndarray
) -> float:
    """How far beyond a joint, along a unit axis ``[3]``, half of the weight has gone over to it, metres; 0 where there is no skin.

    Args:
        vertices: ``[V, 3]`` T-pose.
        weights: ``[V, 24]``.
        joints: ``[24, 3]``.
        areas: ``[V]``.
    """
    index = SMPL_JOINT_NAMES.index(joint)
    beyond = weights[:, subtree(joint)].sum(axis=1)
    both = beyond + weights[:, SMPL_PARENTS[index]]
    offsets = vertices - joints[index]
    along = offsets @ axis
    across = np.linalg.norm(offsets - along[:, None] * axis, axis=1)
    near = (np.abs(along) < _PLANE_LENGTH) & (across < _PLANE_RADIUS.get(joint, _LIMB_RADIUS)) & (both > 0.5)
    if joint.startswith(("left_", "right_")):
        near &= vertices[:, 0] * joints[index, 0] > 0
    if not near.any():
        return 0.0
    places = np.arange(along[near].min(), along[near].max(), 0.001)
    kernel = np.exp(-0.5 * ((places[:, None] - along[near]) / _PLANE_SMOOTHING) ** 2) * areas[near]
    share = kernel @ (beyond[near] / both[near]) / kernel.sum(axis=1)
    crossings = np.flatnonzero((share[:-1] < 0.5) & (share[1:] >= 0.5))
    if not len(crossings):
        return float(np.sign(0.5 - share.mean()) * _PLANE_LENGTH)
    first = crossings[np.abs(places[crossings]).argmin()]
    return float(places[first] + 0.001 * (0.5 - share[first]) / (share[first + 1] - share[first]))


@dataclass(frozen=True)
class WeightedMesh:
    """The mean body in the T-pose, symmetric about X = 0.

    Attributes:
        vertices: ``[V, 3]``.
        edges: ``[E, 2]``.
        areas: ``[V]``.
        skin: ``[V]`` bool, the outer skin.
        joints: ``[24, 3]``.
    """

    vertices: np.ndarray
    edges: np.ndarray
    areas: np.ndarray
    skin: np.ndarray
    joints: np.ndarray


def shift_to_joints(mesh: WeightedMesh, weights: np.ndarray) -> np.ndarray:
    """Weights ``[V, 24]`` whose planes lie at the joints, from those that lie at MakeHuman's bones ``[V, 24]``."""
    shifts = [np.zeros(len(joints)) for _, _, joints in _CHAINS]
    shifted = weights
    for _ in range(_ROUNDS):
        for shift, (direction, _, joints) in zip(shifts, _CHAINS, strict=True):
            for number, joint in enumerate(joints):
                shift[number] += weight_plane(
                    joint, np.array(direction), mesh.vertices, shifted, mesh.joints, mesh.areas
                )
        shifted = _looked_up(mesh, weights, _displacements(mesh, weights, shifts))
    return shifted


def _displacements(mesh: WeightedMesh, weights: np.ndarray, shifts: list[np.ndarray]) -> np.ndarray:
    """Where each vertex takes its weights from, relative to itself, ``[V, 3]``; for both sides alike."""
    mirrored = np.abs(mesh.vertices[:, 0])
    places = np.column_stack([mirrored, mesh.vertices[:, 1:]])
    total = np.zeros_like(places)
    for shift, (direction, limb, joints) in zip(shifts, _CHAINS, strict=True):
        along = places @ direction
        knots = [mesh.joints[SMPL_JOINT_NAMES.index(joint)] @ direction for joint in joints]
        knots = [knots[0] - _REACH, *knots, knots[-1] + _REACH]
        amount = np.interp(along, knots, [0.0, *shift, 0.0])
        amount *= _belongs(weights, limb)
        if "neck" in joints:
            offsets = places - mesh.joints[SMPL_JOINT_NAMES.index("head")]
            across = np.linalg.norm(offsets - np.outer(offsets @ direction, direction), axis=1)
            amount *= np.interp(across, _NECK_RADIUS, (1.0, 0.0))
        total += amount[:, None] * direction
    total[:, 0] *= np.sign(mesh.vertices[:, 0])
    return total


def _belongs(weights: np.ndarray, limb: str | None) -> np.ndarray:
    """How much of a chain's shift each vertex takes, ``[V]`` from 0 to 1."""

    def share(joint: str) -> np.ndarray:
        right = mirrored_name(joint)
        return weights[:, subtree(joint) | subtree(right)].sum(axis=1)

    if limb is None:
        return 1 - share("left_shoulder")
    if limb == "left_hip":  # the skin of the pelvis, too, goes along
        return 1 - share("left_collar")
    return np.minimum(2 * share(limb), 1)


def _looked_up(mesh: WeightedMesh, weights: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Weights ``[V, 24]`` of the skin at displaced places, smoothed where something moved."""
    result = weights.copy()
    for side in (-1, 1):
        known = np.flatnonzero(mesh.skin & (side * mesh.vertices[:, 0] > -1e-6))
        distance, near = cKDTree(mesh.vertices[known]).query(mesh.vertices[known] + displacements[known], _NEIGHBOURS)
        closeness = 1 / np.maximum(distance, 1e-6) ** 2
        closeness /= closeness.sum(axis=1, keepdims=True)
        result[known] = np.einsum("vk,vkj->vj", closeness, weights[known][near])
    moved = np.minimum(np.linalg.norm(displacements, axis=1) / 0.003, 1)[:, None] * mesh.skin[:, None]
    for _ in range(_SMOOTHINGS):
        result += 0.5 * moved * (_neighbour_mean(mesh, result) - result)
    return result


def _neighbour_mean(mesh: WeightedMesh, values: np.ndarray) -> np.ndarray:
    """Mean of the values ``[V, K]`` at the other ends of each vertex's edges."""
    count = len(values)
    ends = np.concatenate([mesh.edges, mesh.edges[:, ::-1]])
    adjacency = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return (adjacency @ values) / np.maximum(adjacency.sum(axis=1), 1)[:, None]
