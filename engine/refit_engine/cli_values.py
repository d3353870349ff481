# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and options that several commands of `refit-engine` have."""

from __future__ import annotations

import argparse
import errno
import math
import os
import tempfile
from pathlib import Path

from .contract import add_option


def add_body(parser: argparse.ArgumentParser) -> None:
    """Give a command the options for its body and its network."""
    for name in ("body", "gender", "weights"):
        add_option(parser, name)


def box(text: str) -> list[float]:
    """x,y,w,h in pixels."""
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,w,h in pixels") from None
    return [x, y, w, h]


def share(text: str) -> tuple[int, int]:
    """K/N: one of equal shares."""
    number, _, count = text.partition("/")
    try:
        part = int(number), int(count)
    except ValueError:
        part = 0, 0
    if not 1 <= part[0] <= part[1]:
        raise argparse.ArgumentTypeError("must be K/N with K from 1 to N")
    return part


def span(text: str) -> tuple[int, int]:
    """A:B, up to but not including B."""
    first, _, last = text.partition(":")
    try:
        span = int(first), int(last)
    except ValueError:
        span = 0, 0
    if not 0 <= span[0] < span[1]:
        raise argparse.ArgumentTypeError("must be A:B with A from 0 and B behind A")
    return span


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def check_folder(folder: Path) -> None:
    """Raises OSError where results cannot be written, before the work begins."""
    folder = folder.absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    with tempfile.TemporaryFile(dir=there):
        pass
