# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes around people, in the sidebars of the 3D viewport and of the Image Editor."""

from __future__ import annotations

import bpy

from .panels_base import RefitPanel
from .preferences import draw_text
from .scene import reconstructions
from .session import state


class REFIT_UL_boxes(bpy.types.UIList):
    """One line for each box."""

    bl_idname = "REFIT_UL_boxes"

    def draw_item(
        self, _context, layout, _data, item, _icon, _active_data, _active_property, index=0, _flags=0
    ) -> None:
        layout.label(text=f"Box {index + 1}", icon="SELECT_SET")
        layout.label(text=f"{item.width} × {item.height} px")


def draw_add_person(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The button that adds a person to the reconstruction of the active object."""
    known = reconstructions.of(context.active_object)
    if known is not None and known.kind == "photo":
        layout.operator("refit.draw_person", icon="ADD")


def draw_boxes(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The button that draws boxes, and the boxes as numbers where there are some."""
    settings = context.scene.refit
    if state.drawing:
        draw_text(layout, "Drawing boxes: Enter accepts, Esc cancels.", icon="MOUSE_LMB_DRAG")
    else:
        layout.operator("refit.draw_boxes", icon="SELECT_SET")
    if settings.people != "BOX":
        return
    row = layout.row()
    row.template_list("REFIT_UL_boxes", "", settings, "boxes", settings, "box_index", rows=2)
    buttons = row.column(align=True)
    buttons.operator("refit.add_box", text="", icon="ADD")
    buttons.operator("refit.remove_box", text="", icon="REMOVE")
    if 0 <= settings.box_index < len(settings.boxes):
        column = layout.column(align=True)
        for name in ("left", "top", "width", "height"):
            column.prop(settings.boxes[settings.box_index], name)


class REFIT_PT_editor_boxes(bpy.types.Panel):
    bl_label = "People"
    bl_idname = "REFIT_PT_editor_boxes"
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = RefitPanel.bl_category

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        draw_boxes(self.layout, context)
