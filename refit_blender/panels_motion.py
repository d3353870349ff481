# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the sidebar about motion: which frames are wanted, and which of a body's deserve a look."""

from __future__ import annotations

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .results import JOINT_NAMES
from .scene import animation, timeline
from .scene import body as bodies
from .scene.assemble_motion import frames_worth_a_look

STATES = ("not found at this frame", "seen at this frame", "not seen at this frame: filled in")


def draw_motion(layout: bpy.types.UILayout, scene: bpy.types.Scene, *, enabled: bool) -> None:
    """Which frames of a video are wanted."""
    settings, column = scene.refit, layout.column()
    column.enabled = enabled
    column.prop(settings, "motion_frames")
    if settings.motion_frames == "SCENE":
        column.label(text="Frames {} to {}".format(*timeline.chosen_range(scene)), icon="PREVIEW_RANGE")
    if settings.source == "FILE":
        column.prop(settings, "motion_start")


class REFIT_PT_motion(RefitPanel, bpy.types.Panel):
    bl_label = "Motion"
    bl_parent_id = "REFIT_PT_result"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        return rig is not None and animation.STATE in rig

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig = bodies.rig_of(context.active_object)
        if rig is None:  # poll says otherwise
            return
        state = rig[animation.STATE]
        if isinstance(state, int) and 0 <= state < len(STATES):
            draw_text(layout, STATES[state].capitalize(), icon=("HIDE_ON", "HIDE_OFF", "GHOST_ENABLED")[state])
        worst = frames_worth_a_look(rig)
        if not worst:
            return
        layout.label(text="Least certain frames")
        column = layout.column(align=True)
        for frame, millimetres, joint in worst:
            name = JOINT_NAMES[joint % len(JOINT_NAMES)].replace("_", " ")
            text = f"{frame}: ± {millimetres:.0f} mm, most the {name}"
            column.operator("refit.jump_to_frame", text=text, icon="TIME").frame = frame
