# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone colours that show how certain each joint is."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ..scene import body as bodies
from ..scene import confidence
from ..scene.ownership import foreign_sentence


class REFIT_OT_confidence_colors(bpy.types.Operator):
    """Color the bones by the error to expect, green for small and red for large, and show them in Pose Mode; \
press again to get the former look back"""

    bl_idname = "refit.confidence_colors"
    bl_label = "Confidence Colors"
    bl_options = {"REGISTER", "UNDO"}

    measure: EnumProperty(
        name="Show",
        items=(
            ("POSITION", "Position", "How far the joint may be from its true place relative to the pelvis"),
            ("ROTATION", "Rotation", "How far the bone may be turned from its true rotation relative to its parent"),
        ),
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        items = properties.bl_rna.properties["measure"].enum_items
        return f"{items[properties.measure].description}: green for small, red for large. Again: the former look"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        if rig is None or confidence.confidence_of(rig) is None:
            return False
        if context.mode not in {"OBJECT", "POSE"}:
            cls.poll_message_set("Bones can be colored in Object and Pose mode")
            return False
        if sentence := foreign_sentence(rig):
            cls.poll_message_set(sentence.rstrip("."))
            return False
        return rig.name in context.view_layer.objects

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = bodies.rig_of(context.active_object)
        known = confidence.confidence_of(rig) if rig else None
        assert rig is not None and known is not None  # poll has seen to it
        if confidence.shown_measure(rig) == self.measure:
            confidence.restore_colors(rig)
            if context.mode == "POSE":
                bpy.ops.object.mode_set(mode="OBJECT")
            return {"FINISHED"}
        confidence.show_colors(rig, known, self.measure)
        if context.mode == "OBJECT":
            _make_active(context, rig)
            bpy.ops.object.mode_set(mode="POSE")
        return {"FINISHED"}


def _make_active(context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """The button works from the body's mesh as well, but only the armature has a Pose mode."""
    if context.view_layer.objects.active is not rig:
        rig.select_set(True)
        context.view_layer.objects.active = rig
