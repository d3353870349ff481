# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing or removing the engine, in a thread that only starts programs and reads what they print.

The engine that worked before an installation still does when that is interrupted, whatever interrupts it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from ..errors import Cancelled, InstallError, RefitError
from ..jobs import engine_environment
from ..progress import Progress
from .download import Download, unpacked_bytes
from .folder import ENVIRONMENT_PREFIX, environment_python, remove_all, remove_leftovers, switch_to
from .lock import install_lock
from .meter import FolderMeter
from .pip_failures import environment_failure, system_failure
from .pip_steps import OnLine, Pip
from .plan import Plan, size_text
from .programs import Program

log = logging.getLogger(__name__)

TAIL_LINES = 60
# Percent of the whole at which a step begins.
_CREATING, _ASKING, _FETCHING, _UNPACKING, _CHECKING = 2, 8, 12, 60, 95


class FolderJob:
    """Work on the folder of installations, in a thread and under its lock.

    question: what the user has to agree to before it goes on, by `confirm`; empty while there is nothing to ask.
    """

    cancellable = False
    question = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.error: RefitError | None = None
        self._step_now = Progress("install", 0, 100, "Preparing")
        self._thread = threading.Thread(target=self._work, name="refit-install", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def progress(self) -> Progress:
        return self._step_now

    def wait(self) -> None:
        """Block until the end. Raises the RefitError with which it ended."""
        self._thread.join()
        if self.error:
            raise self.error

    def confirm(self) -> None:
        """Answer the question with yes."""

    def cancel(self) -> None:
        """Stop, where it can be stopped; nothing is left of what was done so far."""

    def _do(self) -> None:
        raise NotImplementedError

    def _work(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with install_lock(self.root):
                remove_leftovers(self.root)
                self._do()
        except RefitError as error:
            self.error = error
        except OSError as error:
            self.error = InstallError(system_failure(error))
        except Exception as error:  # nobody else sees what a thread raises
            log.exception("Installing or removing the engine failed.")
            self.error = InstallError(f"Something unexpected happened: {error}.")
        with contextlib.suppress(OSError):
            self.root.rmdir()  # where nothing is in it


class RemoveJob(FolderJob):
    """Deletes the installed engine. The engine's process must have ended."""

    def _do(self) -> None:
        self._step_now = Progress("install", 50, 100, "Removing the engine")
        remove_all(self.root)


class InstallJob(FolderJob):
    """An installation under way.

    ask: wait for `confirm` when the size of the download is known.
    """

    cancellable = True

    def __init__(self, plan: Plan, *, ask: bool = False) -> None:
        self.plan = plan
        self._ask = ask
        self._answered = threading.Event()
        self._cancelled = threading.Event()
        self._program: Program | None = None
        self._scratch: Path | None = None
        self._meter: FolderMeter | None = None
        self._end_of_step = 0
        self._expected_mb = 0.0
        super().__init__(plan.root)

    @property
    def progress(self) -> Progress:
        """How far it is; while packages are fetched or unpacked, by what has arrived."""
        step, meter = self._step_now, self._meter
        if meter is None or not self._expected_mb:
            return step
        arrived = min(meter.gained_mb, self._expected_mb)
        share = arrived / self._expected_mb
        message = f"{step.message}: {size_text(arrived)} of {size_text(self._expected_mb)} ({100 * share:.0f} %)"
        return Progress(step.stage, step.done + int(share * (self._end_of_step - step.done)), step.total, message)

    def confirm(self) -> None:
        self._answered.set()

    def cancel(self) -> None:
        self._cancelled.set()
        self._answered.set()
        if program := self._program:
            program.end()

    # -- in the thread -----------------------------------------------------------------------------------------

    def _do(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix=ENVIRONMENT_PREFIX, dir=self.root))
        try:
            self._install(folder)
            switch_to(self.root, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _install(self, folder: Path) -> None:
        self._step(_CREATING, "Creating the environment")
        self._create_environment(folder)
        pip = Pip(self.plan, folder, self._run)
        # On the disk that has the room, and gone with the folder.
        self._scratch = pip.scratch
        if not self.plan.offline:
            self._step(_ASKING, "Asking for the size of the download")
            download = pip.ask_sizes(self._show)
            self._agree(download)
            expected_mb = download.total_mb if download else self.plan.download_mb
            self._step(_FETCHING, "Fetching packages")
            with self._metered(pip.scratch, expected_mb, _UNPACKING):
                pip.fetch(self._show)
        self._step(_UNPACKING, "Unpacking")
        wheels = self.plan.wheels if self.plan.offline else pip.wheels
        with self._metered(folder, unpacked_bytes(wheels.glob("*.whl")) / 1e6, _CHECKING):
            pip.install(lambda _line: None)
        self._scratch = None
        self._step(_CHECKING, "Checking the engine")
        check = [str(environment_python(folder)), "-c", "import refit_engine.worker, torch, cv2"]
        self._run(check, lambda printed: f"The installed engine does not start: {printed.splitlines()[-1][:300]}")

    def _create_environment(self, folder: Path) -> None:
        python = str(self.plan.python.path)
        self._run([python, "-m", "venv", str(folder)], lambda printed: environment_failure(printed, python))

    def _agree(self, download: Download | None) -> None:
        """Check the room on the disk, and wait for the user where there is something to load."""
        if download:
            self.plan.check_space(int(download.total_mb + download.disk_mb))
        if not self._ask or (download and not download.network_mb):
            return
        self.question = download.summary() if download else self.plan.summary()
        self._answered.wait()
        self.question = ""
        if self._cancelled.is_set():
            raise Cancelled("Cancelled.")

    def _step(self, done: int, message: str) -> None:
        self._step_now = Progress("install", done, 100, message)

    def _show(self, line: str) -> None:
        """What pip does, from a line that it printed."""
        if found := re.match(r"(?:Collecting|Downloading|Processing) (?:\S*/)?([A-Za-z0-9_.]+)", line):
            self._step(self._step_now.done, f"Fetching {found[1]}" if self._meter else f"Asking about {found[1]}")
        elif line.startswith("WARNING: Retrying"):
            self._step(self._step_now.done, "No answer yet, trying again")

    @contextlib.contextmanager
    def _metered(self, folder: Path, expected_mb: float, end_of_step: int) -> Generator[None, None, None]:
        """Let the bar follow what arrives in a folder, from the present step to the next one."""
        self._expected_mb, self._end_of_step = expected_mb, end_of_step
        self._meter = FolderMeter(folder)
        try:
            yield
        finally:
            self._meter.close()
            self._meter = None

    def _run(self, command: Sequence[str], explain: Callable[[str], str], on_line: OnLine = log.debug) -> None:
        """Run a program to its end. Raises Cancelled, or InstallError with `explain` of its last lines."""
        self._program = program = Program(self.plan.python.path, command, self._environment())
        if self._cancelled.is_set():  # meanwhile, when there was nothing to end yet
            program.end()
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        try:
            for line in program.lines():
                tail.append(line)
                on_line(line)
        except BaseException:
            program.end()
            program.wait()
            raise
        code = program.wait()
        if self._cancelled.is_set():
            raise Cancelled("Cancelled.")
        if code:
            raise InstallError(explain("\n".join(tail) or f"exit code {code}"))

    def _environment(self) -> dict[str, str]:
        scratch = self._scratch
        temporary = {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")} if scratch else {}
        # An environment has no place for packages of one user alone, which pip's settings may ask for.
        return {**engine_environment(os.environ), "PIP_USER": "0", **temporary}
