# SPDX-License-Identifier: GPL-3.0-or-later
"""What renders show beside the bodies, and what stands before them."""

from __future__ import annotations

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .scene import backdrop, occluders, shadow_catcher


class REFIT_PT_render(RefitPanel, bpy.types.Panel):
    bl_label = "Render"
    bl_parent_id = "REFIT_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        shown = backdrop.is_shown(scene)
        camera = backdrop.shown_camera(scene)
        other = shown and camera not in {scene.camera, None}
        layout.operator("refit.photo_in_renders", icon="CHECKBOX_HLT" if shown and not other else "CHECKBOX_DEHLT")
        if other:
            draw_text(layout, f"Renders show the photo of “{camera.name}”.", icon="INFO")
        if shown and scene.view_settings.view_transform != backdrop.PLAIN["view_transform"]:
            draw_text(layout, "The photo has other colours: the view transform is not Standard.", icon="ERROR")
        planes = shadow_catcher.planes(scene)
        layout.operator("refit.shadow_catcher", icon="CHECKBOX_HLT" if planes else "CHECKBOX_DEHLT")
        if planes and scene.render.engine != "CYCLES":
            draw_text(layout, "Only Cycles shows the shadow.", icon="INFO")


def draw_before(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Say what stands between the camera and the bodies, with a button that hides it."""
    items = occluders.noted(scene)
    if not items:
        return
    box = layout.box()
    draw_text(box, before_note([item.name for item in items]), icon="ERROR")
    box.operator("refit.hide_before", icon="HIDE_ON")


def before_note(names: list[str]) -> str:
    """A sentence about these objects."""
    quoted = [f"“{name}”" for name in names]
    if len(quoted) == 1:
        return f"{quoted[0]} stands in front of the bodies."
    return f"{', '.join(quoted[:-1])} and {quoted[-1]} stand in front of the bodies."
