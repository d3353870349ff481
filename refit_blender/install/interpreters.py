# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a Python that the engine's environment can be made from."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Programs started from the macOS desktop do not have these on their PATH.
MORE_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin")
PROBE = """
import importlib.util, sys, sysconfig
usual = sys.implementation.name == "cpython" and sys.maxsize > 2**32 and not sysconfig.get_config_var("Py_GIL_DISABLED")
venv = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
print(*sys.version_info[:2], int(usual), int(venv))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python of the usual kind: CPython of 64 bits with its global lock, for which packages have wheels.

    makes_environments: False where a system keeps venv in a package of its own, which is not installed.
    """

    path: Path
    version: tuple[int, int]
    makes_environments: bool

    @property
    def version_text(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def probe(program: str | Path) -> Interpreter | None:
    """What an interpreter says of itself; None where it does not run or is of an unusual kind."""
    answer = _ask([str(program), "-I", "-c", PROBE]).split()
    if len(answer) != 4 or answer[2] != "1":
        return None
    return Interpreter(Path(program), (int(answer[0]), int(answer[1])), answer[3] == "1")


@functools.cache
def find_interpreter(supported: frozenset[tuple[int, int]]) -> Interpreter | None:
    """The best interpreter of a supported version: Blender's own, else the newest of the system.

    One that can make environments is taken first. The answer is kept until `find_interpreter.cache_clear()`.
    """
    found = None
    for program in _candidates(supported):
        interpreter = probe(program)
        if interpreter and interpreter.version in supported:
            if interpreter.makes_environments:
                return interpreter
            found = found or interpreter
    return found


def _candidates(supported: frozenset[tuple[int, int]]) -> Iterator[str]:
    if sys.version_info[:2] in supported:
        yield sys.executable
    newest_first = sorted(supported, reverse=True)
    for name in [f"python{major}.{minor}" for major, minor in newest_first] + ["python3", "python"]:
        for folders in (None, *MORE_FOLDERS):
            if program := shutil.which(name, path=folders):
                yield program
    if sys.platform == "win32" and shutil.which("py"):
        for major, minor in newest_first:
            if program := _ask(["py", f"-{major}.{minor}", "-c", "import sys; print(sys.executable)"]):
                yield program


def _ask(command: Sequence[str]) -> str:
    """What a program prints; empty where it fails."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, creationflags=flags)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
