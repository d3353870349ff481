# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bones of a rig lie in its rest pose. Arrays only, metres, in the armature's axes.

The animation rig has Z up and faces -Y. Its bones lead to the next joint. Their rolls make elbows and knees bend about
the bones' X axis, forwards and backwards, as in Blender's own rigs; the two sides are mirror images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rigs import BONES, ROOT, RigKind

SMPL_LENGTH = 0.08
ROOT_LENGTH = 0.3
SHORTEST = 0.005
"""Metres; Blender deletes bones without a length."""
_TOE = 0.5
"""The toes' length, of that of the foot before them."""
_HEAD, _FEET, _TOES, _WRISTS, _HANDS = 15, (7, 8), (10, 11), (20, 21), (22, 23)
_NEXT = {0: 3, 3: 6, 6: 9, 9: 12, 12: 15, 13: 16, 14: 17, 16: 18, 17: 19, 18: 20, 19: 21, 20: 22, 21: 23}
_NEXT |= {1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11}
"""The joint that a joint's bone leads to."""
_LOOSE = (16, 17)
"""Joints whose bones are not connected to their parent's: arms may be moved away from the clavicle."""
_FORWARD, _BACKWARD, _DOWN = (0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)


@dataclass(frozen=True)
class BonePlace:
    """A bone at rest. head, tail [3]; z_axis [3]: where its Z axis points as nearly as possible, None for roll 0."""

    name: str
    parent: str | None
    head: np.ndarray
    tail: np.ndarray
    z_axis: tuple[float, float, float] | None = None
    connected: bool = False


def place_bones(kind: RigKind, joints: np.ndarray, parents: Sequence[int], top: float) -> list[BonePlace]:
    """The bones of a rig, parents before children, for rest joints [24,3]; top: the height of the body's highest point.

    parents [24]: each joint's parent, -1 for the first.
    """
    names = BONES[kind]
    if kind == "smpl":
        tails = joints + [0.0, SMPL_LENGTH, 0.0]
        above = [names[parent] if parent >= 0 else None for parent in parents]
        return [BonePlace(*bone) for bone in zip(names, above, joints, tails, strict=True)]
    tails = _tails(joints, top)
    bones = [BonePlace(ROOT, None, np.zeros(3), np.array([0.0, ROOT_LENGTH, 0.0]))]
    for index, name in enumerate(names):
        parent = parents[index]
        connected = _NEXT.get(parent) == index and index not in _LOOSE and bool((tails[parent] == joints[index]).all())
        above = names[parent] if parent >= 0 else ROOT
        bones.append(BonePlace(name, above, joints[index], tails[index], _z_axis(index), connected))
    return bones


def _tails(joints: np.ndarray, top: float) -> np.ndarray:
    tails = joints.copy()
    for index, following in _NEXT.items():
        tails[index] = joints[following]
    tails[_HEAD] = joints[_HEAD] + [0.0, 0.0, max(top - joints[_HEAD, 2], SHORTEST)]
    for wrist, hand in zip(_WRISTS, _HANDS, strict=True):
        tails[hand] = joints[hand] + (joints[hand] - joints[wrist])
    for foot, toe in zip(_FEET, _TOES, strict=True):
        level = (joints[toe] - joints[foot]) * [1.0, 1.0, 0.0]
        tails[toe] = joints[toe] + _TOE * level
    short = np.linalg.norm(tails - joints, axis=1) < SHORTEST
    tails[short] = joints[short] + [0.0, 0.0, SHORTEST]
    return tails


def _z_axis(index: int) -> tuple[float, float, float]:
    """Arms bend forwards, legs backwards, trunk and head forwards, hands and feet down, all about X."""
    if index in (*_WRISTS, *_HANDS, *_FEET, *_TOES):
        return _DOWN
    return _BACKWARD if index in (1, 2, 4, 5) else _FORWARD
