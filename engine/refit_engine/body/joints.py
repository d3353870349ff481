# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and tree of the 24 SMPL joints, and which part is which on the other side."""

from __future__ import annotations

from collections.abc import Sequence

SMPL_JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)

SMPL_PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip


_OTHER_SIDE = {"left": "right", "right": "left"}


def mirrored_name(name: str) -> str:
    """Name of the same part on the body's other side; itself on the midline."""
    return "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))


def mirrored_order(names: Sequence[str]) -> list[int]:
    """For each of some joints or points, which of them it is with left and right exchanged."""
    return [names.index(mirrored_name(name)) for name in names]
