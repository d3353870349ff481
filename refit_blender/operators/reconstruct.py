# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct, from the button or by dropping a picture."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..engine_job import EngineJob
from ..photo_update import FinishedUpdate, photo_job
from ..preferences import preferences_of
from ..reconstruction import Finished
from ..scene import occluders
from ..scene.sources import file_source
from ..session import state
from .job import JobOperator

PICTURES = ".jpg;.jpeg;.png;.webp;.bmp;.tif;.tiff;.heic;.heif;.hif;.avif;.gif;.jp2;.tga;.exr;.dpx;.hdr"


class REFIT_OT_reconstruct(JobOperator, bpy.types.Operator):
    """Find the people in the picture and build a posed, rigged body for each"""

    bl_idname = "refit.reconstruct"
    bl_label = "Reconstruct"

    filepath: StringProperty(
        name="Image",
        description="Picture to reconstruct, instead of the source that is set in the panel",
        subtype="FILE_PATH",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def make_job(self, context: bpy.types.Context, folder: Path) -> EngineJob:
        settings = context.scene.refit
        if self.filepath:
            source = file_source(Path(bpy.path.abspath(self.filepath)), folder)
        else:
            source = settings.job_source(context, folder)
        preferences = preferences_of(context)
        update = preferences.next_press == "UPDATE"
        # A dropped picture is another one than that of the boxes.
        options = settings.job_options(given_boxes=not self.filepath)
        return photo_job(context, source, options, folder, update=update, pack=preferences.pack_photo)

    def built(self, context: bpy.types.Context, finished: Finished | FinishedUpdate) -> None:
        outcome = finished.outcome
        occluders.look(context, [outcome.camera], [made.rig for made in outcome.bodies])
        if isinstance(finished, Finished):
            self.show(context, outcome.camera if outcome.camera_made else None)
        if self.filepath:
            context.scene.refit.source = "FILE"
            context.scene.refit.image_path = self.filepath


class REFIT_FH_picture(bpy.types.FileHandler):
    """A picture dropped onto the 3D viewport"""

    bl_idname = "REFIT_FH_picture"
    bl_label = "Reconstruct People"
    bl_import_operator = REFIT_OT_reconstruct.bl_idname
    bl_file_extensions = PICTURES

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and state.job is None
