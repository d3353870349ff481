# SPDX-License-Identifier: GPL-3.0-or-later
"""What documents promise: files and headings behind links, sources and commands that exist, and lines that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SHORTHAND = re.compile(r'^\s*([A-Z]+)="(python3? [^"]*)"$', re.MULTILINE)
# Each program with what tells which: the module of `python -m`, or nothing.
PROGRAM = re.compile(
    r"python3? -m (?P<module>[a-z_][\w.]*+)(?!…)|(?P<build>build\.py)|(?P<engine>refit-engine)|(?P<addon>--command refit)\b"
)
END = re.compile(r"[`|>;#\n]|$")
SOURCE = re.compile(r"`([\w./-]+\.py)`")
LONGEST_LINE, MOST_WORDS = 120, 40
"""Columns of a line, and words of a table's row."""


@dataclass(frozen=True)
class Command:
    """A command as a page prints it: the program, the words behind it, and where."""

    program: str
    words: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Program:
    """What a program understands: its options, and its subcommands with theirs."""

    options: frozenset[str] = frozenset()
    commands: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


def program(answer: Mapping[str, Any]) -> Program:
    """A program as parsers.py describes it."""
    commands = {name: frozenset(options) for name, options in answer["commands"].items()}
    return Program(frozenset(answer["options"]), commands)


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


def broken_links(page: Path) -> list[str]:
    """Findings for the relative links of a page whose file or heading is not there."""
    findings: list[str] = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists():
            findings.append(f"{page}: there is no {target}")
        elif anchor and anchor not in headings(path):
            findings.append(f"{page}: {path.name} has no heading #{anchor}")
    return findings


def unreadable_lines(page: Path) -> list[str]:
    """Findings for lines that are too wide, and for rows of tables that have too many words."""
    findings: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if len(line) > LONGEST_LINE:
            findings.append(f"{page}:{number}: has {len(line)} columns, more than {LONGEST_LINE}")
        words = re.findall(r"[^\s|]*\w[^\s|]*", line) if line.startswith("|") else []
        if len(words) > MOST_WORDS:
            findings.append(f"{page}:{number}: the row has {len(words)} words, more than {MOST_WORDS}")
    return findings


def missing_sources(page: Path, sources: Iterable[str]) -> list[str]:
    """Findings for Python files that a page names in `code` and that end none of the repository's paths."""
    known = [f"/{path}" for path in sources]
    named = SOURCE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return [f"{page}: there is no {name}" for name in named if not any(path.endswith(f"/{name}") for path in known)]


def printed_commands(page: Path) -> Iterator[Command]:
    """The commands of a page. A shell variable that holds the beginning of one (`T="python -m …"`) is put in."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for name, content in SHORTHAND.findall(text):
        text = re.sub(rf"\${name}\b", content, text)
    for found in PROGRAM.finditer(text):
        end = END.search(text, found.end())
        rest = text[found.end() : end.start() if end else None]
        line = text.count("\n", 0, found.start()) + 1
        words = tuple(re.sub(r'[\[\]()…",]+', " ", rest).split())
        yield Command(found["module"] or found[0], words, f"{page}:{line}")


def unknown_words(command: Command, program: Program) -> list[str]:
    """Findings for a subcommand or options that the program does not have."""
    findings: list[str] = []
    options = program.options
    if program.commands and command.words:
        name = command.words[0]
        if re.fullmatch(r"[a-z][a-z-]*", name) and name not in program.commands:
            findings.append(f"{command.where}: {command.program} has no command {name}")
        options = options | program.commands.get(name, frozenset())
    for word in command.words:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][\w-]*", option) and option not in options and "…" not in options:
            findings.append(f"{command.where}: {command.program} has no option {option}")
    return findings
