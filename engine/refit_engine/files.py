# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the engine writes: where caches belong, and arrays."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .images import write_atomically


def user_cache_folder() -> Path:
    """Where programs keep what can be made again, for this machine's user."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The content of an npz file."""
    buffer = io.BytesIO()
    named: Any = arrays  # NumPy's stub takes each name for that of an option, too
    np.savez(buffer, **named)
    return buffer.getvalue()


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file; it appears complete or not at all. Raises OSError."""
    write_atomically(path, npz_bytes(arrays))
