# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the YAML that OpenCV's FileStorage writes, and nothing that could run code.

Block mappings and lists by indentation, flow lists and mappings over several lines, quoted strings, comments, and the
tag !!opencv-matrix. Scalars stay strings: a camera may well be called 01.
Source: OpenCV's page "File Input and Output using XML / YAML / JSON files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import CalibrationError

Value = str | list["Value"] | dict[str, "Value"]

_MAX_DEPTH = 20
_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s\[\]{}"'#:,-][^:\[\]{}]*?)\s*:(?:\s+|$)""")
_TAG = re.compile(r"!\S*\s*")
_TOKEN = re.compile(r"""\s*(?:([\[\]{},:])|"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s\[\]{},:"'][^\[\]{},:]*))""")


@dataclass(frozen=True)
class _Line:
    number: int
    indent: int
    text: str


def parse_yaml(path: Path, text: str) -> dict[str, Value]:
    """The mapping that the file holds. Raises CalibrationError with the number of the line that is not understood."""
    lines = _lines(path, text)
    if not lines:
        raise CalibrationError(f"{path.name} is empty.")
    reader = _Reader(path, lines)
    value = reader.block(lines[0].indent, 0)
    if reader.position < len(lines):
        raise reader.error("is indented in a way that fits nothing above")
    if not isinstance(value, dict):
        raise CalibrationError(f"{path.name} does not consist of “key: value” entries.")
    return value


def _lines(path: Path, text: str) -> list[_Line]:
    """Lines that say something; those of a flow list or mapping that is still open are joined to its first one."""
    lines: list[_Line] = []
    open_brackets = 0
    for number, raw in enumerate(text.splitlines(), 1):
        content = _without_comment(raw).rstrip()
        stripped = content.strip()
        if not stripped or (not lines and stripped.startswith("%")) or stripped in ("---", "..."):
            continue
        if "\t" in content[: len(content) - len(content.lstrip())] and not open_brackets:
            raise CalibrationError(f"{path.name}, line {number}: tabs cannot indent in YAML.")
        if open_brackets:
            first = lines[-1]
            lines[-1] = _Line(first.number, first.indent, f"{first.text} {stripped}")
        else:
            lines.append(_Line(number, len(content) - len(content.lstrip()), stripped))
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", stripped)
        open_brackets += sum(bare.count(bracket) for bracket in "[{") - sum(bare.count(bracket) for bracket in "]}")
    if open_brackets > 0:
        raise CalibrationError(f"{path.name}, line {lines[-1].number}: a bracket is never closed; is the file whole?")
    return lines


def _without_comment(line: str) -> str:
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index]
    return line


class _Reader:
    def __init__(self, path: Path, lines: list[_Line]) -> None:
        self.path = path
        self.lines = lines
        self.position = 0

    def error(self, what: str, line: _Line | None = None) -> CalibrationError:
        line = line or self.lines[min(self.position, len(self.lines) - 1)]
        return CalibrationError(f"{self.path.name}, line {line.number}: “{line.text[:40]}” {what}.")

    def block(self, indent: int, depth: int) -> Value:
        """The mapping or list whose entries start at this column."""
        if depth > _MAX_DEPTH:
            raise self.error("is nested too deeply")
        if self._here(indent).text.startswith("-"):
            return self._list(indent, depth)
        return self._mapping(indent, depth)

    def _here(self, indent: int) -> _Line | None:
        if self.position < len(self.lines) and self.lines[self.position].indent == indent:
            return self.lines[self.position]
        return None

    def _mapping(self, indent: int, depth: int) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        while line := self._here(indent):
            match = _KEY.match(line.text)
            if not match:
                raise self.error("is no “key: value” entry")
            entries[match[1].strip("\"'")] = self._value(line, line.text[match.end() :], indent, depth)
        return entries

    def _list(self, indent: int, depth: int) -> list[Value]:
        items: list[Value] = []
        while (line := self._here(indent)) and re.match(r"-(\s|$)", line.text):
            rest = line.text[1:].lstrip()
            if _KEY.match(rest):
                # A mapping whose first entry stands behind the dash: look at it as if the dash were a space.
                inner = indent + len(line.text) - len(rest)
                self.lines[self.position] = _Line(line.number, inner, rest)
                items.append(self.block(inner, depth + 1))
            else:
                items.append(self._value(line, rest, indent, depth))
        return items

    def _value(self, line: _Line, rest: str, indent: int, depth: int) -> Value:
        """What stands behind a key or a dash, or in the lines below it."""
        self.position += 1
        rest = _TAG.sub("", rest, count=1) if rest.startswith("!") else rest
        if rest:
            return self._flow(line, rest)
        below = self.lines[self.position] if self.position < len(self.lines) else None
        # OpenCV and YAML allow a list to stand at the column of its key.
        if below and (below.indent > indent or (below.indent == indent and below.text.startswith("- "))):
            return self.block(below.indent, depth + 1)
        return ""

    def _flow(self, line: _Line, text: str) -> Value:
        if text[0] not in "[{":
            return text.strip("\"'")
        tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if not match:
                raise self.error("is not understood", line)
            mark, double, single, plain = match.groups()
            word = next((part for part in (double, single, plain) if part is not None), "")
            tokens.append((mark or "", word.strip()))
            place = match.end()
        value, rest = self._flow_value(line, tokens, 0)
        if rest:
            raise self.error("goes on behind its last bracket", line)
        return value

    def _flow_value(self, line: _Line, tokens: list[tuple[str, str]], depth: int) -> tuple[Value, list]:
        if not tokens or depth > _MAX_DEPTH:
            raise self.error("is not understood", line)
        (mark, word), tokens = tokens[0], tokens[1:]
        if not mark:
            return word, tokens
        if mark not in "[{":
            raise self.error("is not understood", line)
        end, items, entries = {"[": "]", "{": "}"}[mark], [], {}
        while tokens and tokens[0][0] != end:
            value, tokens = self._flow_value(line, tokens, depth + 1)
            if mark == "{":
                if not isinstance(value, str) or not tokens or tokens[0][0] != ":":
                    raise self.error("is not understood", line)
                entries[value], tokens = self._flow_value(line, tokens[1:], depth + 1)
            else:
                items.append(value)
            if tokens and tokens[0][0] == ",":
                tokens = tokens[1:]
            elif tokens and tokens[0][0] != end:
                raise self.error("misses a comma", line)
        if not tokens:
            raise self.error("is not closed", line)
        return (entries if mark == "{" else items), tokens[1:]


def is_matrix(value: Value) -> bool:
    """Whether a mapping is one of OpenCV's matrices (or ROS', which look the same)."""
    return isinstance(value, dict) and "data" in value


def flat_numbers(value: Value, where: str) -> list[float]:
    """All numbers of a matrix, of nested lists or of one scalar. Raises CalibrationError beginning with `where`."""
    if is_matrix(value):
        flat = flat_numbers(value["data"], where)
        shape = flat_numbers([value.get("rows", "0"), value.get("cols", "0")], where)
        if all(shape) and shape[0] * shape[1] != len(flat):
            raise CalibrationError(f"{where} has {len(flat)} numbers, but {shape[0]:g} rows and {shape[1]:g} columns.")
        return flat
    if isinstance(value, list):
        return [number for item in value for number in flat_numbers(item, where)]
    try:
        if isinstance(value, str):
            return [float(value)]
    except ValueError:
        pass
    raise CalibrationError(f"{where} must hold numbers only.")
