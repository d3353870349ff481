# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar that carries a body's motion onto the animator's own armature."""

from __future__ import annotations

import bpy

from .panels_base import ActiveBodyPanel
from .preferences import draw_text
from .retarget.roles import label
from .retargeting import presets
from .session import state


class REFIT_UL_bones(bpy.types.UIList):
    """One line for each part of the body, with the target's bone."""

    bl_idname = "REFIT_UL_bones"

    def draw_item(
        self, _context, layout, data, item, _icon, _active_data, _active_property, _index=0, _flags=0
    ) -> None:
        split = layout.split(factor=0.4)
        split.label(text=label(item.role), icon="ERROR" if item.missing else "NONE")
        if data.target:
            split.prop_search(item, "bone", data.target.data, "bones", text="")


class REFIT_MT_bone_maps(bpy.types.Menu):
    """The presets in the add-on's folder, and other files."""

    bl_idname = "REFIT_MT_bone_maps"
    bl_label = "Bone Map Presets"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        for path in presets():
            layout.operator("refit.load_bone_map", text=path.stem, icon="PRESET").filepath = str(path)
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("refit.load_bone_map", text="Load …", icon="FILE_FOLDER")
        layout.operator("refit.save_bone_map", text="Save …", icon="FILE_TICK")


class REFIT_PT_retarget(ActiveBodyPanel, bpy.types.Panel):
    bl_label = "Onto My Rig"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.refit_retarget
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.enabled = state.retargeted is None
        column.prop(settings, "target")
        if settings.target:
            _draw_bones(column, settings)
            column.row().prop(settings, "what", expand=True)
            for name in ("scale", "feet", "root"):
                column.prop(settings, name)
        row = layout.column()
        row.scale_y = 1.4
        if state.retargeted is None:
            row.operator("refit.retarget", icon="ARMATURE_DATA")
        else:
            row.progress(factor=state.retargeted, text=f"{state.retargeted:.0%}, Esc cancels")


def _draw_bones(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    found = len(settings.bones())
    text = f"{settings.kind}: {found} bones" if settings.kind else "Not recognized: choose the bones below."
    draw_text(layout, text, icon="CHECKMARK" if settings.kind else "ERROR")
    row = layout.row()
    row.template_list("REFIT_UL_bones", "", settings, "choices", settings, "choice_index", rows=6)
    buttons = row.column(align=True)
    buttons.operator("refit.find_bones", text="", icon="VIEWZOOM")
    buttons.menu("REFIT_MT_bone_maps", text="", icon="PRESET")
