# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar that says which way is up, and lets the user correct it."""

from __future__ import annotations

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .scene import reconstructions, upright
from .scene.reconstructions import Reconstruction

SOURCES = {
    "camera": "the scene's camera",
    "sensor": "the sensor of the device that took the photo",
    "lines": "straight lines in the picture",
    "bodies": "the people's poses",
    "lines and bodies": "straight lines and the people's poses",
    "level": "a camera that is held level",
}


class REFIT_PT_upright(RefitPanel, bpy.types.Panel):
    bl_label = "Upright"
    bl_parent_id = "REFIT_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        known = reconstructions.of(context.active_object)
        return known is not None and known.up is not None

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        """The essence, for the closed panel."""
        known = _active(context)
        self.layout.label(text=up_status(known), icon="CHECKMARK" if _is_sure(known) else "QUESTION")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        known = _active(context)
        draw_text(layout, up_note(known))
        if problem := upright.obstacle(known):
            if known.own_camera or known.camera is None:
                draw_text(layout, problem, icon="ERROR")
            return
        column = layout.column(align=True)
        column.prop(known.collection.refit, "pitch")
        column.prop(known.collection.refit, "roll")
        layout.operator("refit.reset_upright", icon="LOOP_BACK")


def _active(context: bpy.types.Context) -> Reconstruction:
    known = reconstructions.of(context.active_object)
    assert known is not None  # poll has seen to it
    return known


def _is_sure(known: Reconstruction) -> bool:
    return known.up.sure or known.up.source == "camera" or upright.set_by_hand(known)


def up_status(known: Reconstruction) -> str:
    """How certain it is, in a word or two."""
    if upright.set_by_hand(known):
        return "by hand"
    if known.up.source == "camera":
        return "by the camera"
    return f"sure, ± {known.up.std_deg:.0f}°" if known.up.sure else "a guess"


def up_note(known: Reconstruction) -> str:
    """Which way is up, by what, and how far that may be off."""
    up = known.up
    source = SOURCES.get(up.source, up.source)
    if upright.set_by_hand(known):
        return f"Up is set by hand (found by {source})"
    if up.source == "camera":
        return f"Up by {source}"
    if up.sure:
        return f"Up by {source}, ± {up.std_deg:.0f}°"
    # How far a guess is off is a guess, too.
    return f"Up is a guess by {source}. If the bodies lean, correct it here"
