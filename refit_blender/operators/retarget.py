# SPDX-License-Identifier: GPL-3.0-or-later
"""Retarget: a body's pose or motion onto another armature; and its bone map: found, saved, loaded."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Literal

import bpy
from bpy.props import StringProperty

from ..errors import RefitError, SourceError, sentence
from ..retarget.maps import read_preset, write_preset
from ..retargeting import Retargeted, Steps, preset_folder, retarget_steps, run
from ..scene import body as bodies
from ..session import forget_texts, state
from .job import redraw_sidebars
from .own_scene import OwnSceneOperator
from .viewports import panel_is_seen

SLICE_SECONDS = 0.2
"""How long the window waits while the work goes on."""


class REFIT_OT_retarget(bpy.types.Operator):
    """Bake the body's pose or motion onto the target, into a new action"""

    bl_idname = "refit.retarget"
    bl_label = "Retarget"
    bl_options = {"REGISTER", "UNDO"}

    _timer: bpy.types.Timer | None = None
    _steps: Steps | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.job or state.retargeted is not None:
            cls.poll_message_set("Another job is running")
            return False
        if context.mode not in {"OBJECT", "POSE"}:
            cls.poll_message_set("Leave this mode first")
            return False
        if bodies.rig_of(context.active_object) is None or context.scene.refit_retarget.target is None:
            cls.poll_message_set("Select a reconstructed body and choose a target")
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if context.window is None or bpy.app.background:
            return self.execute(context)
        self._steps, state.retargeted = self._start(context), 0.0
        manager = context.window_manager
        self._timer = manager.event_timer_add(0.01, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self._say_done(context, run(self._start(context)))
        except RefitError as error:
            return self._give_up(context, sentence(error))

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._stop(context)
            state.report = "Cancelled: nothing was changed."
            return {"CANCELLED"}
        # Nothing else reaches the window: the scene goes from frame to frame, and must stay what it is.
        return self._go_on(context) if event.type == "TIMER" else {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: the window closes, or another file is loaded."""
        self._stop(context)

    def _start(self, context: bpy.types.Context) -> Steps:
        forget_texts()
        settings, body = context.scene.refit_retarget, bodies.rig_of(context.active_object)
        assert body is not None  # poll has seen to it
        return retarget_steps(
            context,
            body,
            settings.target,
            settings.bones(),
            settings.options(),
            pose_only=settings.what == "POSE",
        )

    def _go_on(self, context: bpy.types.Context) -> set[str]:
        assert self._steps is not None  # it is running
        until = time.monotonic() + SLICE_SECONDS
        try:
            while time.monotonic() < until:
                state.retargeted = next(self._steps)
        except StopIteration as end:
            self._stop(context)
            return self._say_done(context, end.value)
        except RefitError as error:
            self._stop(context)
            return self._give_up(context, sentence(error))
        except BaseException:
            self._stop(context)
            raise
        redraw_sidebars(context)
        return {"RUNNING_MODAL"}

    def _stop(self, context: bpy.types.Context) -> None:
        if self._steps is not None:
            self._steps.close()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
        self._steps = self._timer = state.retargeted = None
        redraw_sidebars(context)

    def _say_done(self, context: bpy.types.Context, done: Retargeted) -> set[str]:
        state.report = done.summary()
        self._say(context, "INFO", state.report)
        return {"FINISHED"}

    def _give_up(self, context: bpy.types.Context, text: str) -> set[str]:
        state.error = text
        self._say(context, "ERROR", text)
        return {"CANCELLED"}

    def _say(self, context: bpy.types.Context, level: Literal["INFO", "ERROR"], text: str) -> None:
        """Where the panel is seen, it says it; Blender's own messages would cover it."""
        if not (self.options.is_invoke and panel_is_seen(context)):
            self.report({level}, text)


class _BoneMapOperator(OwnSceneOperator):
    """An operator that needs a target."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and context.scene.refit_retarget.target is not None


class REFIT_OT_find_bones(_BoneMapOperator, bpy.types.Operator):
    """Find the target's bones again, by their names or by how they hang together"""

    bl_idname = "refit.find_bones"
    bl_label = "Find Bones"

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.refit_retarget
        settings.find()
        if not settings.kind:
            self.report(
                {"WARNING"}, f"No body is recognized in “{settings.target.name}”: choose its bones in the list."
            )
        return {"FINISHED"}


class _BoneMapFile(_BoneMapOperator):
    """An operator on a preset file, which is chosen in the file browser."""

    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        name = bpy.path.clean_name(context.scene.refit_retarget.target.name)
        folder = preset_folder()
        with contextlib.suppress(OSError):  # the file browser begins somewhere else then
            folder.mkdir(parents=True, exist_ok=True)
        self.filepath = str(folder / f"{name}.json")
        assert isinstance(self, bpy.types.Operator)  # what this class is mixed into
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.use(context, Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".json")))
        except (RefitError, OSError) as error:
            self.report({"ERROR"}, sentence(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def use(self, context: bpy.types.Context, path: Path) -> None:
        raise NotImplementedError


class REFIT_OT_save_bone_map(_BoneMapFile, bpy.types.Operator):
    """Keep the list of bones as a preset for other files and other armatures of this kind"""

    bl_idname = "refit.save_bone_map"
    bl_label = "Save Bone Map"
    bl_options = {"REGISTER"}

    def use(self, context: bpy.types.Context, path: Path) -> None:
        write_preset(path, context.scene.refit_retarget.bones())


class REFIT_OT_load_bone_map(_BoneMapFile, bpy.types.Operator):
    """Take the list of bones from a preset"""

    bl_idname = "refit.load_bone_map"
    bl_label = "Load Bone Map"

    def use(self, context: bpy.types.Context, path: Path) -> None:
        settings, bones = context.scene.refit_retarget, read_preset(path)
        known = {role: bone for role, bone in bones.items() if bone in settings.target.data.bones}
        if bones and not known:
            raise SourceError(f"“{settings.target.name}” has none of the bones of {path.name}.")
        settings.set_bones(known)
        settings.kind = path.stem
        if len(known) < len(bones):
            self.report({"WARNING"}, f"“{settings.target.name}” lacks {len(bones) - len(known)} bones of {path.name}.")
