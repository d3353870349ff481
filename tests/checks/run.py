# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that `build.py check` does: each check gives findings, one line each, and no finding is the aim."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.checks import documents, imports

LONGEST_FILE = 400  # lines of a file of the product
# Programs that documents name, by the Python that can run them. The rest are modules of the engine's Python.
BLENDER_PROGRAMS = {"--command refit": "refit_blender.cli:_parser"}
ENGINE_PROGRAMS = {"refit-engine": "refit_engine.cli:main", "build.py": "build:main"}


@dataclass(frozen=True)
class Pythons:
    """The interpreters that checks need: of the tools, of the engine with its test tools, of a Blender."""

    tools: Path
    engine: Path
    blender: Path


def _output(command: Iterable[object], root: Path) -> list[str]:
    """What a checker prints where it has found something; nothing where all is well."""
    # pyright shall run with the node of its own environment, and ask no server for newer versions.
    quiet = {"PYRIGHT_PYTHON_GLOBAL_NODE": "0", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=root, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines() if done.returncode else []


def lint(root: Path, pythons: Pythons) -> list[str]:
    return _output([pythons.tools, "-m", "ruff", "check", "--quiet", "--output-format", "concise", "."], root)


def formatting(root: Path, pythons: Pythons) -> list[str]:
    return _output([pythons.tools, "-m", "ruff", "format", "--check", "--quiet", "."], root)


def types(root: Path, pythons: Pythons) -> list[str]:
    threads = ["--threads", min(os.cpu_count() or 1, 4)]
    lines = _output([pythons.tools, "-m", "pyright", *threads, "--pythonpath", pythons.tools, "--warnings"], root)
    # Some findings are explained over several lines; files' names are headings.
    return [line.strip() for line in lines if re.search(r":\d+:\d+ - ", line)] or lines


def lengths(root: Path, _: Pythons) -> list[str]:
    """Files of the product that are too long."""
    findings: list[str] = []
    for folder in ("engine/refit_engine", "refit_blender"):
        for path in sorted((root / folder).rglob("*.py")):
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > LONGEST_FILE:
                findings.append(f"{path.relative_to(root).as_posix()}: has {count} lines, more than {LONGEST_FILE}")
    return findings


def import_rules(root: Path, _: Pythons) -> list[str]:
    """Circles, and imports across the borders between add-on, engine and training."""
    findings = [
        f"import circle: {', '.join(group)}"
        for package in (root / "engine" / "refit_engine", root / "refit_blender")
        for group in imports.circles(imports.import_graph(package))
    ]
    findings += imports.forbidden(root / "engine" / "refit_engine", ["bpy", "refit_blender", "refit_training"])
    findings += imports.forbidden(root / "refit_blender", ["torch", "refit_engine", "refit_training"])
    return findings


def _programs(python: Path, root: Path, names: Iterable[str]) -> dict[str, dict[str, object]]:
    """What programs understand, asked from a Python that can import them."""
    places = [root, root / "engine"]
    command = [python, root / "tests" / "checks" / "parsers.py", *places, "--", *sorted(names)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [str(word) for word in command]
    told = subprocess.run(words, cwd=root, env=settings, capture_output=True, text=True, check=True).stdout
    return json.loads(told[told.rindex("\n{") + 1 :] if "\n{" in told else told)


def documented(root: Path, pythons: Pythons) -> list[str]:
    """Lines, links and named sources of all pages, and the commands that are printed there."""
    notices = sorted((root / "docs").rglob("NOTICE"))
    pages = [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md")), *notices]
    findings = [finding for page in pages for finding in documents.broken_links(page)]
    findings += [finding for page in pages for finding in documents.unreadable_lines(page)]
    folders = ("engine", "refit_blender", "tests")
    sources = [path.relative_to(root).as_posix() for name in folders for path in (root / name).rglob("*.py")]
    findings += [finding for page in pages for finding in documents.missing_sources(page, ["build.py", *sources])]
    commands = [command for page in pages for command in documents.printed_commands(page)]
    in_blender = {
        command.program: BLENDER_PROGRAMS.get(command.program, command.program)
        for command in commands
        if command.program in BLENDER_PROGRAMS or command.program.startswith("tests.")
    }
    in_engine = {
        command.program: ENGINE_PROGRAMS.get(command.program, command.program)
        for command in commands
        if command.program not in in_blender
    }
    for asked, python in ((in_blender, pythons.blender), (in_engine, pythons.engine)):
        told = _programs(python, root, asked.values())
        for command in (one for one in commands if one.program in asked):
            answer = told[asked[command.program]]
            if "error" in answer:
                findings.append(f"{command.where}: {command.program} does not start: {answer['error']}")
                continue
            findings += documents.unknown_words(command, documents.program(answer))
    return sorted(set(findings))


CHECKS: dict[str, Callable[[Path, Pythons], list[str]]] = {
    "types (pyright)": types,
    "lint (ruff)": lint,
    "format (ruff)": formatting,
    "lengths of files": lengths,
    "imports": import_rules,
    "documents": documented,
}


def run(root: Path, pythons: Pythons) -> int:
    """Run all checks, the slowest first and two at a time, print what they find, and return the number of findings."""
    total = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = {name: pool.submit(check, root, pythons) for name, check in CHECKS.items()}
        for name, answer in answers.items():
            findings = answer.result()
            total += len(findings)
            print(f"{name}: {'clean' if not findings else ''}", *findings, sep="\n    " if findings else "", flush=True)
    return total
