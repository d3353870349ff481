# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's motion becomes an asset: its action, with a picture, that the Asset Browser shows and assigns to others."""

from __future__ import annotations

import bpy
import numpy as np

from ..motion_results import ABSENT
from ..scene.animation import STATE, animated_numbers
from .pose_assets import mark, picture_of
from .stage import stage

SLOT = "ReFit"
"""Of all these actions: a body that has had one of them finds its slot in the next one that it is given."""


def motion_asset(rig: bpy.types.Object, description: str) -> bpy.types.Action:
    """Mark the action of a body made from a video as an asset; the picture shows its first pose.

    An action that is no asset yet takes the body's name.
    """
    action = rig.animation_data.action
    assert action is not None  # of a body that moves
    if action.asset_data is None:
        action.name = rig.name
        if hasattr(action, "slots"):  # 4.4 and later
            rig.animation_data.action_slot.name_display = SLOT
    frames, states = animated_numbers(rig, STATE)
    there = frames[states[:, 0] != ABSENT] if len(frames) else np.zeros(0)
    first = int(there[0] if len(there) else action.frame_range[0])
    with stage(bpy.context.scene) as place:
        picture = picture_of(place, rig, first)
    mark(action, description, picture)
    return action
