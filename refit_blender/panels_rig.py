# SPDX-License-Identifier: GPL-3.0-or-later
"""The active body's bones: which kind of rig they are, and IK."""

from __future__ import annotations

import bpy

from .panels_base import ActiveBodyPanel
from .scene.body import rig_of
from .scene.ik import has_ik
from .scene.rigs import kind_of


class REFIT_PT_rig(ActiveBodyPanel, bpy.types.Panel):
    bl_label = "Rig"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        rig = rig_of(context.active_object)
        assert rig is not None  # poll has seen to it
        animated = kind_of(rig) == "animation"
        if animated:
            layout.operator("refit.remove_ik" if has_ik(rig) else "refit.add_ik", icon="CON_KINEMATIC")
        text = "Convert to SMPL Rig" if animated else "Convert to Animation Rig"
        layout.operator("refit.convert_rig", text=text, icon="ARMATURE_DATA")
