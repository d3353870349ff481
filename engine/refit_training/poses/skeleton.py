# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL's 24-joint skeleton as far as poses need it: hierarchy, rest frames, mirror.

Frame of the rest pose: Y up, facing +Z, +X is the body's left, arms level (T-pose), palms down.
"""

import numpy as np
from refit_engine.body import load_body
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, mirrored_name

__all__ = [
    "JOINT_COUNT",
    "LEFT_RIGHT_SWAP",
    "LIMB_BONES",
    "PARENTS",
    "REST_JOINTS",
    "anatomical_frames",
    "forward_kinematics",
    "frame_from_axes",
    "mirror",
    "rest_frames",
    "to_global",
    "to_local",
]

JOINT_COUNT = 24
PARENTS = np.array(SMPL_PARENTS)
LEFT_RIGHT_SWAP = np.array([SMPL_JOINT_NAMES.index(mirrored_name(name)) for name in SMPL_JOINT_NAMES])

# Joints whose parent's rotation is complete before theirs: the tree, one depth at a time.
_LEVELS = ([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12, 13, 14], [15, 16, 17], [18, 19], [20, 21], [22, 23])

# The bundled body of average shape, metres: poses are rotations and go with every body, so this is near enough to all.
REST_JOINTS = load_body().joints_linear()[0].astype(np.float64)

# A bone runs from its joint to this one. Joints of the trunk are aligned by orientation, not by bone.
LIMB_BONES = {1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11, 16: 18, 17: 19, 18: 20, 19: 21, 20: 22, 21: 23}


def rest_frames() -> np.ndarray:
    """`anatomical_frames` of SMPL's own rest pose. [24,3,3]"""
    return anatomical_frames(REST_JOINTS)


def anatomical_frames(joints: np.ndarray) -> np.ndarray:
    """Anatomical frame of every segment in a T-pose (Y up, facing +Z) with its joints at [24,3].

    Columns of a limb's frame: bone direction, then the hinge that bends the limb (X for the legs; -Y left and +Y right
    for the arms; +Z, the thumb's side, for the hands), made orthogonal. Feet stand flat: up, then the toes' heading.
    Trunk: the axes themselves. Returns [24,3,3].
    """
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    for joint, end in LIMB_BONES.items():
        bone = joints[end] - joints[joint]
        if joint in (7, 8):
            frames[joint] = frame_from_axes(np.array([0.0, 1, 0]), bone)
        elif joint in (1, 2, 4, 5):
            frames[joint] = frame_from_axes(bone, np.array([1.0, 0, 0]))
        elif joint in (20, 21):
            frames[joint] = frame_from_axes(bone, np.array([0.0, 0, 1]))
        else:
            frames[joint] = frame_from_axes(bone, np.array([0, -1.0 if joint in (16, 18) else 1.0, 0]))
    return frames


def frame_from_axes(primary: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """Rotation [3,3] whose first column is along `primary` [3], its second along `secondary` [3] made orthogonal."""
    first = primary / np.linalg.norm(primary)
    second = secondary - first * (first @ secondary)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def to_global(rotmats: np.ndarray) -> np.ndarray:
    """Rotations relative to the parents -> relative to the root's frame of reference. [...,24,3,3] both."""
    result = rotmats.copy()
    for level in _LEVELS:
        result[..., level, :, :] = result[..., PARENTS[level], :, :] @ rotmats[..., level, :, :]
    return result


def to_local(rotmats: np.ndarray) -> np.ndarray:
    """Inverse of `to_global`. [...,24,3,3] both."""
    result = rotmats.copy()
    parents = rotmats[..., PARENTS[1:], :, :]
    result[..., 1:, :, :] = np.swapaxes(parents, -1, -2) @ rotmats[..., 1:, :, :]
    return result


def forward_kinematics(rotmats: np.ndarray) -> np.ndarray:
    """Joint positions of a posed skeleton, the pelvis staying where it rests.

    rotmats: [...,24,3,3] relative to the parents. Returns [...,24,3] metres.
    """
    rotations = to_global(rotmats)
    offsets = (REST_JOINTS[1:] - REST_JOINTS[PARENTS[1:]]).astype(rotmats.dtype)
    steps = (rotations[..., PARENTS[1:], :, :] @ offsets[..., None])[..., 0]
    joints = np.empty(rotmats.shape[:-2] + (3,), dtype=steps.dtype)
    joints[..., 0, :] = REST_JOINTS[0]
    for level in _LEVELS:
        children = np.asarray(level)
        joints[..., level, :] = joints[..., PARENTS[level], :] + steps[..., children - 1, :]
    return joints


def mirror(rotmats: np.ndarray) -> np.ndarray:
    """Reflect poses in the body's plane x = 0: left becomes right. [...,24,3,3] both."""
    sign = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], dtype=rotmats.dtype)
    return rotmats[..., LEFT_RIGHT_SWAP, :, :] * sign
