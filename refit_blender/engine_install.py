# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the engine into an environment of its own, beside Blender's Python and never into it.

Each installation goes into a new folder; `current.json` is switched to it when everything is there, and the old one
is removed then. Whatever interrupts it, the engine that worked before still does. This module does not import bpy.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import Cancelled, InstallError, RefitError
from .jobs import engine_environment
from .progress import Progress

log = logging.getLogger(__name__)

Accelerator = Literal["AUTO", "CPU", "CUDA"]

# The versions of Python that PyTorch has wheels for, newest first.
TORCH_PYTHONS = ((3, 13), (3, 12), (3, 11))
WANTED_PYTHON = "Python 3.11, 3.12 or 3.13"
PYTORCH_INDEX = "https://download.pytorch.org/whl"
CUDA_TAG = "cu128"
CURRENT = "current.json"
TAIL_LINES = 40
# Percent of the whole at which a step begins.
_FETCHING, _UNPACKING, _CHECKING = 8, 60, 95

# What pip fetches and what it leaves on the disk, in megabytes: the CPU build as measured on Linux, the CUDA build by
# the sizes of its packages.
_DOWNLOAD_MB = {"CPU": 320, "CUDA": 3200}
_DISK_MB = {"CPU": 1300, "CUDA": 7500}


@dataclass(frozen=True)
class Plan:
    """What an installation would do; made before anything is touched, so that it can be shown.

    python: interpreter that the environment is made from; root: the folder of installations; wheels: the folder of
    the extension's wheels; offline: install from there alone; index: PyTorch's own index, or None for PyPI.
    """

    python: Path
    root: Path
    wheels: Path
    offline: bool
    accelerator: Literal["CPU", "CUDA"]
    index: str | None
    download_mb: int
    disk_mb: int

    def summary(self) -> str:
        """One line for the preferences."""
        what = {"CPU": "CPU build", "CUDA": "CUDA build for NVIDIA GPUs"}[self.accelerator]
        if sys.platform == "darwin":
            what = "build with Metal"
        if self.offline:
            return f"{what} from the extension's own wheels, {_size(self.disk_mb)} on disk"
        where = f"PyPI and {self.index}" if self.index else "PyPI"
        return f"{what} from {where}, about {_size(self.download_mb)} to download, {_size(self.disk_mb)} on disk"


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def make_plan(root: Path, wheels: Path, accelerator: Accelerator, index_base: str, *, online: bool) -> Plan:
    """Decide how to install. Raises InstallError with what is in the way."""
    engine = sorted(wheels.glob("refit_engine-*.whl"))
    if not engine:
        raise InstallError(
            f"The extension holds no engine ({wheels} has no refit_engine wheel): install its zip again."
        )
    if sys.platform == "darwin" and os.uname().machine == "x86_64":
        raise InstallError("PyTorch has no wheels for Macs with Intel processors.")
    kind = "CUDA" if accelerator == "CUDA" or (accelerator == "AUTO" and has_nvidia_gpu()) else "CPU"
    torch = sorted(wheels.glob("torch-*.whl"))
    offline = bool(torch)
    if not offline and not online:
        raise InstallError(
            "Installing needs the network: switch Allow Online Access on in Preferences > System, "
            "or install the extension's zip that has all wheels."
        )
    supported = {_python_tag(wheel) for wheel in torch} if offline else set(TORCH_PYTHONS)
    python = find_base_python(supported)
    if python is None:
        versions = ", ".join(f"{major}.{minor}" for major, minor in sorted(supported))
        raise InstallError(
            f"PyTorch needs Python {versions}, and none was found (Blender's own is {sys.version_info[0]}."
            f"{sys.version_info[1]}): install one, or give the Python of an existing engine above."
        )
    index = None
    # PyPI has the CUDA build for Linux and the CPU build for Windows.
    if not offline and sys.platform == "linux" and kind == "CPU":
        index = f"{index_base.rstrip('/')}/cpu"
    elif not offline and sys.platform == "win32" and kind == "CUDA":
        index = f"{index_base.rstrip('/')}/{CUDA_TAG}"
    disk = _DISK_MB[kind]
    download = 0 if offline else _DOWNLOAD_MB[kind]
    free = shutil.disk_usage(_existing(root)).free / 1e6
    if free < disk + download:
        raise InstallError(f"The disk of {root} has {_size(int(free))} free and {_size(disk + download)} are needed.")
    return Plan(python, root, wheels, offline, kind, index, download, disk)


