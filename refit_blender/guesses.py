# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for the parts of a body that no picture shows, so that the engine guessed them."""

from __future__ import annotations

from collections.abc import Sequence

from .results import JOINT_NAMES

# The joints that a limb's bones end at, from the trunk outwards, and what to call the limb from there on.
_LIMBS = (
    ((("elbow", "arm"), ("wrist", "forearm"), ("hand", "hand")), "arms forearms hands"),
    ((("knee", "leg"), ("ankle", "lower leg"), ("foot", "foot")), "legs lower-legs feet"),
)


def guessed_parts(guessed: Sequence[bool]) -> str:
    """Plain words for guessed joints [24], such as "both legs, left hand"; empty where nothing is guessed."""
    joints = {name for name, is_guess in zip(JOINT_NAMES, guessed, strict=True) if is_guess}
    parts = ["head"] if "head" in joints else []
    for names, plurals in _LIMBS:
        left, right = (_from(side, names, joints) for side in ("left", "right"))
        if left and left == right:
            parts.append("both " + dict(zip((name for _, name in names), plurals.split(), strict=True))[left])
            continue
        parts += [f"{side} {part}" for side, part in (("left", left), ("right", right)) if part]
    if {"left_hip", "right_hip"} <= joints:
        parts.append("hips")
    return ", ".join(parts).replace("-", " ")


def _from(side: str, names: tuple[tuple[str, str], ...], joints: set[str]) -> str:
    """What of a limb is guessed, "" for nothing."""
    return next((name for joint, name in names if f"{side}_{joint}" in joints), "")
