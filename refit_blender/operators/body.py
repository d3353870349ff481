# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a body afterwards."""

from __future__ import annotations

import bpy
from bpy.props import IntProperty

from ..errors import RefitError
from ..results import read_body
from ..scene import body as bodies
from ..scene import correctives, reconstructions, upright
from ..scene.assemble_views import VIEWS_PROPERTY
from ..scene.ik import check_no_ik
from ..scene.ownership import check_own
from .own_scene import OwnSceneOperator


class REFIT_OT_joints_to_shape(bpy.types.Operator):
    """Move the joints to where the body's shape has them, after its shape sliders were changed"""

    bl_idname = "refit.joints_to_shape"
    bl_label = "Joints to Shape"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and bodies.rig_of(context.active_object) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = bodies.rig_of(context.active_object)
        assert rig is not None  # poll has seen to it
        try:
            check_own(rig, bodies.body_mesh(rig))
            check_no_ik(rig)
            body = read_body(bodies.body_file(rig))
            active = context.view_layer.objects.active
            bodies.set_shape(rig, body, bodies.current_betas(rig))
        except RefitError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.view_layer.objects.active = active
        return {"FINISHED"}


class REFIT_OT_toggle_correctives(bpy.types.Operator):
    """Switch the body's pose correctives on or off; they cost time on each frame"""

    bl_idname = "refit.toggle_correctives"
    bl_label = "Pose Correctives"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        mesh = rig and bodies.body_mesh(rig)
        return bool(mesh and correctives.corrective_keys(mesh))

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = bodies.rig_of(context.active_object)
        mesh = bodies.body_mesh(rig) if rig else None
        assert mesh is not None  # poll has seen to it
        try:
            check_own(mesh)
        except RefitError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        correctives.enable_correctives(mesh, not correctives.correctives_enabled(mesh))
        return {"FINISHED"}


class REFIT_OT_reset_upright(bpy.types.Operator):
    """Turn camera and bodies back to the upward direction that was found for the photo"""

    bl_idname = "refit.reset_upright"
    bl_label = "Reset"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        known = reconstructions.of(context.active_object)
        return known is not None and not upright.obstacle(known) and upright.set_by_hand(known)

    def execute(self, context: bpy.types.Context) -> set[str]:
        known = reconstructions.of(context.active_object)
        assert known is not None  # poll has seen to it
        upright.reset(known, context)
        return {"FINISHED"}


class REFIT_OT_look_through(OwnSceneOperator, bpy.types.Operator):
    """Look through the camera of the active body's picture, to see the body over it"""

    bl_idname = "refit.look_through"
    bl_label = "Look Through Its Camera"

    view: IntProperty(
        name="View",
        description="Which camera of a body that was fitted to several; -1 for the one of a single picture",
        default=-1,
        min=-1,
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        rig = bodies.rig_of(context.active_object)
        return super().poll(context) and rig is not None and ("refit_camera" in rig or VIEWS_PROPERTY in rig)

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig = bodies.rig_of(context.active_object)
        assert rig is not None  # poll has seen to it
        camera = self._camera(rig)
        if camera is None or camera.name not in context.scene.objects:
            self.report({"ERROR"}, "The body's camera is no longer in the scene.")
            return {"CANCELLED"}
        context.scene.camera = camera
        for area in _viewports(context):
            area.spaces.active.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}

    def _camera(self, rig: bpy.types.Object) -> bpy.types.Object | None:
        views = rig.get(VIEWS_PROPERTY, ())
        camera = views[self.view].get("camera") if 0 <= self.view < len(views) else rig.get("refit_camera")
        return camera if isinstance(camera, bpy.types.Object) else None


def _viewports(context: bpy.types.Context) -> list[bpy.types.Area]:
    """The 3D viewport that the button is in; all of them where a script calls."""
    if context.area and context.area.type == "VIEW_3D":
        return [context.area]
    areas = (area for window in context.window_manager.windows for area in window.screen.areas)
    return [area for area in areas if area.type == "VIEW_3D"]
