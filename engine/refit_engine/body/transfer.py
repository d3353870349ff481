# SPDX-License-Identifier: GPL-3.0-or-later
"""The same person in another body's shape space."""

from __future__ import annotations

import numpy as np

from .data import BodyData
from .joints import SMPL_JOINT_NAMES

# Joints that bodies of SMPL's format agree on; spine and collars are a matter of convention.
_SKELETON = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
# Girths: extents of the skin across a bone, at a fraction of its length.
# Bone, fraction, axes along which the extent is measured (0 to the left, 1 up, 2 to the front).
_GIRTHS: tuple[tuple[str, str, float, tuple[int, ...]], ...] = (
    ("pelvis", "spine1", 0.0, (0, 2)),
    ("spine1", "spine2", 0.3, (0, 2)),
    ("spine3", "neck", 0.3, (2,)),
    ("left_hip", "left_knee", 0.5, (2,)),
    ("left_knee", "left_ankle", 0.3, (2,)),
    ("left_shoulder", "left_elbow", 0.5, (1, 2)),
    ("left_elbow", "left_wrist", 0.3, (1, 2)),
)
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip")
# A slice is this thick to either side, thicker where a coarse mesh has too few vertices in it.
_SLICE_METRES = 0.025
_SLICE_VERTICES = 8
# Expected disagreement between two bodies on the same person, and how unusual shapes may become.
_JOINT_METRES = 0.01
_GIRTH_METRES = 0.015
_BETA_DEVIATION = 2.0


def transfer_betas(source: BodyData, betas: np.ndarray, target: BodyData) -> np.ndarray:
    """Betas with which the target body is nearest to the source body with its own betas.

    Regularised least squares on rest joints relative to the pelvis, on the body's height and on
    extents of trunk and limbs, all of them linear in betas. Betas of the same body are kept.

    Args:
        betas: ``[..., 10]`` of the source.

    Returns:
        ``[..., 10]`` of the target, the dtype of ``betas``.
    """
    betas = np.asarray(betas)
    if source is target or (
        np.array_equal(source.v_template, target.v_template) and np.array_equal(source.shapedirs, target.shapedirs)
    ):
        return betas
    from_template, from_directions = _measurements(source)
    to_template, to_directions = _measurements(target)
    wanted = from_template + betas.astype(np.float64) @ from_directions.T - to_template
    normal = to_directions.T @ to_directions + np.eye(to_directions.shape[1]) / _BETA_DEVIATION**2
    return np.linalg.solve(normal, to_directions.T @ wanted[..., None])[..., 0].astype(betas.dtype)


def _measurements(body: BodyData) -> tuple[np.ndarray, np.ndarray]:
    """Measurements ``[M]`` of the mean body and their change per beta ``[M, 10]``, in expected errors."""
    joints, joint_directions = body.joints_linear()
    limbs = [SMPL_JOINT_NAMES.index(f"{side}_{part}") for part in _SKELETON for side in ("left", "right")]
    limbs += [SMPL_JOINT_NAMES.index("neck"), SMPL_JOINT_NAMES.index("head")]
    pairs, axes = _extents(body, joints)
    template, directions = body.v_template, body.shapedirs
    values = [
        (joints[limbs] - joints[0]).ravel() / _JOINT_METRES,
        (template[pairs[:, 1], axes] - template[pairs[:, 0], axes]) / _GIRTH_METRES,
    ]
    changes = [
        (joint_directions[limbs] - joint_directions[0]).reshape(-1, directions.shape[2]) / _JOINT_METRES,
        (directions[pairs[:, 1], axes] - directions[pairs[:, 0], axes]) / _GIRTH_METRES,
    ]
    return np.concatenate(values).astype(np.float64), np.concatenate(changes).astype(np.float64)


def _extents(body: BodyData, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of vertices ``[M, 2]`` and the axes ``[M]`` along which they span the mean body."""
    template = body.v_template
    pairs = [(int(template[:, 1].argmin()), int(template[:, 1].argmax()))]
    axes = [1]
    main = body.weights.argmax(axis=1)
    for start, end, fraction, across in _GIRTHS:
        first, last = SMPL_JOINT_NAMES.index(start), SMPL_JOINT_NAMES.index(end)
        bone = joints[last] - joints[first]
        length = np.linalg.norm(bone)
        distance = np.abs((template - joints[first]) @ bone / length - fraction * length)
        carriers = (start, end) if start.startswith("left_") else _TRUNK
        limb = np.flatnonzero(np.isin(main, [SMPL_JOINT_NAMES.index(joint) for joint in carriers]))
        fewest = np.sort(distance[limb])[:_SLICE_VERTICES].max()
        near = limb[distance[limb] <= max(_SLICE_METRES, fewest)]
        for axis in across:
            pairs.append((int(near[template[near, axis].argmin()]), int(near[template[near, axis].argmax()])))
            axes.append(axis)
    return np.array(pairs), np.array(axes)
