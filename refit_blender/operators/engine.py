# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing and starting the engine."""

from __future__ import annotations

import bpy

from .. import engine, engine_install
from ..errors import Cancelled, RefitError
from ..preferences import install_plan, preferences_of
from ..session import state

POLL_SECONDS = 0.2


class REFIT_OT_install_engine(bpy.types.Operator):
    """Install the engine into a Python environment of its own; Blender's Python stays as it is"""

    bl_idname = "refit.install_engine"
    bl_label = "Install Engine"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.install or state.job:
            cls.poll_message_set("Wait until the running job has ended")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            self._plan = install_plan(preferences_of(context))
        except RefitError as error:
            return self._give_up(error)
        manager = context.window_manager
        return manager.invoke_props_dialog(self, width=480, title="Install Engine", confirm_text="Install")

    def draw(self, _context: bpy.types.Context) -> None:
        from ..preferences import draw_text

        draw_text(self.layout, f"{self._plan.summary()}.", width=70)
        draw_text(self.layout, f"Into {self._plan.root}, with {self._plan.python}.", width=70)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._start(context)
        except RefitError as error:
            return self._give_up(error)
        if bpy.app.background:
            return self._block()
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        _redraw(context)
        if not state.install.ended:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end()

    def cancel(self, context: bpy.types.Context) -> None:
        if state.install:
            state.install.cancel()
            context.window_manager.event_timer_remove(self._timer)
            state.install = None

    def _start(self, context: bpy.types.Context) -> None:
        state.install_error = ""
        plan = install_plan(preferences_of(context))
        # A running engine keeps the files of the old installation open.
        engine.shutdown()
        state.install = engine_install.InstallJob(plan)

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
        self.report({"INFO"}, "The engine is installed")
        return {"FINISHED"}

    def _give_up(self, error: RefitError) -> set[str]:
        state.install_error = str(error)
        self.report({"INFO"} if isinstance(error, Cancelled) else {"ERROR"}, str(error))
        return {"CANCELLED"}


class REFIT_OT_cancel_install(bpy.types.Operator):
    """Stop the installation; nothing is left of it, and an engine that was there before stays"""

    bl_idname = "refit.cancel_install"
    bl_label = "Cancel Installation"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.install is not None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state.install.cancel()
        return {"FINISHED"}


class REFIT_OT_start_engine(bpy.types.Operator):
    """Start the engine now, so that the first reconstruction need not wait for it, and show its device"""

    bl_idname = "refit.start_engine"
    bl_label = "Start Engine"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return state.install is None and not engine.running()

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
        if self._process.failure:
            state.error = str(self._process.failure)
            self.report({"ERROR"}, state.error)
            return {"CANCELLED"}
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)


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
