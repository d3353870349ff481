# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the engines that the add-on installs.

Each installation has a folder of its own, `env-*`; `current.json` names the one in use and is switched when a new one
is complete. Everything else there is left over from something that was interrupted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from pathlib import Path

from ..errors import InstallError
from .lock import install_lock

log = logging.getLogger(__name__)

CURRENT = "current.json"
ENVIRONMENT_PREFIX = "env-"
REMOVED_PREFIX = "removed-"


def environment_python(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def current_environment(root: Path) -> Path | None:
    """The environment in use, or None."""
    try:
        folder = root / str(json.loads((root / CURRENT).read_text())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder.parent == root and folder.is_dir() else None


def managed_python(root: Path) -> Path | None:
    """The interpreter of the installed engine, or None."""
    folder = current_environment(root)
    python = environment_python(folder) if folder else None
    return python if python and python.exists() else None


def switch_to(root: Path, folder: Path) -> None:
    """Make `folder` the environment in use and remove the others."""
    temporary = root / f"{CURRENT}.part"
    temporary.write_text(json.dumps({"folder": folder.name}))
    os.replace(temporary, root / CURRENT)
    remove_leftovers(root)


def remove_leftovers(root: Path) -> None:
    """Delete what interrupted installations left. The caller holds the lock."""
    current = current_environment(root)
    for prefix in (ENVIRONMENT_PREFIX, REMOVED_PREFIX):
        for path in root.glob(f"{prefix}*"):
            if path != current:
                log.info("Removing %s.", path)
                shutil.rmtree(path, ignore_errors=True)
    (root / f"{CURRENT}.part").unlink(missing_ok=True)


def remove_all(root: Path) -> None:
    """Delete the engine. The caller holds the lock. Raises InstallError where it is in use, and leaves it then."""
    if folder := current_environment(root):
        try:
            # Its whole content at once: a part of an engine is of no use to anybody.
            folder.rename(root / f"{REMOVED_PREFIX}{folder.name}")
        except OSError as error:
            raise InstallError(
                f"The engine cannot be removed ({error.strerror}): stop it in every open Blender, then try again."
            ) from error
    (root / CURRENT).unlink(missing_ok=True)
    remove_leftovers(root)


def tidy(root: Path) -> None:
    """Delete leftovers unless an installation is under way; nothing happens where there are none."""
    if root.is_dir() and _has_leftovers(root):
        with contextlib.suppress(InstallError, OSError), install_lock(root):
            remove_leftovers(root)


def _has_leftovers(root: Path) -> bool:
    current = current_environment(root)
    return any(path != current for prefix in (ENVIRONMENT_PREFIX, REMOVED_PREFIX) for path in root.glob(f"{prefix}*"))


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder; 0 where there is none."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size
