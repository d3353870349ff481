# SPDX-License-Identifier: GPL-3.0-or-later
"""One installation at a time, over all running Blenders.

The operating system holds the lock for the process that took it, so that it vanishes with a process that is killed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from ..errors import InstallError

NAME = "install.lock"


@contextlib.contextmanager
def install_lock(root: Path) -> Generator[None, None, None]:
    """Hold the lock of an existing folder. Raises InstallError while somebody else holds it."""
    path = root / NAME
    file = _take(path)
    try:
        yield
    finally:
        if os.name == "posix":
            path.unlink(missing_ok=True)  # while it is held: see _is_current
            file.close()
        else:
            file.close()
            with contextlib.suppress(OSError):  # Windows keeps a file that somebody else has opened meanwhile
                path.unlink()


def _take(path: Path) -> BinaryIO:
    while True:
        file = path.open("ab")
        try:
            _lock(file)
        except OSError:
            file.close()
            raise InstallError(
                "Another Blender is installing or removing the engine: wait until it has ended, then try again."
            ) from None
        if _is_current(file, path):
            return file
        file.close()


def _is_current(file: BinaryIO, path: Path) -> bool:
    """Whether the file still has its name: the one who held it before may have removed it in the meantime."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if os.name == "posix":
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

else:
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
