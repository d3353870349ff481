# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a body that a bone map gives a bone of the target armature, and the skeleton they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..results import JOINT_NAMES

SIDES = ("L", "R")
SPINE = tuple(f"spine_{number}" for number in range(1, 7))
NECK = tuple(f"neck_{number}" for number in range(1, 4))
LIMB_PARTS = ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
ROLES: tuple[str, ...] = (
    "root",
    "body",
    "pelvis",
    *SPINE,
    *NECK,
    "head",
    *(f"{part}.{side}" for side in SIDES for part in LIMB_PARTS),
)
"""Root: on the floor under the body. Body: moves the whole body where the pelvis does not, as in control rigs."""
REQUIRED = ("pelvis", *(f"{part}.{side}" for side in SIDES for part in ("upper_arm", "forearm", "thigh", "shin")))

_JOINTS = {
    "clavicle": "collar",
    "upper_arm": "shoulder",
    "forearm": "elbow",
    "hand": "wrist",
    "thigh": "hip",
    "shin": "knee",
    "foot": "ankle",
    "toe": "foot",
}


@dataclass(frozen=True)
class Skeleton:
    """An armature at rest. names [B]; parents [B], -1 for none; heads, tails [B,3]; axes [B,3,3]: columns x, y, z.

    In the armature's own space and units.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    axes: np.ndarray

    def index(self, name: str) -> int:
        return self.names.index(name)

    def ancestors(self, bone: int) -> list[int]:
        """A bone's parent, its parent and so on."""
        found = []
        while (bone := int(self.parents[bone])) >= 0:
            found.append(bone)
        return found

    def children(self, bone: int) -> list[int]:
        return np.flatnonzero(self.parents == bone).tolist()


def label(role: str) -> str:
    """What the list of the panel calls a role."""
    part, _, side = role.partition(".")
    words = part.replace("_", " ").capitalize()
    return f"{words} {side}".strip() if side else words


def joint(role: str) -> int:
    """SMPL's joint at the head of a limb's part, such as "forearm.L"."""
    part, side = role.split(".")
    names: list[str] = list(JOINT_NAMES)
    return names.index(f"{'left' if side == 'L' else 'right'}_{_JOINTS[part]}")
