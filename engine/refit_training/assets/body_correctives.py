# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives of the bundled body: limbs keep their volume where they bend.

Linear blend skinning moves the skin of a bent joint along the chord between two bones, so that the limb becomes
thin. Here each vertex goes along the arc instead, and skin that would pass through the other half of the limb is held
back. The correctives are fitted to that over many rotations of one joint. They are linear in R - I, as SMPL's
`posedirs` (Loper et al., SMPL (2015), equation 9), and only near the joint. Each joint keeps a few shapes, the
principal ones.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, mirrored_name

from .body_weights import subtree

FEATURES = 9
"""Entries of R - I of one joint, row by row."""


@dataclass(frozen=True)
class Bend:
    """A joint of the left side or the midline, and what its skin is to do.

    The numbers were chosen on pictures of single joints at 45°, 90° and 140°, and on the table of `measure_skin`.

    Attributes:
        joint: name.
        degrees: rotation vectors to fit, those of a grid over X, Y and Z.
        shapes: how many are kept.
        arc: how far from the chord (0) to the arc (1) the skin goes. On the whole arc, joints bulge sideways.
        arc_inside, inside: the same on the side of this direction, where skin folds.
        limb: direction of the limb beyond the joint in the T-pose; None where the two halves may meet anywhere.
        reach: how far from the joint, along the limb, the halves are kept apart; metres.
        apart: from not at all (0) to wherever they overlap (1); then they would come off each other at 90°.
    """

    joint: str
    degrees: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    shapes: int
    arc: float
    arc_inside: float | None = None
    inside: tuple[float, float, float] = (0.0, 0.0, 1.0)
    limb: tuple[float, float, float] | None = None
    reach: float = 0.0
    apart: float = 0.0


BENDS = (
    Bend(
        joint="left_elbow",
        degrees=((-60, 0, 60), (-150, -125, -100, -75, -50, -25, 0), (-35, 0, 35)),
        shapes=3,
        arc=0.9,
        arc_inside=0.3,
        limb=(1.0, 0.0, 0.0),
        reach=0.12,
        apart=0.6,
    ),
    Bend(
        joint="left_knee",
        degrees=((0, 25, 50, 75, 100, 125, 150), (-20, 0, 20), (-15, 0, 15)),
        shapes=3,
        arc=0.9,
        arc_inside=0.2,
        inside=(0.0, 0.0, -1.0),
        limb=(0.0, -1.0, 0.0),
        reach=0.17,
        apart=0.5,
    ),
    # The groin: on the arc, belly and thigh would open a gap.
    Bend(
        joint="left_hip",
        degrees=((-135, -110, -85, -60, -30, 0, 30), (-40, 0, 40), (-20, 15, 50)),
        shapes=4,
        arc=0.85,
        arc_inside=0.0,
    ),
    Bend(
        joint="left_shoulder",
        degrees=((-50, 0, 50), (-110, -80, -50, -20, 10, 35), (-90, -60, -30, 0, 30, 60, 90)),
        shapes=4,
        arc=0.4,
    ),
    Bend(
        joint="left_wrist",
        degrees=((-80, -40, 0, 40, 80), (-25, 0, 25), (-80, -55, -30, 0, 30, 55, 80)),
        shapes=2,
        arc=0.8,
    ),
)

RIDGE = 0.02
"""Of the fit, against squared R - I of about one: rotations that were not sampled get no correctives."""
ODD_RIDGE = 0.2
"""In addition, on what changes its sign with the rotation: that would show at small angles already."""
SMALLEST = 5e-5
"""Metres: shapes move a vertex by more, or not at all."""
_BLENDED = (0.005, 0.995)
_LIMB_RADIUS = 0.12
_FADE = 0.7
"""Share of `Bend.reach` where keeping apart begins to fade."""


@dataclass(frozen=True)
class SkinnedTemplate:
    """vertices [V, 3] and joints [24, 3] of the T-posed mean body, weights [V, 24], mirror [V] the vertex across."""

    vertices: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    mirror: np.ndarray


