# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the sidebar about several cameras: which ones are taken, and what each had to say about a body."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .scene import body as bodies
from .scene.assemble_views import VIEWS_PROPERTY
from .scene.camera_choice import obstacle


def draw_cameras(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The choice of cameras, each with its picture or with what is wrong with it."""
    settings = context.scene.refit
    row = layout.row()
    row.use_property_split = False  # the names need the whole width
    row.prop(settings, "cameras_from", expand=True)
    if settings.cameras_from == "COLLECTION":
        layout.prop(settings, "camera_collection")
    found = settings.camera_candidates(context)
    if found:
        rows = layout.box().column(align=True)
        videos = len(found) > 1 and settings.source_moves(context)
        for one in found:
            row = rows.split(factor=0.45)
            row.label(text=one.camera.name, icon="ERROR" if one.problem else "CAMERA_DATA")
            row.label(text=one.picture or "no image")
            if videos:
                rows.prop(one.camera.data.refit, "delay")
    if problem := obstacle(found):
        draw_text(layout, problem, icon="ERROR")
    layout.operator("refit.import_calibration", icon="IMPORT")


class REFIT_PT_views(RefitPanel, bpy.types.Panel):
    bl_label = "Cameras"
    bl_parent_id = "REFIT_PT_result"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        return rig is not None and VIEWS_PROPERTY in rig

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig = bodies.rig_of(context.active_object)
        views = rig[VIEWS_PROPERTY]
        used = sum(bool(view["used"]) for view in views)
        layout.label(text=f"{used} of {len(views)} cameras used")
        for index, view in enumerate(views):
            box = layout.box().column(align=True)
            row = box.row()
            row.label(text=view["name"], icon="CHECKMARK" if view["used"] else "CANCEL")
            values = row.row()
            values.alignment = "RIGHT"
            error = view.get("reprojection_error_px")
            values.label(text="not seen" if error is None else f"{error:.1f} px")
            row.operator("refit.look_through", text="", icon="VIEW_CAMERA").view = index
            draw_text(box, view_note(view), icon="BLANK1")


def view_note(view: Mapping[str, object]) -> str:
    """What a camera's notes on a rig say beside its error: its weight, or why it was left out."""
    if not view["used"]:
        return f"Left out: {view['reason'] or 'no reason given'}"
    return f"Weight {view['weight']:.2f}" + (f"; {view['reason']}" if view["reason"] else "")
