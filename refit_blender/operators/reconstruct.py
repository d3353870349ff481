# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconstruct and Cancel."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..errors import Cancelled, RefitError
from ..reconstruction import JobFolder, Reconstruction
from ..scene.sources import file_source
from ..session import state

POLL_SECONDS = 0.04
PICTURES = ".jpg;.jpeg;.png;.webp;.bmp;.tif;.tiff"


class REFIT_OT_reconstruct(bpy.types.Operator):
    """Find the people in the picture and build a posed, rigged body for each"""

    bl_idname = "refit.reconstruct"
    bl_label = "Reconstruct"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="Image",
        description="Picture to reconstruct, instead of the source that is set in the panel",
        subtype="FILE_PATH",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.job:
            cls.poll_message_set("A reconstruction is running")
            return False
        return context.scene is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if context.window is None:
            return self.execute(context)
        try:
            self._start(context)
        except RefitError as error:
            return self._give_up(error)
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        self._shown = state.job.progress
        _redraw(context)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
            state.job.wait()
            return self._finish(context)
        except RefitError as error:
            return self._give_up(error)
        finally:
            self._clean_up()

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            state.job.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if not state.job.poll():
            if state.job.progress != self._shown:
                self._shown = state.job.progress
                _redraw(context)
            return {"PASS_THROUGH"}
        try:
            return self._finish(context)
        except RefitError as error:
            return self._give_up(error)
        finally:
            self._stop_timer(context)
            self._clean_up()
            _redraw(context)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: another file is loaded, or the window closes."""
        state.job.cancel()
        self._stop_timer(context)
        self._clean_up()

    def _start(self, context: bpy.types.Context) -> None:
        state.error = state.report = ""
        settings = context.scene.refit
        self._folder = JobFolder()
        try:
            if self.filepath:
                source = file_source(Path(bpy.path.abspath(self.filepath)))
            else:
                source = settings.job_source(context, self._folder.path)
            state.job = Reconstruction(source, settings.job_options(), self._folder.path)
        except BaseException:
            self._clean_up()
            raise

    def _finish(self, context: bpy.types.Context) -> set[str]:
        finished = state.job.finish(context)
        if self.filepath:
            context.scene.refit.source = "FILE"
            context.scene.refit.image_path = self.filepath
        state.report = finished.summary()
        for message in finished.messages:
            self.report({"WARNING"}, message)
        self.report({"INFO"}, state.report)
        return {"FINISHED"}

    def _give_up(self, error: RefitError) -> set[str]:
        if isinstance(error, Cancelled):
            state.report = str(error)
            self.report({"INFO"}, str(error))
        else:
            state.error = str(error)
            self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def _stop_timer(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)

    def _clean_up(self) -> None:
        state.job = None
        self._folder.close()


class REFIT_OT_cancel(bpy.types.Operator):
    """Stop the running reconstruction; the scene stays as it is"""

    bl_idname = "refit.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.job is not None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state.job.cancel()
        return {"FINISHED"}


class REFIT_FH_picture(bpy.types.FileHandler):
    """A picture dropped onto the 3D viewport"""

    bl_idname = "REFIT_FH_picture"
    bl_label = "Reconstruct People"
    bl_import_operator = REFIT_OT_reconstruct.bl_idname
    bl_file_extensions = PICTURES

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and state.job is None


def _redraw(context: bpy.types.Context) -> None:
    """The sidebars only: drawing whole viewports over and over would slow down the user's own work."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "UI":
                    region.tag_redraw()
