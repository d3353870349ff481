# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which engine, and how to get one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from . import engine, kept_work, session
from .errors import InstallError
from .install import plan as install_plans
from .install.interpreters import find_interpreter

if TYPE_CHECKING:
    from bpy._typing.rna_enums import IconItems  # in the stubs alone

GUIDE = Path(__file__).parent / "README.md"
"""The guide that the extension's zip brings; a checkout has it elsewhere."""


def install_plan(preferences: RefitPreferences) -> install_plans.Plan:
    """What Install Engine would do now. Raises InstallError with what is in the way."""
    return install_plans.make_plan(
        engine.managed_root(),
        engine.WHEELS,
        preferences.accelerator,
        preferences.torch_index,
        online=bpy.app.online_access,
    )


def forget_what_was_said() -> None:
    """Drop sentences about the engine, and what was found out about interpreters: something has changed."""
    find_interpreter.cache_clear()
    session.state.error = session.state.install_error = ""


def _changed(_self, _context) -> None:
    forget_what_was_said()


class RefitPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__ or ""

    engine_python: StringProperty(
        name="Engine's Python",
        description="Python of an environment that holds refit_engine. Empty: the engine installed below",
        subtype="FILE_PATH",
        update=_changed,
    )
    accelerator: EnumProperty(
        name="Build",
        description="Which build of PyTorch Install Engine takes",
        items=(
            ("AUTO", "Automatic", "CUDA where NVIDIA's driver is installed, else CPU"),
            ("CPU", "CPU", "Runs everywhere; the smallest download"),
            ("CUDA", "CUDA", "For NVIDIA GPUs; a download of several gigabytes"),
        ),
        update=_changed,
    )
    torch_index: StringProperty(
        name="PyTorch Index",
        description="Where the builds of PyTorch come from that PyPI does not have",
        default=install_plans.PYTORCH_INDEX,
        update=_changed,
    )

    next_press: EnumProperty(
        name="Next Press",
        description="What another press does with bodies that the same picture, footage or cameras gave before",
        items=(
            (
                "UPDATE",
                "Update",
                "The same bodies are posed anew and keyed at the current frame; they keep their shape",
            ),
            ("NEW", "New", "New bodies are made"),
        ),
    )
    look_through: BoolProperty(
        name="Look Through the Camera Afterwards",
        description="Show a new photo's body over the photo, in the viewport in which the button was pressed",
        default=True,
    )
    pack_photo: BoolProperty(
        name="Pack Photo",
        description="Keep the photo behind a new camera inside the blend file",
        default=False,
    )

    kept_work_limit: FloatProperty(
        name="Kept Work",
        description="Gigabytes of what motion jobs have seen of their videos that are kept, so that a job that was stopped "
        "goes on where it was. What was used least recently goes first; 0 keeps nothing",
        default=kept_work.DEFAULT_GIGABYTES,
        min=0.0,
        soft_max=50.0,
        precision=1,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        self._draw_engine(layout.box(), context)
        column = layout.column(heading="Reconstruct")
        column.prop(self, "look_through")
        column.prop(self, "pack_photo")
        column.prop(self, "next_press")
        row = layout.column(heading="Motion").row(align=True)
        row.prop(self, "kept_work_limit")
        row.operator("refit.clear_kept_work", text=f"Clear {kept_work.size()}", icon="TRASH")
        column = layout.column()
        column.prop(self, "engine_python")
        column.prop(self, "accelerator", expand=False)
        column.prop(self, "torch_index")
        if GUIDE.exists():
            layout.operator("wm.path_open", text="Open the Guide", icon="HELP").filepath = str(GUIDE)

    def _draw_engine(self, layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
        """What a new user needs first: whether there is an engine, and the buttons that get one."""
        there = draw_engine_status(layout)
        if there:
            python = engine.selected_python()
            layout.label(text=f"Python ({python.chosen_by}): {python.path}")
            row = layout.row()
            row.operator("refit.start_engine", icon="PLAY")
            row.operator("refit.stop_engine", icon="SNAP_FACE")
        if session.state.install:
            draw_install(layout)
        else:
            self._draw_plan(layout, context, obstacle_icon="INFO" if there else "ERROR")

    def _draw_plan(self, layout: bpy.types.UILayout, context: bpy.types.Context, *, obstacle_icon: IconItems) -> None:
        """What Install Engine would do, and how the last time ended."""
        try:
            summary = install_plan(self).summary()
        except InstallError as error:
            draw_text(layout, str(error), icon=obstacle_icon)
        else:
            draw_text(layout, f"Will install: {summary}", icon="INFO")
        if _blocked_offline() and not bpy.app.online_access_override:
            layout.prop(context.preferences.system, "use_online_access")
        row = layout.row()
        row.operator("refit.install_engine", icon="IMPORT")
        row.operator("refit.remove_engine", icon="TRASH")
        if session.state.install_error:
            draw_text(layout, session.state.install_error, icon="ERROR")


def preferences_of(context: bpy.types.Context) -> RefitPreferences:
    return cast(RefitPreferences, context.preferences.addons[__package__ or ""].preferences)


def draw_engine_status(layout: bpy.types.UILayout) -> bool:
    """Say which engine is in use, on which device, or what is missing; True when there is one."""
    python = engine.selected_python()
    if python is None:
        layout.label(text="No engine installed", icon="ERROR")
        return False
    if not python.path.exists():
        draw_text(layout, f"The engine's Python is missing: {python.path} ({python.chosen_by})", icon="ERROR")
        return False
    info = engine.running_info()
    if info:
        device = info.device_name or info.device
        layout.label(text=f"Engine {info.engine_version} on {device}", icon="CHECKMARK")
    elif engine.running():
        layout.label(text="Engine starting", icon="SORTTIME")
    else:
        layout.label(text="Engine installed, not running", icon="CHECKMARK")
    return True


def draw_install(layout: bpy.types.UILayout) -> None:
    """How far the installation is, or what it asks."""
    job = session.state.install
    if job.question:
        draw_text(layout, f"{job.question}.", icon="QUESTION")
        column = layout.column(align=True)
        column.operator("refit.confirm_install", icon="IMPORT")
        column.operator("refit.cancel_install", icon="X")
        return
    layout.progress(factor=job.progress.fraction, text=job.progress.message)
    if job.cancellable:
        layout.operator("refit.cancel_install", icon="X")


def draw_network_hint(layout: bpy.types.UILayout) -> None:
    """How to let the engine be installed where Blender may not use the network."""
    if _blocked_offline():
        draw_text(layout, f"To install it, {install_plans.ONLINE_HINT}.", icon="INFO")


def _blocked_offline() -> bool:
    return not bpy.app.online_access and install_plans.needs_network(engine.WHEELS)


def draw_text(layout: bpy.types.UILayout, text: str, icon: IconItems = "NONE", width: int = 0) -> None:
    """A sentence over several lines; `width` in characters, by default what the region holds."""
    if not width:
        region = bpy.context.region
        scale = bpy.context.preferences.system.ui_scale
        width = max(20, int(region.width / (7.5 * scale)) - 6) if region else 80
    column = layout.column(align=True)
    line = ""
    lines = []
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    for index, part in enumerate([*lines, line]):
        column.label(text=part, icon=icon if index == 0 else "NONE" if icon == "NONE" else "BLANK1")