@dataclass(frozen=True)
class JointShapes:
    """The K correctives of a joint.

    Attributes:
        joint: number.
        mix: ``[K, 9]`` the joint's R - I, flattened, to each shape's amount; rows of length one.
        vertices: ``[N]`` that they move.
        offsets: ``[N, 3, K]`` metres.
    """

    joint: int
    mix: np.ndarray
    vertices: np.ndarray
    offsets: np.ndarray

    def directions(self) -> np.ndarray:
        """``[N, 3, 9]`` as in SMPL's posedirs."""
        return self.offsets @ self.mix


def pose_correctives(body: SkinnedTemplate, bends: tuple[Bend, ...] = BENDS) -> dict[str, np.ndarray]:
    """The arrays of the body file; see `refit_engine.body.data.posedirs_of_shapes`."""
    shapes = [side for bend in bends for side in both_sides(fitted(body, bend), body.mirror)]
    joints = np.concatenate([np.full(len(one.mix), one.joint) for one in shapes])
    vertex, offset = [], []
    for one in shapes:
        for offsets in np.moveaxis(one.offsets, 2, 0):
            moved = np.linalg.norm(offsets, axis=1) > SMALLEST
            vertex.append(one.vertices[moved])
            offset.append(offsets[moved])
    owner = [np.full(len(moved), index) for index, moved in enumerate(vertex)]
    return {
        "corrective_joints": joints.astype(np.int32),
        "corrective_mix": np.concatenate([one.mix for one in shapes]).astype(np.float32),
        "corrective_entries": np.stack([np.concatenate(owner), np.concatenate(vertex)], axis=1).astype(np.int32),
        "corrective_offsets": np.concatenate(offset).astype(np.float16),
    }


def both_sides(shapes: JointShapes, mirror: np.ndarray) -> tuple[JointShapes, JointShapes]:
    """A joint's shapes and those of the joint on the other side."""
    name = mirrored_name(SMPL_JOINT_NAMES[shapes.joint])
    flip = np.array([-1.0, 1.0, 1.0])
    other = replace(
        shapes,
        joint=SMPL_JOINT_NAMES.index(name),
        mix=shapes.mix * np.outer(flip, flip).ravel(),
        vertices=mirror[shapes.vertices],
        offsets=shapes.offsets * flip[:, None],
    )
    return shapes, other


def fitted(body: SkinnedTemplate, bend: Bend) -> JointShapes:
    """The shapes that bring blended skin nearest to `wanted`, by least squares over all rotations of the bend."""
    joint = SMPL_JOINT_NAMES.index(bend.joint)
    vertices, share = _bent_skin(body, bend, joint)
    offsets = body.vertices[vertices] - body.joints[joint]
    rotations = grid_rotations(bend)
    bends = (rotations - np.eye(3)).reshape(-1, FEATURES)
    blended = np.eye(3) + share[:, None, None] * (rotations - np.eye(3))[:, None]
    missing = wanted(bend, offsets, share, rotations) - np.einsum("pvab,vb->pva", blended, offsets)
    # For each vertex 27 unknowns D: blended @ D @ bends = missing.
    turned = np.einsum("pvab,pvac->pvbc", blended, blended)
    normal = np.einsum("pvbc,pi,pk->vbick", turned, bends, bends, optimize=True) / len(bends)
    right = np.einsum("pvab,pva,pi->vbi", blended, missing, bends, optimize=True) / len(bends)
    size = 3 * FEATURES
    normal = normal.reshape(-1, size, size) + np.kron(np.eye(3), _ridge())
    directions = np.linalg.solve(normal, right.reshape(-1, size, 1)).reshape(-1, 3, FEATURES)
    return _principal(joint, vertices, directions, bends, bend.shapes)


