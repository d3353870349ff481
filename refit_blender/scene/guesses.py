# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joints of a rig are guessed, kept as a custom property."""

from __future__ import annotations

import bpy
import numpy as np

from ..results import JOINT_NAMES

GUESSED = "refit_guessed"
_DESCRIPTION = (
    "1 for each joint that no picture shows: outside of it, or behind something. In photos its limb takes a likely pose;"
    " joints in SMPL's order"
)


def note_guesses(rig: bpy.types.Object, guessed: np.ndarray) -> None:
    """Keep guessed joints [24] on a rig."""
    rig[GUESSED] = [int(one) for one in guessed]
    rig.id_properties_ui(GUESSED).update(description=_DESCRIPTION)


def guesses_of(rig: bpy.types.Object) -> tuple[bool, ...]:
    """The guessed joints [24]; none where nothing is kept or somebody changed it."""
    nothing = (False,) * len(JOINT_NAMES)
    try:
        found = tuple(bool(value) for value in rig.get(GUESSED, nothing))
    except TypeError:
        return nothing
    return found if len(found) == len(nothing) else nothing
