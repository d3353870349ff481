# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine this Blender session uses, and the one process of it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bpy

from .errors import EngineMissing
from .install import folder
from .jobs import EngineInfo, EngineProcess, Limits, worker_command

PYTHON_VARIABLE = "REFIT_ENGINE_PYTHON"
WHEELS = Path(__file__).parent / "wheels-engine"

_process: EngineProcess | None = None
_limits = Limits()


@dataclass(frozen=True)
class EnginePython:
    """An interpreter and who chose it."""

    path: Path
    chosen_by: Literal["preferences", "environment variable", "installed"]


def user_folder(name: str) -> Path:
    """A folder of the add-on among the user's files, which updates of the add-on keep."""
    try:
        return Path(bpy.utils.extension_path_user(__package__ or "", path=name))
    except ValueError:  # not installed as an extension: a checkout
        return Path(bpy.utils.user_resource("DATAFILES", path="refit_blender")) / name


def managed_root() -> Path:
    """The folder of the engines that the add-on installs."""
    return user_folder("engine")


def kept_work_root() -> Path:
    """The folder in which the engine keeps what it has seen of videos, for jobs that are stopped."""
    return managed_root().with_name("kept-work")


def selected_python() -> EnginePython | None:
    """The engine's Python: preferences, else the environment variable, else what Install Engine made."""
    addon = bpy.context.preferences.addons.get(__package__ or "")
    if addon and addon.preferences.engine_python:
        return EnginePython(Path(bpy.path.abspath(addon.preferences.engine_python)), "preferences")
    if variable := os.environ.get(PYTHON_VARIABLE):
        return EnginePython(Path(variable), "environment variable")
    managed = folder.managed_python(managed_root())
    return EnginePython(managed, "installed") if managed else None


def tidy_managed_root() -> None:
    """Delete what interrupted installations left, without anybody waiting for it."""
    threading.Thread(target=folder.tidy, args=(managed_root(),), name="refit-tidy", daemon=True).start()


def resident() -> EngineProcess:
    """The running engine, started if need be; a fresh one where the last has failed. Raises EngineMissing."""
    global _process
    python = selected_python()
    if python is None:
        raise EngineMissing("No engine is installed: press Install Engine in the add-on's preferences.")
    command = worker_command(python.path)
    if _process:
        _process.pump()  # it may have died, or not have ended a cancelled job, while nobody looked
    if _process and (_process.command != command or not _process.alive):
        shutdown()
    if _process is None:
        _process = EngineProcess(command, _limits)
    return _process


def uses(process: EngineProcess) -> bool:
    """Whether this is the session's engine, and not one that was stopped or replaced."""
    return process is _process


def running() -> bool:
    """Whether there is an engine's process, ready or about to be."""
    return _process is not None and _process.alive


def running_info() -> EngineInfo | None:
    """What the running engine says of itself; None while there is none, or it has not said it yet."""
    return _process.info if _process and _process.failure is None else None


def shutdown() -> None:
    """End the engine's process, if there is one."""
    global _process
    if _process:
        process, _process = _process, None
        process.close()