def wanted(bend: Bend, offsets: np.ndarray, share: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Where skin goes when a joint is turned.

    Args:
        offsets: ``[N, 3]`` from the joint in the T-pose.
        share: ``[N]`` of the turn that each vertex takes.
        rotations: ``[P, 3, 3]``.

    Returns:
        ``[P, N, 3]`` from the joint.
    """
    chord = offsets + share[:, None] * (offsets @ (np.swapaxes(rotations, 1, 2) - np.eye(3)))
    arc = np.einsum("pvab,vb->pva", _partial_turns(rotations, share), offsets)
    amount = np.full(len(offsets), bend.arc)
    if bend.arc_inside is not None:
        towards = offsets @ np.array(bend.inside) / np.linalg.norm(offsets, axis=1)
        amount += (bend.arc_inside - bend.arc) * smooth_step((towards + 0.3) / 0.9)
    placed = chord + amount[:, None] * (arc - chord)
    return placed if bend.limb is None else placed + bend.apart * _apart(placed, offsets, share, rotations, bend)


def _apart(placed: np.ndarray, offsets: np.ndarray, share: np.ndarray, rotations: np.ndarray, bend: Bend) -> np.ndarray:
    """What moves skin ``[P, N, 3]`` of the two halves of a bent limb to its side of the plane halfway between them."""
    limb = np.array(bend.limb)
    beyond = rotations @ limb
    normal = beyond + limb
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.where(share < 0.5, -1.0, 1.0)
    depth = np.minimum(np.einsum("pva,pa->pv", placed, normal) * side, 0)
    inside = np.einsum("pva,pa->pv", placed, beyond - limb) > 0
    fade = smooth_step((1 - np.abs(offsets @ limb) / bend.reach) / (1 - _FADE))
    return -(inside * depth * fade * side)[..., None] * normal[:, None]


def grid_rotations(bend: Bend) -> np.ndarray:
    """``[P, 3, 3]``."""
    vectors = torch.tensor(list(itertools.product(*bend.degrees)), dtype=torch.float64)
    return roma.rotvec_to_rotmat(torch.deg2rad(vectors)).numpy()


def smooth_step(value: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _bent_skin(body: SkinnedTemplate, bend: Bend, joint: int) -> tuple[np.ndarray, np.ndarray]:
    """The vertices ``[N]`` to correct and the share ``[N]`` of the joint's turn that each takes."""
    share = body.weights[:, subtree(bend.joint)].sum(axis=1)
    chosen = (share > _BLENDED[0]) & (share < _BLENDED[1])
    if bend.limb is not None:
        offsets = body.vertices - body.joints[joint]
        along = offsets @ np.array(bend.limb)
        across = np.linalg.norm(offsets - along[:, None] * np.array(bend.limb), axis=1)
        own = body.weights[:, [joint, SMPL_PARENTS[joint]]].sum(axis=1) > 0.5
        chosen |= own & (np.abs(along) < bend.reach) & (across < _LIMB_RADIUS)
    vertices = np.flatnonzero(chosen)
    return vertices, share[vertices]


def _partial_turns(rotations: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Rotations ``[P, N, 3, 3]`` between none and all of the given ones ``[P, 3, 3]``, as dual quaternions blend."""
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotations)).numpy()
    quaternions = quaternions * np.where(quaternions[:, 3:] < 0, -1.0, 1.0)
    blended = share[:, None] * quaternions[:, None]
    blended[..., 3] += 1 - share
    blended /= np.linalg.norm(blended, axis=2, keepdims=True)
    return roma.unitquat_to_rotmat(torch.from_numpy(blended)).numpy()


def _ridge() -> np.ndarray:
    """``[9, 9]``: all entries of R - I, and more on its antisymmetric part."""
    transposed = np.eye(FEATURES).reshape(3, 3, FEATURES).swapaxes(0, 1).reshape(FEATURES, FEATURES)
    return RIDGE * np.eye(FEATURES) + ODD_RIDGE * (np.eye(FEATURES) - transposed) / 2


def _principal(joint: int, vertices: np.ndarray, directions: np.ndarray, bends: np.ndarray, count: int) -> JointShapes:
    """The `count` shapes that keep most of what directions ``[N, 3, 9]`` do in the given bends ``[P, 9]``."""
    values, vectors = np.linalg.eigh(bends.T @ bends / len(bends))
    root = vectors * np.sqrt(np.maximum(values, 1e-6))
    scaled = directions.reshape(-1, FEATURES) @ root
    _, _, rows = np.linalg.svd(scaled, full_matrices=False)
    kept = rows[:count]
    mix = kept @ np.linalg.inv(root)
    lengths = np.linalg.norm(mix, axis=1)
    offsets = (scaled @ kept.T) * lengths
    return JointShapes(joint, mix / lengths[:, None], vertices, offsets.reshape(len(vertices), 3, count))
