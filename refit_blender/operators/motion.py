# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct Motion, from the button or by dropping a movie; Fit Motion from Cameras; going to a frame."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import IntProperty, StringProperty

from ..errors import SourceError
from ..motion import FinishedMotion, MotionTracking, cameras_motion, video_motion
from ..preferences import preferences_of
from ..scene import camera_choice, footage, occluders
from ..session import state
from .job import JobOperator


class REFIT_OT_reconstruct_motion(JobOperator, bpy.types.Operator):
    """Follow the people through the video and build one animated, rigged body for each"""

    bl_idname = "refit.reconstruct_motion"
    bl_label = "Reconstruct Motion"

    filepath: StringProperty(
        name="Video",
        description="Movie, or one of numbered pictures, instead of the source that is set in the panel",
        subtype="FILE_PATH",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def make_job(self, context: bpy.types.Context, folder: Path) -> MotionTracking:
        settings, scene = context.scene.refit, context.scene
        update = preferences_of(context).next_press == "UPDATE"
        options = settings.job_options(given_boxes=not self.filepath)
        span = None if self.filepath else settings.motion_span()
        if settings.source == "CAMERA" and not self.filepath:
            if scene.camera is None:
                raise SourceError("The scene has no active camera.")
            return cameras_motion(context, scene.camera.name, [scene.camera], options, folder, span=span, update=update)
        if settings.source in {"CAMERAS", "EMPTY"} and not self.filepath:
            raise SourceError("A motion comes from a file or from the scene's camera: choose that as the source.")
        path = Path(bpy.path.abspath(self.filepath or settings.image_path))
        return video_motion(
            context,
            path,
            options,
            folder,
            start=settings.motion_start,
            span=span,
            focal_mm=settings.given_focal_mm(),
            update=update,
        )

    def built(self, context: bpy.types.Context, finished: FinishedMotion) -> None:
        outcome = finished.outcome
        _look_for_occluders(context, finished)
        if not outcome.updated:
            self.show(context, outcome.camera if outcome.camera_made else None)
        if self.filepath:
            context.scene.refit.source = "FILE"
            context.scene.refit.image_path = self.filepath


class REFIT_OT_fit_motion_cameras(JobOperator, bpy.types.Operator):
    """Follow the people whom the chosen cameras see in the movies behind them, and build one animated body for each"""

    bl_idname = "refit.fit_motion_cameras"
    bl_label = "Fit Motion from Cameras"

    @classmethod
    def obstacle(cls, context: bpy.types.Context) -> str | None:
        return camera_choice.obstacle(context.scene.refit.camera_candidates(context))

    def make_job(self, context: bpy.types.Context, folder: Path) -> MotionTracking:
        settings = context.scene.refit
        return cameras_motion(
            context,
            settings.cameras_name(),
            [one.camera for one in settings.camera_candidates(context)],
            settings.camera_options(),
            folder,
            span=settings.motion_span(),
            update=preferences_of(context).next_press == "UPDATE",
        )

    def built(self, context: bpy.types.Context, finished: FinishedMotion) -> None:
        _look_for_occluders(context, finished)
        if not finished.outcome.updated:
            self.show(context)


def _look_for_occluders(context: bpy.types.Context, finished: FinishedMotion) -> None:
    """Keep with the scene what stands before the bodies at the present frame."""
    outcome = finished.outcome
    named = [context.scene.objects.get(view.name) for view in finished.result.views]
    cameras = [outcome.camera] if outcome.camera else named
    occluders.look(context, [camera for camera in cameras if camera], [made.rig for made in outcome.bodies])


class REFIT_OT_jump_to_frame(bpy.types.Operator):
    """Go to this frame"""

    bl_idname = "refit.jump_to_frame"
    bl_label = "Go to Frame"

    frame: IntProperty(name="Frame", description="Frame of the scene", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(self.frame)
        return {"FINISHED"}


class REFIT_FH_movie(bpy.types.FileHandler):
    """A movie dropped onto the 3D viewport"""

    bl_idname = "REFIT_FH_movie"
    bl_label = "Reconstruct Motion"
    bl_import_operator = REFIT_OT_reconstruct_motion.bl_idname
    bl_file_extensions = footage.MOVIES

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and state.job is None
