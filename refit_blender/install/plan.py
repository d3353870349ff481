# SPDX-License-Identifier: GPL-3.0-or-later
"""What an installation would do, decided before anything is touched."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InstallError
from .interpreters import Interpreter, find_interpreter

Accelerator = Literal["AUTO", "CPU", "CUDA"]

# The versions of Python for which PyTorch and all other packages of the engine have wheels.
TORCH_PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
PYTORCH_INDEX = "https://download.pytorch.org/whl"
CUDA_TAG = "cu128"
ONLINE_HINT = "switch on Allow Online Access in Preferences > System > Network"

# What pip fetches and what it leaves on the disk, in megabytes, where pip has not been asked yet. CPU: Linux, measured
# (du of an environment). CUDA: Linux, by the sizes of the files that pip names (`pip install --dry-run --report`).
_DOWNLOAD_MB = {"CPU": 355, "CUDA": 3135}
_DISK_MB = {"CPU": 1455, "CUDA": 7105}


@dataclass(frozen=True)
class Plan:
    """What an installation would do, so that it can be shown.

    python: interpreter that the environment is made from; root: the folder of installations; wheels: the folder of
    the extension's wheels; offline: install from there alone; index: PyTorch's own index, or None for PyPI.
    """

    python: Interpreter
    root: Path
    wheels: Path
    offline: bool
    accelerator: Literal["CPU", "CUDA"]
    index: str | None
    download_mb: int
    disk_mb: int

    @property
    def engine_wheel(self) -> Path:
        return _engine_wheels(self.wheels)[-1]

    def summary(self) -> str:
        """One line for the preferences."""
        what = {"CPU": "CPU build", "CUDA": "CUDA build for NVIDIA GPUs"}[self.accelerator]
        if sys.platform == "darwin":
            what = "build with Metal"
        if self.offline:
            return f"{what} from the extension's own wheels, {size_text(self.disk_mb)} on disk"
        where = f"PyPI and {self.index}" if self.index else "PyPI"
        return (
            f"{what} from {where}, about {size_text(self.download_mb)} to download, {size_text(self.disk_mb)} on disk"
        )

    def check_space(self, needed_mb: int) -> None:
        """Raises InstallError where the disk has less room than that."""
        free = shutil.disk_usage(_existing(self.root)).free / 1e6
        if free < needed_mb:
            raise InstallError(
                f"The disk of {self.root} has {size_text(int(free))} free and {size_text(needed_mb)} are needed: "
                "free some space, then try again."
            )


def size_text(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def needs_network(wheels: Path) -> bool:
    """Whether the extension came without the packages that the engine needs."""
    return not _torch_wheels(wheels)


def make_plan(root: Path, wheels: Path, accelerator: Accelerator, index_base: str, *, online: bool) -> Plan:
    """Decide how to install. Raises InstallError with what is in the way."""
    if not _engine_wheels(wheels):
        raise InstallError(
            f"The extension holds no engine ({wheels} has no refit_engine wheel): install its zip again."
        )
    if sys.platform == "darwin" and os.uname().machine == "x86_64":
        raise InstallError("PyTorch has no wheels for Macs with Intel processors.")
    kind = "CUDA" if accelerator == "CUDA" or (accelerator == "AUTO" and has_nvidia_gpu()) else "CPU"
    offline = not needs_network(wheels)
    if not offline and not online:
        raise InstallError(f"Installing needs the network: {ONLINE_HINT}, or install the extension's zip with wheels.")
    supported = {_python_tag(wheel) for wheel in _torch_wheels(wheels)} if offline else set(TORCH_PYTHONS)
    python = _choose_python(supported)
    index = None
    # PyPI has the CUDA build for Linux and the CPU build for Windows.
    if not offline and sys.platform == "linux" and kind == "CPU":
        index = f"{index_base.rstrip('/')}/cpu"
    elif not offline and sys.platform == "win32" and kind == "CUDA":
        index = f"{index_base.rstrip('/')}/{CUDA_TAG}"
    download = 0 if offline else _DOWNLOAD_MB[kind]
    plan = Plan(python, root, wheels, offline, kind, index, download, _DISK_MB[kind])
    plan.check_space(plan.download_mb + plan.disk_mb)
    return plan


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is installed."""
    return shutil.which("nvidia-smi") is not None


def versions_text(versions: set[tuple[int, int]]) -> str:
    """Such as "3.11, 3.12 or 3.13"."""
    *others, last = (f"{major}.{minor}" for major, minor in sorted(versions))
    return f"{', '.join(others)} or {last}" if others else last


def _choose_python(supported: set[tuple[int, int]]) -> Interpreter:
    python = find_interpreter(frozenset(supported))
    if python is None:
        raise InstallError(
            f"The engine needs Python {versions_text(supported)}, and none was found (Blender's own is "
            f"{sys.version_info[0]}.{sys.version_info[1]}): install one, or give an existing engine's Python above."
        )
    if not python.makes_environments:
        package = f"python{python.version_text}-venv"
        raise InstallError(
            f"{python.path} cannot make environments: install its venv package (apt install {package}), then try again."
        )
    return python


def _engine_wheels(wheels: Path) -> list[Path]:
    return sorted(wheels.glob("refit_engine-*.whl"))


def _torch_wheels(wheels: Path) -> list[Path]:
    return sorted(wheels.glob("torch-*.whl"))


def _python_tag(wheel: Path) -> tuple[int, int]:
    found = re.search(r"-cp(\d)(\d+)-", wheel.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
