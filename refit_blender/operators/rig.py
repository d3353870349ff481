# SPDX-License-Identifier: GPL-3.0-or-later
"""The active body's rig: conversion into the other kind, and IK."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ..errors import RefitError
from ..scene.body import rig_of
from ..scene.conversion import convert_rig
from ..scene.ik import add_ik, has_ik, remove_ik
from ..scene.rigs import RigStyle, kind_of

_MODES = ("OBJECT", "POSE")


class REFIT_OT_convert_rig(bpy.types.Operator):
    """Give the body a rig of the other kind, with its pose and its action"""

    bl_idname = "refit.convert_rig"
    bl_label = "Convert Rig"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = rig_of(context.active_object)
        return rig is not None and context.mode in _MODES and not has_ik(rig)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.refit

        def convert(rig: bpy.types.Object) -> None:
            kind = "smpl" if kind_of(rig) == "animation" else "animation"
            convert_rig(rig, RigStyle(kind, settings.root_motion))

        return _change_rig(self, context, convert)


class REFIT_OT_add_ik(bpy.types.Operator):
    """Give the body's arms and legs targets and poles to move them by; the pose and its motion stay"""

    bl_idname = "refit.add_ik"
    bl_label = "Add IK"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = rig_of(context.active_object)
        return rig is not None and context.mode in _MODES and kind_of(rig) == "animation" and not has_ik(rig)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return _change_rig(self, context, add_ik)


class REFIT_OT_remove_ik(bpy.types.Operator):
    """Take the targets and poles of arms and legs away; the bones keep what these made of the pose and its motion"""

    bl_idname = "refit.remove_ik"
    bl_label = "Remove IK"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = rig_of(context.active_object)
        return rig is not None and context.mode in _MODES and has_ik(rig)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return _change_rig(self, context, remove_ik)


def _change_rig(
    operator: bpy.types.Operator, context: bpy.types.Context, change: Callable[[bpy.types.Object], None]
) -> set[str]:
    """Change the active body's rig in Object mode, and go back to the mode in which the button was pressed."""
    active = context.active_object
    rig, posing = rig_of(active), context.mode == "POSE"
    assert rig is not None  # poll has seen to it
    if posing:
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        change(rig)
    except RefitError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    finally:
        context.view_layer.objects.active = active
        if posing:
            bpy.ops.object.mode_set(mode="POSE")
    return {"FINISHED"}
