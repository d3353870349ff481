# SPDX-License-Identifier: GPL-3.0-or-later
"""What all panels of the sidebar tab share."""

from __future__ import annotations

import bpy

from .scene.body import rig_of


class RefitPanel:
    """What all panels of the tab share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ReFit"


class ActiveBodyPanel(RefitPanel):
    """A panel below Active Body, for any body."""

    bl_parent_id = "REFIT_PT_result"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return rig_of(context.active_object) is not None
