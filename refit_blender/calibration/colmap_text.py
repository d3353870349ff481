# SPDX-License-Identifier: GPL-3.0-or-later
"""COLMAP's cameras.txt and images.txt, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import CalibrationError
from .colmap_models import MAX_RECORDS, ImageRecord, LensRecord
from .files import shown, text_lines
from .tree import number

_LONGEST_CAMERA = 2000  # characters


def text_cameras(path: Path) -> Iterator[LensRecord]:
    """CAMERA_ID MODEL WIDTH HEIGHT PARAMS... Raises CalibrationError, naming the line."""
    count = 0
    for where, line in _lines(path):
        if not line:
            continue
        words = line.split() if len(line) < _LONGEST_CAMERA else []
        if len(words) < 5:
            raise CalibrationError(f"{where}: a camera is CAMERA_ID MODEL WIDTH HEIGHT PARAMS.")
        size = _whole(where, words[2]), _whole(where, words[3])
        values = tuple(_number(where, word) for word in words[4:])
        count += 1
        if count > MAX_RECORDS:
            raise CalibrationError(f"{path.name} has more than {MAX_RECORDS} cameras.")
        yield LensRecord(where, _whole(where, words[0]), words[1], size, values)


def text_images(path: Path) -> Iterator[ImageRecord]:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and a line of points, which may be empty or missing.

    Raises CalibrationError, naming the line.
    """
    points_may_follow = False
    count = 0
    for where, line in _lines(path):
        if points_may_follow and (not line or _is_points(line)):
            points_may_follow = False
            continue
        if not line:
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise CalibrationError(f"{where}: an image is IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME.")
        pose, lens = tuple(_number(where, word) for word in words[1:8]), _whole(where, words[8])
        points_may_follow = True
        count += 1
        if count > MAX_RECORDS:
            raise CalibrationError(f"{path.name} has more than {MAX_RECORDS} images.")
        yield ImageRecord(words[9], lens, pose)


def _is_points(line: str) -> bool:
    """Whether a line consists of triples of numbers (X Y POINT3D_ID), unlike an image's, whose tenth word is a name."""
    words = line.split(maxsplit=9)
    if len(words) < 10:
        return len(words) % 3 == 0 and all(number(word) is not None for word in words)
    rest = words[9].split()
    return (len(rest) + 9) % 3 == 0 and number(rest[0]) is not None and number(rest[-1]) is not None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, content) of each line, comments left out, empty lines not."""
    for number_of_line, line in text_lines(path):
        if not line.startswith("#"):
            yield f"{path.name}, line {number_of_line}", line


def _number(where: str, word: str) -> float:
    value = number(word)
    if value is None:
        raise CalibrationError(f"{where}: “{shown(word)}” is no number.")
    return value


def _whole(where: str, word: str) -> int:
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise CalibrationError(f"{where}: “{shown(word)}” is no whole number.")
    return int(word)
