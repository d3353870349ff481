# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar for those who want to know why a body came out as it did."""

from __future__ import annotations

import bpy

from .panels_base import RefitPanel


class REFIT_PT_debug(RefitPanel, bpy.types.Panel):
    bl_label = "Debug"
    bl_parent_id = "REFIT_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.operator("refit.feature_maps", icon="IMAGE_DATA")
