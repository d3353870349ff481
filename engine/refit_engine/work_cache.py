# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished parts of long jobs on this machine: a folder for each job, by a hash of all that its result depends on.

The folder is limited in size: the jobs that were used least recently go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from . import __version__
from .files import user_cache_folder

LIMIT_BYTES = 2_000_000_000
"""Of all jobs' folders together."""
FOLDER_VARIABLE = "REFIT_ENGINE_CACHE"
_ENDS = 1 << 20


def default_folder() -> Path:
    """Where this machine's user keeps what can be made again."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    return user_cache_folder() / "refit-engine"


class WorkCache:
    """Jobs' folders in a folder. limit_bytes: of all of them; None for none."""

    def __init__(self, folder: Path, limit_bytes: int | None = LIMIT_BYTES) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    def entry(self, key: str) -> Path:
        """The folder of a job, which counts as used now; others make room for it. Raises OSError."""
        entry = self.folder / key
        entry.mkdir(parents=True, exist_ok=True)
        os.utime(entry)
        self._make_room(entry)
        return entry

    def size_bytes(self) -> int:
        return sum(_size(entry) for entry in self._entries())

    def clear(self) -> None:
        """Forget all jobs; those whose files are in use stay."""
        for entry in self._entries():
            shutil.rmtree(entry, ignore_errors=True)

    def _make_room(self, present: Path) -> None:
        if self.limit_bytes is None:
            return
        entries = sorted(self._entries(), key=lambda entry: -_used(entry))
        total = _size(present)
        for entry in entries:
            if entry == present:
                continue
            total += _size(entry)
            if total > self.limit_bytes:
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> list[Path]:
        try:
            return [entry for entry in self.folder.iterdir() if _is_key(entry.name) and entry.is_dir()]
        except OSError:
            return []


def key_of(description: Mapping[str, Any]) -> str:
    """The name of a job's folder, from plain values that say all that its result depends on beside this engine's code."""
    told = {"engine": __version__, "code": _code(), **description}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def identity(path: Path) -> list[Any]:
    """What tells a file's content from another, wherever it lies: its size, and a hash of both its ends. Raises OSError."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        digest.update(stream.read(_ENDS))
        stream.seek(max(size - _ENDS, 0))
        digest.update(stream.read(_ENDS))
    return [size, digest.hexdigest()]


def quick_identity(path: Path) -> list[Any]:
    """The same for one of many files, which is not read: its name, size and last change. Raises OSError."""
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


@cache
def _code() -> str:
    """A hash of the engine's modules: another state of the code is another engine."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_key(name: str) -> bool:
    return len(name) == 64 and not set(name) - set("0123456789abcdef")


def _used(entry: Path) -> float:
    with contextlib.suppress(OSError):
        return entry.stat().st_mtime
    return 0.0


def _size(entry: Path) -> int:
    total = 0
    for path in entry.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
