# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of pytest in several interpreters, and their sum."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple
from xml.etree import ElementTree

NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Suite:
    """One run of pytest in one interpreter; its results are in `report` (JUnit's XML)."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]
    report: Path

    @property
    def output(self) -> Path:
        """What it prints, where other suites run beside it."""
        return self.report.with_suffix(".txt")

    def run(self, folder: Path, output: IO[bytes] | None = None) -> int:
        """Run it and return the exit code. output: takes what it prints; None: it is seen at once."""
        settings = {**os.environ, **self.settings}
        errors = None if output is None else subprocess.STDOUT
        return subprocess.run(
            self.command, cwd=folder, env=settings, stdout=output, stderr=errors, check=False
        ).returncode


class Ended(NamedTuple):
    """A suite that has run."""

    suite: Suite
    exit_code: int
    seconds: float


def run_all(suites: Sequence[Suite], folder: Path, at_once: int) -> Iterator[Ended]:
    """Run suites, some at once, in their order, and give each as it ends; what it printed is in its `output`, if others run too."""

    def run(suite: Suite) -> Ended:
        start = time.monotonic()
        if len(suites) == 1:
            code = suite.run(folder)
        else:
            with suite.output.open("wb") as output:
                code = suite.run(folder, output)
        return Ended(suite, code, time.monotonic() - start)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for future in as_completed([pool.submit(run, suite) for suite in suites]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # else, those that wait would be run after an interruption


def pytest_command(python: Path | str, folders: Sequence[Path], report: Path, keyword: str | None) -> list[str]:
    command = [str(python), "-m", "pytest", *map(str, folders), f"--junitxml={report}"]
    return [*command, "-k", keyword] if keyword else command


@dataclass
class Tally:
    """The sum over suites; remarks say what the numbers do not."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    remarks: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def skip(self, what: str) -> None:
        """Count a whole suite that cannot run here."""
        self.skipped += 1
        self.remarks.append(f"skipped: {what}")

    def add(self, suite: Suite, exit_code: int) -> None:
        """Count a suite; one that died without a report counts as one failure, so does one that died after it."""
        if not suite.report.exists():
            self.failed += 1
            self.remarks.append(f"{suite.name}: ended with exit code {exit_code} and no report")
            return
        found = ElementTree.parse(suite.report).getroot().find("testsuite")
        assert found is not None  # JUnit's format
        counts = found.attrib
        bad = int(counts["failures"]) + int(counts["errors"])
        skipped = int(counts["skipped"])
        self.failed += bad
        self.skipped += skipped
        self.passed += int(counts["tests"]) - bad - skipped
        if exit_code not in (0, NOTHING_COLLECTED) and not bad:
            self.failed += 1
            self.remarks.append(f"{suite.name}: its tests passed, then it ended with exit code {exit_code}")
