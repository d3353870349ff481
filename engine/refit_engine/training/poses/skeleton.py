# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL's 24-joint skeleton as far as poses need it: hierarchy, rest frames, mirror.

Frame of the rest pose: Y up, facing +Z, +X is the body's left, arms level (T-pose), palms down.
"""

import numpy as np

__all__ = [
    "JOINT_COUNT",
    "LEFT_RIGHT_SWAP",
    "PARENTS",
    "REST_JOINTS",
    "forward_kinematics",
    "mirror",
    "rest_frames",
    "to_global",
    "to_local",
]

JOINT_COUNT = 24
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
LEFT_RIGHT_SWAP = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22])

# Joints whose parent's rotation is complete before theirs: the tree, one depth at a time.
_LEVELS = ([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12, 13, 14], [15, 16, 17], [18, 19], [20, 21], [22, 23])

# An average adult in the rest pose, metres; poses are rotations, so it only has to be roughly right.
_CENTRE = {0: (0, 0, 0), 3: (0, 0.11, -0.02), 6: (0, 0.24, 0.0), 9: (0, 0.30, 0.02), 12: (0, 0.51, -0.02), 15: (0, 0.58, 0.03)}
_LEFT = {
    1: (0.065, -0.085, -0.01),
    4: (0.105, -0.46, -0.01),
    7: (0.09, -0.87, -0.05),
    10: (0.115, -0.925, 0.08),
    13: (0.08, 0.42, -0.01),
    16: (0.19, 0.445, -0.02),
    18: (0.45, 0.44, -0.04),
    20: (0.70, 0.445, -0.045),
    22: (0.79, 0.435, -0.05),
}


def _rest_joints() -> np.ndarray:
    rest = np.zeros((JOINT_COUNT, 3))
    for joint, position in {**_CENTRE, **_LEFT}.items():
        rest[joint] = position
        rest[LEFT_RIGHT_SWAP[joint]] = np.multiply(position, (-1, 1, 1))
    return rest


REST_JOINTS = _rest_joints()

# A bone runs from its joint to this one. Joints of the trunk are aligned by orientation, not by bone.
LIMB_BONES = {1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11, 16: 18, 17: 19, 18: 20, 19: 21, 20: 22, 21: 23}


def rest_frames(rest_joints: np.ndarray = REST_JOINTS) -> np.ndarray:
    """Anatomical frame of every segment in the rest pose.

    Columns of a limb's frame: bone direction, then the hinge that bends the limb (X for the legs; -Y left and +Y right
    for the arms; +Z, the thumb's side, for the hands), made orthogonal. Feet stand flat: up, then the toes' heading.
    Trunk: the axes themselves.

    rest_joints: [24,3] metres. Returns [24,3,3].
    """
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    for joint, end in LIMB_BONES.items():
        bone = rest_joints[end] - rest_joints[joint]
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
    """Rotation whose first column is `primary` and whose second is `secondary` made orthogonal to it. [3],[3] -> [3,3]"""
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


def forward_kinematics(rotmats: np.ndarray, rest_joints: np.ndarray = REST_JOINTS) -> np.ndarray:
    """Joint positions of a posed skeleton, the pelvis staying where it rests.

    rotmats: [...,24,3,3] relative to the parents; rest_joints: [24,3] metres. Returns [...,24,3] metres.
    """
    rotations = to_global(rotmats)
    offsets = rest_joints[1:] - rest_joints[PARENTS[1:]]
    steps = (rotations[..., PARENTS[1:], :, :] @ offsets[..., None])[..., 0]
    joints = np.empty(rotmats.shape[:-2] + (3,), dtype=steps.dtype)
    joints[..., 0, :] = rest_joints[0]
    for level in _LEVELS:
        children = np.asarray(level)
        joints[..., level, :] = joints[..., PARENTS[level], :] + steps[..., children - 1, :]
    return joints


def mirror(rotmats: np.ndarray) -> np.ndarray:
    """Reflect poses in the body's plane x = 0: left becomes right. [...,24,3,3] both."""
    sign = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], dtype=rotmats.dtype)
    return rotmats[..., LEFT_RIGHT_SWAP, :, :] * sign
