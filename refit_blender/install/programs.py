# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that an installation runs: their lines are read as they come, and they end with Blender."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Program:
    """A program under `supervisor.py`. Raises OSError where it cannot be started."""

    def __init__(self, python: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(python), "-I", "-S", "-B", str(SUPERVISOR), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            # Not the user's folder: Python would find modules there.
            cwd=tempfile.gettempdir(),
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def lines(self) -> Iterator[str]:
        """What it prints, without empty lines; ends when the program and its children have ended."""
        assert self._process.stdout
        with self._process.stdout:
            for line in self._process.stdout:
                if line := line.strip():
                    yield line

    def wait(self) -> int:
        """The exit code, when all lines are read."""
        code = self._process.wait()
        self.end()
        return code

    def end(self) -> None:
        """End it with its children, at once; from any thread."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
