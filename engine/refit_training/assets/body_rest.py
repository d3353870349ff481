# SPDX-License-Identifier: GPL-3.0-or-later
"""From MakeHuman's rig to SMPL's: joints, skin weights and the T-pose.

Coordinates are SMPL's throughout (Y up, facing +Z, +X is the body's left, metres).
Bone names are those of MakeHuman's default rig, with ``.L`` and ``.R`` for the sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS

Anchor = tuple[float, str, str]  # weight, bone, "head" or "tail"

# Joints as affine combinations of bone ends, which bring them to SMPL's shares of body and limbs.
_MIDLINE_ANCHORS: dict[str, tuple[Anchor, ...]] = {
    "pelvis": ((1.37, "spine05", "head"), (-0.185, "upperleg02.L", "head"), (-0.185, "upperleg02.R", "head")),
    "spine1": ((0.07, "spine04", "head"), (0.93, "spine03", "head")),
    "spine2": ((0.63, "spine02", "head"), (0.37, "spine02", "tail")),
    "spine3": (
        (0.55, "spine02", "head"),
        (0.05, "spine02", "tail"),
        (0.2, "clavicle.L", "head"),
        (0.2, "clavicle.R", "head"),
    ),
    "neck": ((0.93, "neck01", "head"), (0.07, "neck02", "tail")),
    "head": ((0.36, "neck03", "head"), (0.44, "head", "head"), (0.2, "jaw", "tail")),
}
_SIDE_ANCHORS: dict[str, tuple[Anchor, ...]] = {
    # A fifth of the other side moves the hip joint inwards.
    "hip": (
        (0.428, "upperleg01.L", "head"),
        (0.372, "upperleg02.L", "head"),
        (0.107, "upperleg01.R", "head"),
        (0.093, "upperleg02.R", "head"),
    ),
    "knee": ((0.925, "lowerleg01.L", "head"), (0.075, "foot.L", "head")),
    "ankle": ((1.0, "foot.L", "head"),),
    "foot": (
        (0.12, "foot.L", "head"),
        (0.25, "toe1-1.L", "head"),
        (0.21, "toe2-1.L", "head"),
        (0.21, "toe3-1.L", "head"),
        (0.21, "toe4-1.L", "head"),
    ),
    "collar": (
        (0.56, "clavicle.L", "head"),
        (0.38, "upperarm01.L", "head"),
        (0.06, "spine01", "head"),
    ),
    "shoulder": ((1.0, "upperarm01.L", "head"),),
    "elbow": ((1.0, "lowerarm01.L", "head"),),
    "wrist": ((1.0, "wrist.L", "head"),),
    "hand": (
        (0.16, "wrist.L", "head"),
        (0.21, "metacarpal1.L", "tail"),
        (0.21, "metacarpal2.L", "tail"),
        (0.21, "metacarpal3.L", "tail"),
        (0.21, "metacarpal4.L", "tail"),
    ),
}

# Which joint carries a bone's skin weight; bones not listed follow their parent bone.
_MIDLINE_CARRIERS: dict[str, dict[str, float]] = {
    "root": {"pelvis": 1.0},
    "spine05": {"pelvis": 1.0},
    "spine03": {"spine1": 1.0},
    "spine02": {"spine2": 1.0},
    "breast.L": {"spine3": 1.0},
    "breast.R": {"spine3": 1.0},
    "spine01": {"spine3": 1.0},
    "neck01": {"neck": 1.0},
    "head": {"head": 1.0},
}
_SIDE_CARRIERS: dict[str, str] = {
    "upperleg01": "hip",
    "lowerleg01": "knee",
    "foot": "ankle",
    **{f"toe{digit}-1": "foot" for digit in range(1, 6)},
    "clavicle": "collar",
    "upperarm01": "shoulder",
    "lowerarm01": "elbow",
    "wrist": "wrist",  # with the thumb, which does not fold with the fingers
    **{f"finger{digit}-1": "hand" for digit in range(2, 6)},
}

# Where the left limbs point in SMPL's T-pose.
_LEFT_REST_DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "hip": (0.092, -0.996, -0.012),
    "knee": (-0.034, -0.993, -0.109),
    "shoulder": (0.994, -0.050, -0.093),
    "elbow": (0.999, 0.034, -0.012),
    "wrist": (0.999, 0.034, -0.012),
}
_FOOT_YAW = np.deg2rad(10.0)  # toes outwards
_PALM_DOWN = np.array([0.0, -1.0, 0.0])
# MakeHuman's forearms are shorter than SMPL's by this share of theirs.
_FOREARM_LENGTHENING = 0.09


@dataclass(frozen=True)
class BoneEnds:
    """Ends of MakeHuman's bones for N bodies.

    Attributes:
        labels: B bone names.
        heads, tails: ``[N, B, 3]``.
    """

    labels: tuple[str, ...]
    heads: np.ndarray
    tails: np.ndarray

    def at(self, bone: str, end: str) -> np.ndarray:
        """Positions ``[N, 3]`` of one end of one bone."""
        return (self.heads if end == "head" else self.tails)[:, self.labels.index(bone)]


def _other_side(bone: str) -> str:
    return bone[:-1] + {"L": "R", "R": "L"}[bone[-1]] if bone[-2:] in (".L", ".R") else bone


def _joint_anchors() -> Mapping[str, tuple[Anchor, ...]]:
    anchors = dict(_MIDLINE_ANCHORS)
    for part, left in _SIDE_ANCHORS.items():
        anchors[f"left_{part}"] = left
        anchors[f"right_{part}"] = tuple((w, _other_side(bone), end) for w, bone, end in left)
    return anchors


def place_joints(ends: BoneEnds) -> np.ndarray:
    """SMPL's joints ``[N, 24, 3]`` from the ends of MakeHuman's bones."""
    anchors = _joint_anchors()
    return np.stack(
        [sum(weight * ends.at(bone, end) for weight, bone, end in anchors[name]) for name in SMPL_JOINT_NAMES],
        axis=1,
    )


def bone_to_joint_weights(labels: tuple[str, ...], parents: tuple[int, ...]) -> np.ndarray:
    """Share of each bone's skin weight that each joint takes: ``[B, 24]``, rows sum to one."""
    carriers = dict(_MIDLINE_CARRIERS)
    for bone, part in _SIDE_CARRIERS.items():
        carriers[f"{bone}.L"] = {f"left_{part}": 1.0}
        carriers[f"{bone}.R"] = {f"right_{part}": 1.0}
    shares = np.zeros((len(labels), len(SMPL_JOINT_NAMES)))
    for bone, (label, parent) in enumerate(zip(labels, parents, strict=True)):
        if label in carriers:
            for joint, share in carriers[label].items():
                shares[bone, SMPL_JOINT_NAMES.index(joint)] = share
        else:
            shares[bone] = shares[parent]
    return shares


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [...,3] at length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _frames(primary: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """Right-handed frames ``[N, 3, 3]`` (columns): the primary axis, the secondary made orthogonal."""
    first = unit(primary)
    second = unit(secondary - (secondary * first).sum(-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _aligning(source: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Rotations ``[N, 3, 3]`` that bring the (primary, secondary) axes of the source to the target's."""
    count = source[0].shape[:-1]
    primary, secondary = (np.broadcast_to(axis, (*count, 3)) for axis in target)
    return _frames(primary, secondary) @ np.swapaxes(_frames(*source), -1, -2)


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotations ``[N, 3, 3]`` about one unit axis by N angles."""
    cross = np.cross(np.eye(3), axis)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)


def _left_limb_rotations(
    joints: dict[str, np.ndarray], knuckles: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """World rotations of the left side's joints that bring MakeHuman's rest pose to the T-pose.

    Args:
        joints: left-side joints by part name, each ``[N, 3]``.
        knuckles: index and little finger's, each ``[N, 3]``.
    """
    towards = {part: unit(np.array(xyz)) for part, xyz in _LEFT_REST_DIRECTIONS.items()}
    forward = np.broadcast_to([0.0, 0.0, 1.0], joints["hip"].shape)
    thigh, shank = joints["knee"] - joints["hip"], joints["ankle"] - joints["knee"]
    sole = joints["foot"] - joints["ankle"]
    yaw = _about(np.array([0.0, 1.0, 0.0]), _FOOT_YAW - np.arctan2(sole[:, 0], sole[:, 2]))

    upper, fore = joints["elbow"] - joints["shoulder"], joints["wrist"] - joints["elbow"]
    # MakeHuman's elbow rests bent, so its hinge is known: SMPL's elbow folds forwards.
    hinge = np.cross(upper, fore)
    index, little = (knuckle - joints["wrist"] for knuckle in knuckles)
    palm = np.cross(little, index)
    untwisted = _aligning((fore, hinge), (towards["elbow"], _PALM_DOWN))
    palm_now = np.einsum("nij,nj->ni", untwisted, palm)
    axis = towards["elbow"]
    twist = np.arctan2(np.cross(palm_now, _PALM_DOWN) @ axis, palm_now @ _PALM_DOWN)
    return {
        "hip": _aligning((thigh, forward), (towards["hip"], forward)),
        "knee": _aligning((shank, forward), (towards["knee"], forward)),
        "ankle": yaw,
        "foot": yaw,
        "shoulder": _aligning((upper, hinge), (towards["shoulder"], _PALM_DOWN)),
        # Half of the forearm's turn happens along it, half at the wrist.
        "elbow": _about(axis, twist / 2) @ untwisted,
        "wrist": _aligning((index + little, palm), (towards["wrist"], _PALM_DOWN)),
        "hand": _aligning((index + little, palm), (towards["wrist"], _PALM_DOWN)),
    }


def t_pose_rotations(joints: np.ndarray, ends: BoneEnds) -> np.ndarray:
    """World rotations ``[N, 24, 3, 3]`` from MakeHuman's rest pose to SMPL's T-pose.

    Args:
        joints: ``[N, 24, 3]`` from ``place_joints``.
        ends: the bones that the joints were placed with.
    """
    rotations = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    mirror = np.array([-1.0, 1.0, 1.0])
    for side, suffix, flip in (("left", "L", np.ones(3)), ("right", "R", mirror)):
        parts = {part: SMPL_JOINT_NAMES.index(f"{side}_{part}") for part in _SIDE_ANCHORS}
        first, last = (ends.at(f"metacarpal{i}.{suffix}", "tail") * flip for i in (1, 4))
        side_joints = {part: joints[:, index] * flip for part, index in parts.items()}
        for part, rotation in _left_limb_rotations(side_joints, (first, last)).items():
            rotations[:, parts[part]] = flip[:, None] * rotation * flip
    return rotations


def pose_joints(joints: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Joints ``[N, 24, 3]`` after each is turned by its world rotation ``[N, 24, 3, 3]``."""
    posed = joints.copy()
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            posed[:, joint] = posed[:, parent] + np.einsum("nij,nj->ni", rotations[:, parent], bone)
    return posed


def unskin(
    vertices: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    rotations: np.ndarray,
    posed: np.ndarray,
) -> np.ndarray:
    """The bodies that linear blend skinning takes back from the T-pose to the given vertices.

    Inverting the skinning, instead of skinning forwards, keeps MakeHuman's modelled shoulders
    and elbows exact in its own rest pose, which is nearer to how people stand than a T-pose.

    Args:
        vertices: ``[N, V, 3]`` in MakeHuman's rest pose.
        weights: ``[V, 24]``.
        joints: ``[N, 24, 3]`` in MakeHuman's rest pose.
        rotations: ``[N, 24, 3, 3]`` from there to the T-pose.
        posed: ``[N, 24, 3]`` in the T-pose.

    Returns:
        Vertices ``[N, V, 3]`` in the T-pose.
    """
    back = np.swapaxes(rotations, -1, -2)
    shifts = joints - np.einsum("njab,njb->nja", back, posed)
    transforms = np.concatenate([back, shifts[..., None]], axis=-1)
    blended = np.einsum("vj,njc->nvc", weights, transforms.reshape(*posed.shape[:2], 12), optimize=True)
    blended = blended.reshape(*vertices.shape, 4)
    offsets = vertices - blended[..., 3]
    return np.linalg.solve(blended[..., :3], offsets[..., None])[..., 0]


def lengthen_forearms(joints: np.ndarray, points: np.ndarray) -> np.ndarray:
    """T-posed points ``[N, P, 3]`` after their forearms are stretched to SMPL's share; what is beyond moves along.

    Args:
        joints: ``[N, 24, 3]`` before the stretch.
    """
    moved = points.copy()
    for side in ("left", "right"):
        elbow, wrist = (joints[:, None, SMPL_JOINT_NAMES.index(f"{side}_{part}")] for part in ("elbow", "wrist"))
        forearm = wrist - elbow
        share = ((points - elbow) * forearm).sum(-1) / (forearm**2).sum(-1)
        moved += _FOREARM_LENGTHENING * np.clip(share, 0, 1)[..., None] * forearm
    return moved
