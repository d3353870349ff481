# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrations as trees of text, whichever of YAML, JSON and XML they are written in, and the numbers in them.

Scalars stay as they are written: a camera may well be called 01.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard
from xml.etree import ElementTree

from ..errors import CalibrationError
from .files import shown
from .yaml_tree import PYTHON_OBJECT, Value, parse_yaml

MAX_DEPTH = 20


def parse_tree(path: Path, text: str) -> dict[str, Value]:
    """The mapping that a file holds: XML, JSON, or else YAML. Raises CalibrationError, naming the line."""
    if text.lstrip()[:1] == "<":
        return _parse_xml(path, text)
    return _parse_json(path, text) if path.suffix.lower() == ".json" else parse_yaml(path, text)


def _parse_json(path: Path, text: str) -> dict[str, Value]:
    # OpenCV writes .Nan and -.Inf there, too.
    text = re.sub(r"(?<=[\s,:\[])[-+]?\.(Nan|Inf)\b", "NaN", text, flags=re.IGNORECASE)
    try:
        content = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        _check_depth(path, content)
    except json.JSONDecodeError as error:
        raise CalibrationError(f"{path.name}, line {error.lineno} is no proper JSON: {shown(error.msg)}.") from None
    except (ValueError, RecursionError):
        raise CalibrationError(f"{path.name} is nested too deeply.") from None
    # A list is what some programs write, one entry a camera.
    return content if isinstance(content, dict) else {"cameras": content}


def _check_depth(path: Path, value: object, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise CalibrationError(f"{path.name} is nested too deeply.")
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(path, item, depth + 1)


def _parse_xml(path: Path, text: str) -> dict[str, Value]:
    """OpenCV's XML: an element for each key, elements called _ for the items of lists, numbers parted by spaces."""
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise CalibrationError(f"{path.name} defines XML entities, which no calibration needs.")
    try:
        # Text that is decoded already must not say how it was encoded.
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1))
    except (ElementTree.ParseError, ValueError) as error:
        line = getattr(error, "position", (1, 0))[0]
        raise CalibrationError(f"{path.name}, line {line} is no proper XML: {shown(str(error))}.") from None
    value = _xml_value(path, root, 0)
    if not isinstance(value, dict):
        raise CalibrationError(f"{path.name} has no calibration in its XML.")
    return value


def _xml_value(path: Path, element: ElementTree.Element, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise CalibrationError(f"{path.name} is nested too deeply.")
    children = list(element)
    if children and all(child.tag == "_" for child in children):
        return [_xml_value(path, child, depth + 1) for child in children]
    if children:
        return {child.tag: _xml_value(path, child, depth + 1) for child in children}
    text = (element.text or "").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    words: list[Value] = [*text.split()]
    return words if len(words) > 1 and all(number(word) is not None for word in words) else text


def is_matrix(value: Value) -> TypeGuard[dict[str, Value]]:
    """Whether a mapping is one of OpenCV's matrices (or ROS', which look the same)."""
    return isinstance(value, dict) and "data" in value


def flat_numbers(value: Value, where: str) -> list[float]:
    """All numbers of a matrix, of nested lists or of one scalar. Raises CalibrationError beginning with `where`."""
    if is_matrix(value):
        flat = flat_numbers(value["data"], where)
        rows, columns = number(value.get("rows", "0")), number(value.get("cols", "0"))
        if rows and columns and rows * columns != len(flat):
            raise CalibrationError(f"{where} has {len(flat)} numbers, but {rows:g} rows and {columns:g} columns.")
        return flat
    return list(_scalars(value, where))


def _scalars(value: Value, where: str) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item, where)
        return
    found = number(value)
    if found is None:
        hint = " (it holds a Python object: save matrix.tolist())" if value == PYTHON_OBJECT else ""
        raise CalibrationError(f"{where} must hold numbers only{hint}.")
    yield found


def number(value: object) -> float | None:
    """The number that a scalar stands for, YAML's .nan and .inf included; None for all else."""
    if isinstance(value, str) and "_" not in value and len(value) < 100:
        try:
            return float(value)
        except ValueError:
            named = re.fullmatch(r"\s*[-+]?\.(nan|inf)\s*", value, re.IGNORECASE)
            return float(named[1]) if named else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def is_true(value: object) -> bool:
    """Whether a flag is set, however it is written."""
    return str(value).strip().lower() not in ("", "0", "0.", "0.0", "false", "no", "off", "none", "null", "~")