def _megabytes_in(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.path.getsize(os.path.join(parent, name))
    return size // 1_000_000


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _python_tag(wheel: Path) -> tuple[int, int]:
    found = re.search(r"-cp(\d)(\d+)-", wheel.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is installed."""
    return shutil.which("nvidia-smi") is not None


def find_base_python(supported: set[tuple[int, int]]) -> Path | None:
    """An interpreter of a supported version that can make environments: Blender's own, else one from the system."""
    if sys.version_info[:2] in supported:
        return Path(sys.executable)
    for major, minor in sorted(supported, reverse=True):
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return Path(found)
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found and _version_of(found) in supported:
            return Path(found)
    if sys.platform == "win32" and shutil.which("py"):
        for major, minor in sorted(supported, reverse=True):
            answer = _ask([f"-{major}.{minor}", "-c", "import sys; print(sys.executable)"], "py")
            if answer:
                return Path(answer)
    return None


def _version_of(python: str) -> tuple[int, int] | None:
    answer = _ask(["-c", "import sys; print(*sys.version_info[:2])"], python)
    numbers = answer.split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _ask(arguments: Sequence[str], python: str) -> str:
    try:
        done = subprocess.run([python, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def managed_python(root: Path) -> Path | None:
    """The interpreter of the installed engine, or None."""
    try:
        folder = root / str(json.loads((root / CURRENT).read_text())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    python = environment_python(folder)
    return python if python.exists() else None


def environment_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class InstallJob:
    """An installation under way, in a thread that only starts programs and reads what they print."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.error: RefitError | None = None
        self._step_now = Progress("install", 0, 100, "Preparing")
        self._downloads: Path | None = None
        self._cancelled = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._tail: list[str] = []
        self._thread = threading.Thread(target=self._work, name="refit-install", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def progress(self) -> Progress:
        """How far it is; while packages are fetched, by what has arrived."""
        step = self._step_now
        if self._downloads is None or not self.plan.download_mb or not _FETCHING <= step.done < _UNPACKING:
            return step
        arrived = _megabytes_in(self._downloads)
        share = min(arrived / self.plan.download_mb, 1.0) * (_UNPACKING - _FETCHING)
        message = (
            f"{step.message}: {_size(arrived)} of about {_size(self.plan.download_mb)}" if arrived else step.message
        )
        return Progress(step.stage, max(step.done, _FETCHING + int(share)), step.total, message)

    @property
    def last_line(self) -> str:
        return self._tail[-1] if self._tail else ""

    def wait(self) -> None:
        """Block until the end. Raises the RefitError with which it ended."""
        self._thread.join()
        if self.error:
            raise self.error

    def cancel(self) -> None:
        """Stop; nothing is left of what was done so far."""
        self._cancelled.set()
        process = self._process
        if process and process.poll() is None:
            _end_tree(process)

    # -- in the thread -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        folder = None
        try:
            self.plan.root.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="env-", dir=self.plan.root))
            self._install(folder)
            _switch(self.plan.root, folder)
        except RefitError as error:
            self.error = error
        except OSError as error:
            self.error = InstallError(f"The engine could not be installed: {error.strerror or error}.")
        except Exception as error:  # nobody else sees what a thread raises
            log.exception("Installing the engine failed.")
            self.error = InstallError(f"The engine could not be installed: {error}.")
        if self.error and folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _install(self, folder: Path) -> None:
        self._step(2, "Creating the environment")
        self._create_environment(folder)
        self._step(_FETCHING, "Collecting packages")
        # On the disk that has the room, and gone with the folder.
        self._downloads = folder / "downloads"
        self._downloads.mkdir()
        python = str(environment_python(folder))
        engine = sorted(self.plan.wheels.glob("refit_engine-*.whl"))[-1]
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command += ["--no-cache-dir", "--only-binary=:all:"]
        if self.plan.offline:
            command += ["--no-index", "--find-links", str(self.plan.wheels)]
        elif self.plan.index:
            # Torch alone from PyTorch's index, which also holds other versions of what PyPI has.
            self._run([*command, "--index-url", self.plan.index, "torch"], self._pip_hint)
        self._run([*command, str(engine)], self._pip_hint)
        shutil.rmtree(self._downloads)
        self._step(_CHECKING, "Checking the engine")
        self._run([python, "-c", "import refit_engine.worker, torch, cv2"], self._check_hint)

    def _create_environment(self, folder: Path) -> None:
        self._run([str(self.plan.python), "-m", "venv", str(folder)], self._venv_hint)

    def _step(self, done: int, message: str) -> None:
        self._step_now = Progress("install", max(done, self._step_now.done), 100, message)

    def _run(self, command: list[str], hint: Callable[[], str]) -> None:
        if self._cancelled.is_set():
            raise Cancelled("Cancelled.")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=self._environment(),
            cwd=tempfile.gettempdir(),
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        if self._cancelled.is_set():  # in the meantime, when there was nothing to end yet
            _end_tree(self._process)
        for line in self._lines(self._process):
            self._show(line)
        code = self._process.wait()
        if self._cancelled.is_set():
            raise Cancelled("Cancelled.")
        if code:
            raise InstallError(hint())

    def _environment(self) -> dict[str, str]:
        temporary = {name: str(self._downloads) for name in ("TMPDIR", "TEMP", "TMP")} if self._downloads else {}
        return {**engine_environment(os.environ), **temporary}

    def _lines(self, process: subprocess.Popen[str]) -> Iterator[str]:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                if line := line.strip():
                    log.debug("install: %s", line)
                    self._tail = [*self._tail[-TAIL_LINES:], line]
                    yield line

    def _show(self, line: str) -> None:
        if found := re.match(r"(?:Collecting|Downloading|Processing) (?:\S*/)?([A-Za-z0-9_.]+)", line):
            self._step(_FETCHING, f"Fetching {found[1]}")
        elif line.startswith("Installing collected packages"):
            self._step(_UNPACKING, "Unpacking (this takes a while)")

    def _venv_hint(self) -> str:
        if any("ensurepip" in line or "python3-venv" in line for line in self._tail):
            return (
                f"{self.plan.python} cannot make environments: install its venv package (python3-venv), then try again."
            )
        return f"No environment could be made with {self.plan.python}: {self.last_line}"

    def _pip_hint(self) -> str:
        text = "\n".join(self._tail)
        if "No space left" in text or "ENOSPC" in text:
            return "The disk is full."
        missing = re.search(r"No matching distribution found for (\S+)", text)
        if missing:
            version = _version_of(str(self.plan.python)) or (0, 0)
            return f"There is no {missing[1]} for Python {version[0]}.{version[1]} on this system: {WANTED_PYTHON} is needed."
        if re.search(r"ConnectionError|NewConnectionError|ReadTimeout|ProxyError|Temporary failure in name", text):
            return "The packages could not be downloaded: check the connection, then try again."
        errors = [line for line in self._tail if line.startswith("ERROR")]
        return f"The packages could not be installed: {(errors or [self.last_line])[-1][:300]}"

    def _check_hint(self) -> str:
        return f"The installed engine does not start: {self.last_line[:300]}"


def _switch(root: Path, folder: Path) -> None:
    """Make `folder` the current installation and remove the others."""
    temporary = root / f"{CURRENT}.part"
    temporary.write_text(json.dumps({"folder": folder.name}))
    os.replace(temporary, root / CURRENT)
    for old in root.glob("env-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def _end_tree(process: subprocess.Popen[str]) -> None:
    """End a program with its children."""
    if os.name == "posix":
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            log.debug("The program had already ended.")
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
