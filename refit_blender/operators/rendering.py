# SPDX-License-Identifier: GPL-3.0-or-later
"""What renders and the camera's view show: the photo, shadows on the floor, and nothing before the bodies."""

from __future__ import annotations

import bpy

from ..errors import SourceError
from ..scene import backdrop, body, occluders, shadow_catcher
from .own_scene import OwnSceneOperator


class REFIT_OT_photo_in_renders(OwnSceneOperator, bpy.types.Operator):
    """Show the active camera's photo behind the bodies in renders, or no longer; the view transform is Standard meanwhile"""

    bl_idname = "refit.photo_in_renders"
    bl_label = "Photo in Renders"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        if context.scene.camera is None and not backdrop.is_shown(context.scene):
            cls.poll_message_set("The scene has no active camera")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        camera = scene.camera
        messages: list[str] = []
        try:
            if camera is None or (backdrop.is_shown(scene) and backdrop.shown_camera(scene) in {camera, None}):
                backdrop.hide(scene)
            else:
                messages = backdrop.show(scene, camera)
        except SourceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if messages:
            self.report({"INFO"}, " ".join(messages))
        return {"FINISHED"}


class REFIT_OT_shadow_catcher(OwnSceneOperator, bpy.types.Operator):
    """Add a plane on the floor that shows only the shadows on it, or remove it"""

    bl_idname = "refit.shadow_catcher"
    bl_label = "Shadow on the Floor"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        if not shadow_catcher.planes(context.scene) and not _rigs(context.scene):
            cls.poll_message_set("The scene has no body")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if shadow_catcher.planes(context.scene):
            try:
                shadow_catcher.remove(context.scene)
            except SourceError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        else:
            shadow_catcher.add(context, _rigs(context.scene))
        return {"FINISHED"}


class REFIT_OT_hide_before(OwnSceneOperator, bpy.types.Operator):
    """Hide what stands in front of the bodies, in the viewport and in renders"""

    bl_idname = "refit.hide_before"
    bl_label = "Hide"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and bool(occluders.noted(context.scene))

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            occluders.hide(occluders.noted(context.scene))
        except SourceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def _rigs(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The scene's bodies with a skin."""
    return [item for item in scene.objects if body.is_rig(item) and body.body_mesh(item)]
