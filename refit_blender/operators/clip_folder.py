# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct Folder: all movies of a folder, one after the other, by the running engine."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from ..clip_folder import FinishedFolder, FolderTracking
from ..errors import SourceError
from ..motion import MotionTracking, video_motion
from ..preferences import draw_text, preferences_of
from ..session import state
from .job import JobOperator, scene_of_job


class REFIT_OT_reconstruct_folder(JobOperator, bpy.types.Operator):
    """Reconstruct the motions of all movies in a folder: a collection with animated bodies for each. A movie that fails is named and does not stop the others"""

    bl_idname = "refit.reconstruct_folder"
    bl_label = "Reconstruct Folder…"
    bl_options = {"UNDO"}  # the last operation's settings are not shown: changing one would do all again

    directory: StringProperty(
        name="Folder", description="Folder with the movies", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_movie: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    as_assets: BoolProperty(
        name="Actions as Assets",
        description="Mark the action of each body as an asset, with a picture of its first pose",
        default=True,
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.directory:
            return super().invoke(context, event)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.refit
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "as_assets")
        layout.label(text="As the panel says:")
        for name in ("people", "body", "rig", "height"):
            layout.prop(settings, name)
        draw_text(layout, "All movies in the folder that is shown are taken.", icon="INFO")

    def make_job(self, context: bpy.types.Context, folder: Path) -> FolderTracking:
        if not self.directory:
            raise SourceError("No folder is chosen.")
        settings = context.scene.refit
        options, focal_mm = settings.camera_options(), settings.given_focal_mm()
        update = preferences_of(context).next_press == "UPDATE"

        def start(path: Path, clip_folder: Path) -> MotionTracking:
            return video_motion(bpy.context, path, options, clip_folder, focal_mm=focal_mm, update=update)

        directory = Path(bpy.path.abspath(self.directory))
        return FolderTracking(context, directory, start, folder, assets=self.as_assets, update=update)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """While bodies are made, a clip at each tick, nothing else may change the scene: it is one undo step."""
        answer = super().modal(context, event)
        building = answer == {"PASS_THROUGH"} and state.job.progress.building
        return {"RUNNING_MODAL"} if building else answer

    def built(self, context: bpy.types.Context, finished: FinishedFolder) -> None:
        motions = [clip.motion for clip in finished.clips if clip.motion is not None]
        if not motions[0].outcome.updated:
            self.show(context, motions[0].outcome.camera)

    def _has_ended(self, context: bpy.types.Context) -> bool:
        if not state.job.poll():
            return False
        with scene_of_job(context, self._scene):
            return state.job.build_next(bpy.context)
