# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit from Cameras."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..camera_fit import CameraFit, FinishedFit, read_views
from ..preferences import preferences_of
from ..scene import camera_choice, occluders
from .job import JobOperator


class REFIT_OT_fit_cameras(JobOperator, bpy.types.Operator):
    """Find the people whom the chosen cameras see, and build one posed, rigged body for each where the person stood"""

    bl_idname = "refit.fit_cameras"
    bl_label = "Fit from Cameras"

    @classmethod
    def obstacle(cls, context: bpy.types.Context) -> str | None:
        return camera_choice.obstacle(context.scene.refit.camera_candidates(context))

    def make_job(self, context: bpy.types.Context, folder: Path) -> CameraFit:
        settings = context.scene.refit
        options = settings.camera_options()
        views = read_views(context, settings.camera_candidates(context), folder)
        update = preferences_of(context).next_press == "UPDATE"
        return CameraFit(settings.cameras_name(), views, options, folder, update=update)

    def built(self, context: bpy.types.Context, finished: FinishedFit) -> None:
        cameras = [context.scene.objects.get(view.name) for view in finished.result.views]
        rigs = [made.rig for made in finished.outcome.bodies]
        occluders.look(context, [camera for camera in cameras if camera], rigs)
        if not finished.outcome.updated:
            self.show(context)
