# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of pytest in several interpreters, and their sum."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Suite:
    """One run of pytest in one interpreter; its results are in `report` (JUnit's XML)."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]
    report: Path

    def run(self, folder: Path) -> int:
        """Run it, visibly, and return the exit code."""
        return subprocess.run(self.command, cwd=folder, env={**os.environ, **self.settings}, check=False).returncode


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
