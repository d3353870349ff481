# SPDX-License-Identifier: GPL-3.0-or-later
"""Where cameras and viewports begin and end to show things, so that bodies are seen in scenes of any unit."""

from __future__ import annotations

import bpy

# In metres: what a camera shows, or to twice as far as the farthest thing that it has to show.
CLIP_START, CLIP_END = 0.1, 1000.0
VIEWPORT_CLIP_START = 0.01
FAR_MARGIN = 2.0
DISPLAY_SIZE = 0.3


def suit_to_unit(data: bpy.types.Camera, unit: float, farthest: float = 0.0) -> None:
    """Set how large a camera is drawn and where it begins and ends to see, for a scene with `unit` metres per unit.

    farthest: metres to the farthest thing that it has to show.
    """
    data.display_size = DISPLAY_SIZE / unit
    data.clip_start = CLIP_START / unit
    data.clip_end = max(CLIP_END, FAR_MARGIN * farthest) / unit


def clip_remark(camera: bpy.types.Object, nearest: float, farthest: float, unit: float) -> str | None:
    """A sentence where a camera's clipping hides what is between these distances in metres; None where it does not."""
    data = camera.data
    if nearest >= data.clip_start * unit and farthest <= data.clip_end * unit:
        return None
    end = "start" if nearest < data.clip_start * unit else "end"
    return f"Camera “{camera.name}” does not show all of the body: change its Clip {end.title()}."


def widen_viewports(context: bpy.types.Context, farthest: float, unit: float) -> None:
    """Let all 3D viewports show things in this distance, metres; those that do already stay as they are."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "VIEW_3D" and space.clip_end * unit < FAR_MARGIN * farthest:
                space.clip_start = VIEWPORT_CLIP_START / unit
                space.clip_end = max(CLIP_END, FAR_MARGIN * farthest) / unit
