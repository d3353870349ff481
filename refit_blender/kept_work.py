# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine has seen of videos, kept so that a motion job that was stopped goes on where it was."""

from __future__ import annotations

import shutil
import time
from typing import Any

import bpy

from . import engine
from .install.folder import folder_bytes
from .install.plan import size_text

DEFAULT_GIGABYTES = 2.0
_SECONDS_A_SIZE_HOLDS = 5.0
_measured: tuple[float, int] | None = None


def limit_gigabytes() -> float:
    """How much may be kept, by the preferences."""
    addon = bpy.context.preferences.addons.get(__package__ or "")
    return float(addon.preferences.kept_work_limit) if addon and addon.preferences else DEFAULT_GIGABYTES


def kept_work_parameters() -> dict[str, Any]:
    """What a call of the engine says of it."""
    return {"cache_folder": str(engine.kept_work_root()), "cache_megabytes": round(1000 * limit_gigabytes())}


def size() -> str:
    """How much is kept, for people; measured anew every few seconds, since panels ask at each drawing."""
    global _measured
    now = time.monotonic()
    if _measured is None or now - _measured[0] > _SECONDS_A_SIZE_HOLDS:
        _measured = now, folder_bytes(engine.kept_work_root())
    return size_text(_measured[1] / 1e6)


def clear() -> None:
    """Delete what is kept."""
    global _measured
    shutil.rmtree(engine.kept_work_root(), ignore_errors=True)
    _measured = None
