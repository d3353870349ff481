# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing and removing, starting and stopping the engine."""

from __future__ import annotations

import bpy

from .. import engine, kept_work
from ..errors import Cancelled, RefitError
from ..install.folder import current_environment, folder_bytes
from ..install.job import FolderJob, InstallJob, RemoveJob
from ..install.plan import size_text
from ..preferences import forget_what_was_said, install_plan, preferences_of
from ..session import state

POLL_SECONDS = 0.2


class FolderJobOperator:
    """An operator that installs or removes: beside the window's work, or blocking where there is none."""

    done = ""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.install or state.job:
            cls.poll_message_set("Wait until the running job has ended")
            return False
        return True

    def make_job(self, context: bpy.types.Context, *, ask: bool) -> FolderJob:
        """Start the job. Raises a RefitError with what is in the way."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        beside = self.options.is_invoke and context.window and not bpy.app.background
        forget_what_was_said()
        try:
            # A running engine keeps files of the installation open.
            engine.shutdown()
            state.install = self.make_job(context, ask=bool(beside))
        except RefitError as error:
            return self._give_up(error)
        if not beside:
            return self._block()
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        assert isinstance(self, bpy.types.Operator)  # what this class is mixed into
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        _redraw(context)
        if state.install and not state.install.ended:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end() if state.install else {"CANCELLED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: another file is loaded, or the window closes."""
        if state.install:
            state.install.cancel()
            context.window_manager.event_timer_remove(self._timer)
            state.install = None

    def _block(self) -> set[str]:
        try:
            state.install.wait()
        except RefitError:
            return self._end()
        except BaseException:
            state.install.cancel()
            state.install = None
            raise
        return self._end()

    def _end(self) -> set[str]:
        job, state.install = state.install, None
        if job.error:
            return self._give_up(job.error)
        forget_what_was_said()
        self.report({"INFO"}, self.done)
        return {"FINISHED"}

    def _give_up(self, error: RefitError) -> set[str]:
        if isinstance(error, Cancelled):
            self.report({"INFO"}, str(error))
        else:
            state.install_error = str(error)
            self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class REFIT_OT_install_engine(FolderJobOperator, bpy.types.Operator):
    """Install the engine into a Python environment of its own; Blender's Python stays as it is.
    The size of the download is shown first"""

    bl_idname = "refit.install_engine"
    bl_label = "Install Engine"
    done = "The engine is installed"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return self.execute(context)

    def make_job(self, context: bpy.types.Context, *, ask: bool) -> FolderJob:
        return InstallJob(install_plan(preferences_of(context)), ask=ask)


class REFIT_OT_clear_kept_work(bpy.types.Operator):
    """Delete what motion jobs have seen of their videos. Motions that are in scenes stay"""

    bl_idname = "refit.clear_kept_work"
    bl_label = "Clear Kept Work"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.job:
            cls.poll_message_set("Wait until the running job has ended")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        kept_work.clear()
        return {"FINISHED"}


class REFIT_OT_confirm_install(bpy.types.Operator):
    """Load the packages and install them"""

    bl_idname = "refit.confirm_install"
    bl_label = "Download and Install"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.install is not None and bool(state.install.question)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state.install.confirm()
        return {"FINISHED"}


class REFIT_OT_cancel_install(bpy.types.Operator):
    """Stop the installation; nothing is left of it, and an engine that was there before stays"""

    bl_idname = "refit.cancel_install"
    bl_label = "Cancel Installation"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.install is not None and state.install.cancellable

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state.install.cancel()
        return {"FINISHED"}


class REFIT_OT_remove_engine(FolderJobOperator, bpy.types.Operator):
    """Stop the engine and delete what Install Engine has installed; the scene, the add-on and its settings stay"""

    bl_idname = "refit.remove_engine"
    bl_label = "Remove Engine"
    done = "The engine is removed"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if current_environment(engine.managed_root()) is None:
            cls.poll_message_set("Install Engine has installed nothing")
            return False
        return super().poll(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        root = engine.managed_root()
        answer = context.window_manager.invoke_confirm(
            self,
            event,
            title="Remove the engine?",
            message=f"This frees {size_text(folder_bytes(root) / 1e6)} in {root}",
            confirm_text="Remove",
        )
        return set(answer)

    def make_job(self, _context: bpy.types.Context, *, ask: bool) -> FolderJob:
        return RemoveJob(engine.managed_root())


class REFIT_OT_start_engine(bpy.types.Operator):
    """Start the engine now, so that the first reconstruction need not wait for it, and show its device"""

    bl_idname = "refit.start_engine"
    bl_label = "Start Engine"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.install or engine.selected_python() is None:
            cls.poll_message_set("No engine is installed")
            return False
        return not engine.running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        state.error = ""
        try:
            process = engine.resident()
            if bpy.app.background:
                process.wait_ready()
                return {"FINISHED"}
        except RefitError as error:
            state.error = str(error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._process = process
        self._timer = context.window_manager.event_timer_add(POLL_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        self._process.pump()
        if self._process.info is None and self._process.failure is None:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        _redraw(context)
        if not engine.uses(self._process):  # the user has stopped it in the meantime
            return {"CANCELLED"}
        if self._process.failure:
            state.error = str(self._process.failure)
            self.report({"ERROR"}, state.error)
            return {"CANCELLED"}
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)


class REFIT_OT_stop_engine(bpy.types.Operator):
    """Stop the engine and free its memory; the next reconstruction starts it again"""

    bl_idname = "refit.stop_engine"
    bl_label = "Stop Engine"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.job:
            cls.poll_message_set("Cancel the running job first")
            return False
        return engine.running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        engine.shutdown()
        _redraw(context)
        return {"FINISHED"}


class REFIT_OT_show_preferences(bpy.types.Operator):
    """Open the add-on's preferences, where the engine is installed"""

    bl_idname = "refit.show_preferences"
    bl_label = "Set Up Engine"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=__package__.rpartition(".")[0])
        return {"FINISHED"}


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"PREFERENCES", "VIEW_3D"}:
                area.tag_redraw()
