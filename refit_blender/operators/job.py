# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a job from a button: without freezing the window, or blocking where there is none; and Cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import bpy

from ..engine_job import Job, JobFolder, Summary
from ..errors import Cancelled, RefitError, SourceError, sentence
from ..preferences import preferences_of
from ..session import forget_texts, state
from .own_scene import OwnSceneOperator
from .viewports import area_of, is_viewport, panel_is_seen, show

POLL_SECONDS = 0.04


class JobOperator(OwnSceneOperator):
    """An operator that asks the engine and builds what it answers, in one undo step."""

    bl_options = {"REGISTER", "UNDO"}

    _timer: bpy.types.Timer | None = None
    _area: bpy.types.Area | None = None
    _folder: JobFolder | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.job:
            cls.poll_message_set("A reconstruction is running")
            return False
        if not super().poll(context):
            return False
        if problem := cls.obstacle(context):
            cls.poll_message_set(problem.rstrip("."))
            return False
        return True

    @classmethod
    def obstacle(cls, context: bpy.types.Context) -> str | None:
        """A sentence with what is in the way of this job; the button is grey then and shows it."""
        return None

    def make_job(self, context: bpy.types.Context, folder: Path) -> Job:
        """Start the job that the settings ask for. Raises a RefitError where they are incomplete."""
        raise NotImplementedError

    def built(self, context: bpy.types.Context, finished: Summary) -> None:
        """Called when the job's result is in the scene."""

    def show(self, context: bpy.types.Context, camera: bpy.types.Object | None = None) -> None:
        """Frame the selected bodies in the viewport in which the button was pressed; `camera`: made for them."""
        if self._area and is_viewport(context, self._area):
            show(context, self._area, camera, look_through=preferences_of(context).look_through)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """From a button or a file browser the job runs beside the window's work, in scripts it blocks."""
        beside = self.options.is_invoke and context.window and not bpy.app.background
        return self._run_modal(context) if beside else self._block(context)

    def _run_modal(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
        except (RefitError, OSError) as error:
            return self._give_up(context, error)
        self._area = area_of(context)
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        assert isinstance(self, bpy.types.Operator)  # what this class is mixed into
        manager.modal_handler_add(self)
        self._shown = state.job.progress
        redraw_sidebars(context)
        return {"RUNNING_MODAL"}

    def _block(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
            state.job.wait()
            return self._finish(context)
        except (RefitError, OSError) as error:
            return self._give_up(context, error)
        finally:
            self._clean_up()

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            state.job.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        ended = True
        try:
            ended = self._has_ended(context)
            return self._finish(context) if ended else self._go_on(context)
        except (RefitError, OSError) as error:
            return self._give_up(context, error)
        finally:
            if ended:
                self._stop_timer(context)
                self._clean_up()
                redraw_sidebars(context)

    def _has_ended(self, _context: bpy.types.Context) -> bool:
        return state.job.poll()

    def _go_on(self, context: bpy.types.Context) -> set[str]:
        if state.job.progress != self._shown:
            self._shown = state.job.progress
            redraw_sidebars(context)
        return {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: another file is loaded, or the window closes."""
        if self._timer is None:  # it has not begun: a file browser was closed
            return
        state.job.cancel()
        self._stop_timer(context)
        self._clean_up()

    def _start(self, context: bpy.types.Context) -> None:
        forget_texts()
        self._folder = JobFolder()
        self._scene = context.scene.session_uid
        try:
            state.job = self.make_job(context, self._folder.path)
        except BaseException:
            self._clean_up()
            raise

    def _finish(self, context: bpy.types.Context) -> set[str]:
        if context.scene.session_uid != self._scene:
            self._area = None  # the viewport shows another scene
        with scene_of_job(context, self._scene):
            finished = state.job.finish(bpy.context)
            self.built(bpy.context, finished)
        state.report, state.remarks = finished.summary(), finished.messages
        for message in finished.messages:
            self._say(context, "WARNING", message)
        self._say(context, "INFO", state.report)
        return {"FINISHED"}

    def _give_up(self, context: bpy.types.Context, error: RefitError | OSError) -> set[str]:
        if isinstance(error, Cancelled):
            state.report = str(error)
            self._say(context, "INFO", str(error))
        else:
            state.error = sentence(error)
            self._say(context, "ERROR", state.error)
        return {"CANCELLED"}

    def _say(self, context: bpy.types.Context, level: str, text: str) -> None:
        """Where the panel is seen, it says it; Blender's own messages would cover it."""
        if not (self.options.is_invoke and panel_is_seen(context)):
            self.report({level}, text)

    def _stop_timer(self, context: bpy.types.Context) -> None:
        assert self._timer is not None  # it is running
        context.window_manager.event_timer_remove(self._timer)

    def _clean_up(self) -> None:
        state.job = None
        if self._folder:
            self._folder.close()


@contextlib.contextmanager
def scene_of_job(context: bpy.types.Context, uid: int) -> Generator[None, None, None]:
    """Be in the scene in which a job was started, by its `session_uid`: the window may show another one by now."""
    if context.scene.session_uid == uid:
        yield
        return
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)
    if scene is None:
        raise SourceError("The scene was removed while the job ran.")
    # Operators look at what the window shows, whatever else the context is told.
    window = context.window
    shown, layer = window.scene, window.view_layer
    window.scene = scene
    try:
        yield
    finally:
        window.scene, window.view_layer = shown, layer


class REFIT_OT_cancel(bpy.types.Operator):
    """Stop the running job; the scene stays as it is. Of a folder, the clips that are finished are kept"""

    bl_idname = "refit.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.job is not None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state.job.cancel()
        return {"FINISHED"}


def redraw_sidebars(context: bpy.types.Context) -> None:
    """The sidebars only: drawing whole viewports over and over would slow down the user's own work."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "UI":
                    region.tag_redraw()
