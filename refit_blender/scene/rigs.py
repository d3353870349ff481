# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of rigs: one for animators, whose bones lie along the limbs, and one with SMPL's bones and axes.

Both have a bone for each of SMPL's joints, with its head at the joint. A rig says on itself, in custom properties, what
it is; one that says nothing was made before there was a choice, and is of SMPL's kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import bpy
import numpy as np

from ..errors import SourceError
from ..results import JOINT_NAMES

RigKind = Literal["animation", "smpl"]
RIG_KINDS: tuple[RigKind, ...] = get_args(RigKind)

KIND, ROOT_MOTION, REST_SHIFT = "refit_rig", "refit_root_motion", "refit_rest_shift"
"""On a rig: its kind; whether the root bone follows the body over the floor; how far [3] its rest pose is moved from the
body file's, in that file's axes."""

ROOT = "root"
_LIMBS = {
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
    "foot": "toe",
    "collar": "clavicle",
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "wrist": "hand",
    "hand": "fingers",
}
_TRUNK = {"spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03"}

# A quarter turn about X: Y up becomes Z up.
REST_TO_WORLD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def _animation_name(joint: str) -> str:
    side, _, limb = joint.partition("_")
    return f"{_LIMBS[limb]}.{side[0].upper()}" if limb else _TRUNK.get(joint, joint)


BONES: dict[RigKind, tuple[str, ...]] = {
    "animation": tuple(_animation_name(joint) for joint in JOINT_NAMES),
    "smpl": tuple(JOINT_NAMES),
}
"""Names of the 24 bones in SMPL's order of joints."""


@dataclass(frozen=True)
class RigStyle:
    """Which rig new bodies get. root_motion: the root bone follows the body over the floor, place and heading."""

    kind: RigKind = "animation"
    root_motion: bool = True


DEFAULT_STYLE = RigStyle()


def kind_of(rig: bpy.types.Object) -> RigKind:
    return "animation" if rig.get(KIND) == "animation" else "smpl"


def axes_of(kind: RigKind) -> np.ndarray:
    """[3,3]: from the body file's axes (Y up) to those of the armature of a rig of this kind."""
    return REST_TO_WORLD if kind == "animation" else np.eye(3)


def bone_names(rig: bpy.types.Object) -> tuple[str, ...]:
    """The names of the 24 bones in SMPL's order of joints. Raises SourceError where one, or the root bone, is missing."""
    kind = kind_of(rig)
    names = BONES[kind]
    for name in (*names, ROOT) if kind == "animation" else names:
        if name not in rig.pose.bones:
            raise SourceError(f"Body “{rig.name}” has no bone “{name}”: it was renamed or deleted.")
    return names


def root_bone(rig: bpy.types.Object) -> bpy.types.PoseBone | None:
    """The bone on the floor under the pelvis, above which all others are; SMPL's rigs have none."""
    return rig.pose.bones.get(ROOT) if kind_of(rig) == "animation" else None


def root_follows(rig: bpy.types.Object) -> bool:
    """Whether the root bone carries the motion over the floor."""
    return root_bone(rig) is not None and bool(rig.get(ROOT_MOTION, False))


def joint_places(rig: bpy.types.Object) -> np.ndarray:
    """The joints [N,3] in the world as the rig is posed now, in the scene's units; without those whose bone is gone."""
    bones = (rig.pose.bones.get(name) for name in BONES[kind_of(rig)])
    return np.array([rig.matrix_world @ bone.head for bone in bones if bone is not None]).reshape(-1, 3)
