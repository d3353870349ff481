# SPDX-License-Identifier: GPL-3.0-or-later
"""A job for a script: run to its end while Blender waits, in a folder of its own, with the wanted files kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bpy

from .engine_job import Job, JobFolder
from .errors import RefitError, sentence
from .progress import Progress
from .scene.ownership import check_own_scene


def run_job(
    make_job: Callable[[Path], Job],
    keep: str | Path | None,
    on_progress: Callable[[Progress], None] | None,
) -> Any:
    """Run a job in a folder of its own to its end and keep its files. Raises a RefitError."""
    check_own_scene(bpy.context.scene)
    kept = None if keep is None else _writable_folder(Path(keep))
    try:
        folder = JobFolder()
    except OSError as error:
        raise RefitError(sentence(error)) from error
    try:
        job = make_job(folder.path)
        job.wait(on_progress)
        finished = job.finish(bpy.context)
        if kept:
            _copy(finished.files(), kept)
        return finished
    except OSError as error:  # the disk is full, for example
        raise RefitError(sentence(error)) from error
    finally:
        folder.close()


def _writable_folder(folder: Path) -> Path:
    """A folder that is there, or is made, for files to be kept. Raises RefitError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RefitError(f"Nothing can be kept in the folder {folder}: {reason}.") from error


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    for name, path in files.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        except OSError as error:
            raise RefitError(f"The bodies are there, but {folder / name} is not: {error.strerror or error}.") from error
