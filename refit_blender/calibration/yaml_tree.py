# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as OpenCV, ROS, Kalibr and Python write it, read event by event with ruamel.yaml: no object is made of any tag.

What a file may cost is bounded: by its length, the number of its entries, and how deeply they are nested, which counts
what aliases stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CalibrationError
from .files import shown

Value = str | list["Value"] | dict[str, "Value"]

PYTHON_OBJECT = "<Python object>"
"""Stands for what PyYAML writes of numpy's numbers and arrays."""

_MAX_CHARACTERS = 1_000_000
_MAX_ENTRIES = 50_000
_MAX_DEPTH = 20
# OpenCV's sample writes the corners of all boards, a megabyte; no matrix of a camera has so many numbers.
_LONG_LIST = re.compile(r"\[[-+.,\d\seE]{4000,}\]")


def parse_yaml(path: Path, text: str) -> dict[str, Value]:
    """The mapping that the file holds, those of several documents as one.

    Raises CalibrationError with the number of the line that is not understood.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise CalibrationError(
            "YAML files cannot be read, since the package ruamel.yaml is missing: install the extension again."
        ) from None
    # OpenCV's first line, %YAML:1.0, is no proper directive.
    text = re.sub(r"\A\s*%YAML[^\n]*", "", text)
    text = _LONG_LIST.sub(lambda found: "[" + "\n" * found[0].count("\n") + "]", text)
    if len(text) > _MAX_CHARACTERS:
        raise CalibrationError(f"{path.name} is too large for a calibration file.")
    builder = _Builder(path)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path.name}, line {mark.line + 1}" if mark else path.name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be understood"
        raise CalibrationError(f"{where} is no proper YAML: {shown(problem, 100)}.") from None
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError):
        # What the library raises for some damaged files.
        raise CalibrationError(f"{path.name} is no proper YAML.") from None
    return builder.mapping()


@dataclass
class _Node:
    """A list or mapping that is still open. entries, depth: of all below it, aliases followed; python: an object's."""

    value: list[Value] | dict[str, Value]
    anchor: str | None
    python: bool
    key: str | None = None
    entries: int = 1
    depth: int = 1


@dataclass
class _Builder:
    """Makes the tree of one file."""

    path: Path
    open: list[_Node] = field(default_factory=list)
    anchors: dict[str, tuple[Value, int, int]] = field(default_factory=dict)
    documents: list[Value] = field(default_factory=list)
    entries: int = 0

    def take(self, event: Any) -> None:
        """The next of the parser's events."""
        match type(event).__name__:
            case "DocumentStartEvent":
                self.anchors.clear()
            case "ScalarEvent":
                self._add(event, PYTHON_OBJECT if _is_python(event) else event.value, event.anchor)
            case "AliasEvent":
                if event.anchor not in self.anchors:
                    raise self._error(event, f"“*{shown(event.anchor)}” stands for nothing that was named before")
                value, entries, depth = self.anchors[event.anchor]
                self._add(event, value, None, entries, depth)
            case "SequenceStartEvent" | "MappingStartEvent":
                if len(self.open) >= _MAX_DEPTH:
                    raise self._error(event, "it is nested too deeply")
                value = [] if type(event).__name__ == "SequenceStartEvent" else {}
                self.open.append(_Node(value, event.anchor, _is_python(event)))
            case "SequenceEndEvent" | "MappingEndEvent":
                node = self.open.pop()
                self._add(event, PYTHON_OBJECT if node.python else node.value, node.anchor, node.entries, node.depth)
            case _:  # beginnings and ends that say nothing
                pass

    def mapping(self) -> dict[str, Value]:
        """What the file says."""
        documents = [document for document in self.documents if document not in ("", "null", "~")]
        if not documents:
            raise CalibrationError(f"{self.path.name} is empty.")
        merged: dict[str, Value] = {}
        for document in documents:
            if not isinstance(document, dict):
                raise CalibrationError(f"{self.path.name} does not consist of “key: value” entries.")
            merged |= document
        return merged

    def _add(self, event: Any, value: Value, anchor: str | None, entries: int = 1, depth: int = 0) -> None:
        """A finished value goes where it belongs."""
        if anchor is not None:
            self.anchors[anchor] = value, entries, depth
        self.entries += 1
        if not self.open:
            self.documents.append(value)
            return
        node = self.open[-1]
        node.entries += entries
        node.depth = max(node.depth, depth + 1)
        if max(self.entries, node.entries) > _MAX_ENTRIES:
            raise self._error(event, f"it has more than {_MAX_ENTRIES} entries")
        if node.depth > _MAX_DEPTH:
            raise self._error(event, "it is nested too deeply")
        if isinstance(node.value, list):
            node.value.append(value)
        elif node.key is None:
            if not isinstance(value, str):
                raise self._error(event, "a list or mapping cannot be a key")
            node.key = value
        else:
            if node.key == "<<" and isinstance(value, dict):
                node.value |= {key: item for key, item in value.items() if key not in node.value}
            else:
                node.value[node.key] = value
            node.key = None

    def _error(self, event: Any, problem: str) -> CalibrationError:
        return CalibrationError(f"{self.path.name}, line {event.start_mark.line + 1}: {problem}.")


def _is_python(event: Any) -> bool:
    return "python/object" in str(event.tag or "")
