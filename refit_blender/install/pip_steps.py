# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that an environment's pip makes: ask what there is, fetch it, install it."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .download import Download, pinned, pinned_wheels, read_download
from .folder import environment_python
from .pip_failures import failure_sentence
from .plan import TORCH_PYTHONS, Plan, versions_text

log = logging.getLogger(__name__)

SIZES_SCRIPT = Path(__file__).with_name("pip_sizes.py")
OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar=off")
# Where a question loads a file of this many megabytes, the server tells nothing about the package but the whole file.
BIG_FILE_MB = 20.0

OnLine = Callable[[str], None]
# Runs a program; the sentence for a failure is made of what it printed.
Run = Callable[[Sequence[str], Callable[[str], str], OnLine], None]


class BigFile(Exception):
    """The question itself loads a big file: the index does not say what its packages need."""


class Pip:
    """pip of a new environment, for one installation. Every step raises InstallError or Cancelled."""

    def __init__(self, plan: Plan, folder: Path, run: Run) -> None:
        self._plan = plan
        self._python = str(environment_python(folder))
        self._run = run
        self.scratch = folder / "pip"
        self._log = self.scratch / "pip.log"
        self.wheels = self.scratch / "wheels"
        self.wheels.mkdir(parents=True)

    def ask_sizes(self, on_line: OnLine) -> Download | None:
        """What would be fetched, with the user's settings of pip; None where that cannot be found out."""
        try:
            return read_download(self._chosen_files(on_line))
        except BigFile:
            log.info("The package index does not tell what packages need.")
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("pip did not answer: %s", error)
        return None

    def fetch(self, on_line: OnLine) -> None:
        """Load the wheels of everything that the engine needs."""
        # Torch alone from PyTorch's own index, which also holds other versions of what PyPI has.
        command = ["download", "--only-binary=:all:", "--dest", str(self.wheels)]
        if self._plan.index:
            self._pip([*command, "--index-url", self._plan.index, "torch"], on_line)
        constraints = self._constraints(pinned_wheels(self.wheels.glob("*.whl")))
        here = ["--find-links", str(self.wheels)]
        self._pip([*command, *here, "--constraint", str(constraints), str(self._plan.engine_wheel)], on_line)

    def install(self, on_line: OnLine) -> None:
        """Install the engine from the wheels, and remove them."""
        source = self._plan.wheels if self._plan.offline else self.wheels
        command = ["install", "--only-binary=:all:", "--no-index", "--find-links", str(source)]
        self._pip([*command, str(self._plan.engine_wheel)], on_line)
        shutil.rmtree(self.scratch)

    def _chosen_files(self, on_line: OnLine) -> list[dict[str, Any]]:
        """All files that would be fetched, from `pip_sizes.py`. Raises BigFile, OSError, ValueError."""
        index: list[str] = []
        if self._plan.index:
            torch = self._ask(["--index-url", self._plan.index, "torch"], on_line)
            constraints = self._constraints(pinned(torch))
            index = ["--extra-index-url", self._plan.index, "--constraint", str(constraints)]
        return self._ask([*index, str(self._plan.engine_wheel)], on_line)

    def _ask(self, arguments: Sequence[str], on_line: OnLine) -> list[dict[str, Any]]:
        def watch(line: str) -> None:
            on_line(line)
            found = re.match(r"Downloading \S+\.whl \(([\d.]+) ([MG])B\)", line)
            if found and float(found[1]) * (1000 if found[2] == "G" else 1) > BIG_FILE_MB:
                raise BigFile

        answer = self.scratch / "sizes.json"
        answer.unlink(missing_ok=True)
        self._call([str(SIZES_SCRIPT), str(answer), "--only-binary=:all:", *arguments], watch)
        return json.loads(answer.read_text(encoding="utf-8"))

    def _constraints(self, requirements: Sequence[str]) -> Path:
        path = self.scratch / "constraints.txt"
        path.write_text("\n".join(requirements), encoding="utf-8")
        return path

    def _pip(self, arguments: Sequence[str], on_line: OnLine) -> None:
        self._call(["-m", "pip", *arguments], on_line)

    def _call(self, arguments: Sequence[str], on_line: OnLine) -> None:
        self._log.unlink(missing_ok=True)
        self._run([self._python, *arguments, *OPTIONS, "--log", str(self._log)], self._explain, on_line)

    def _explain(self, printed: str) -> str:
        try:
            logged = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            logged = ""
        return failure_sentence(printed, logged, self._plan.python.version_text, versions_text(set(TORCH_PYTHONS)))
