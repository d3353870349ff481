# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which engine, and how to get one."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from . import engine, engine_install, session
from .errors import InstallError

_plan_cache: dict[tuple[str, str, bool], engine_install.Plan | InstallError] = {}


def install_plan(preferences: RefitPreferences) -> engine_install.Plan:
    """What Install Engine would do now. Raises InstallError with what is in the way."""
    return engine_install.make_plan(
        engine.managed_root(),
        engine.WHEELS,
        preferences.accelerator,
        preferences.torch_index,
        online=bpy.app.online_access,
    )


def _forget_plans(_self, _context) -> None:
    _plan_cache.clear()


class RefitPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    engine_python: StringProperty(
        name="Engine's Python",
        description="Python of an environment that holds refit_engine. Empty: the engine installed below",
        subtype="FILE_PATH",
    )
    accelerator: EnumProperty(
        name="Build",
        description="Which build of PyTorch Install Engine takes",
        items=(
            ("AUTO", "Automatic", "CUDA where NVIDIA's driver is installed, else CPU"),
            ("CPU", "CPU", "Runs everywhere; the smallest download"),
            ("CUDA", "CUDA", "For NVIDIA GPUs; a download of several gigabytes"),
        ),
        update=_forget_plans,
    )
    torch_index: StringProperty(
        name="PyTorch Index",
        description="Where the builds of PyTorch come from that PyPI does not have",
        default=engine_install.PYTORCH_INDEX,
        update=_forget_plans,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        draw_engine_status(layout.box())
        layout.prop(self, "engine_python")
        column = layout.column()
        column.prop(self, "accelerator", expand=False)
        column.prop(self, "torch_index")
        self._draw_install(layout)

    def _draw_install(self, layout: bpy.types.UILayout) -> None:
        job = session.state.install
        if job:
            layout.progress(factor=job.progress.fraction, text=job.progress.message)
            layout.operator("refit.cancel_install", icon="X")
            return
        try:
            summary = self._cached_plan().summary()
        except InstallError as error:
            draw_text(layout, str(error), icon="ERROR")
        else:
            draw_text(layout, f"Will install: {summary}", icon="INFO")
        row = layout.row()
        row.operator("refit.install_engine", icon="IMPORT")
        if session.state.install_error:
            draw_text(layout, session.state.install_error, icon="ERROR")

    def _cached_plan(self) -> engine_install.Plan:
        """Making a plan looks for interpreters, which is too slow for each redraw."""
        key = (self.accelerator, self.torch_index, bpy.app.online_access)
        if key not in _plan_cache:
            try:
                _plan_cache[key] = install_plan(self)
            except InstallError as error:
                _plan_cache[key] = error
        plan = _plan_cache[key]
        if isinstance(plan, InstallError):
            raise plan
        return plan


def preferences_of(context: bpy.types.Context) -> RefitPreferences:
    return context.preferences.addons[__package__].preferences


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
        layout.label(text="Engine installed, not started yet", icon="CHECKMARK")
    layout.label(text=f"Python ({python.chosen_by}): {python.path}")
    return True


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "NONE", width: int = 0) -> None:
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
