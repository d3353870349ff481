# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar about files for other programs."""

from __future__ import annotations

import bpy

from .panels_base import ActiveBodyPanel

_RIGGED = {"FBX", "GLB", "USD"}
"""Formats that take the skin along."""


class REFIT_PT_export(ActiveBodyPanel, bpy.types.Panel):
    bl_label = "Export"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.refit.export
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "format")
        if settings.format in _RIGGED:
            layout.prop(settings, "target")
            layout.prop(settings, "shape")
        layout.operator("refit.export_body", icon="EXPORT")
        layout.operator("refit.pose_asset", icon="ASSET_MANAGER")
