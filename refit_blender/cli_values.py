# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the command line. Each raises ArgumentTypeError, or ValueError, where the text is none."""

from __future__ import annotations

import argparse
import math

from .motion import Wanted

LAST_FRAME = 1048574  # of Blender


def frames(text: str) -> Wanted:
    """From A:B:STEP, of which all parts may be empty."""
    parts = text.split(":")
    try:
        low, stop, step = (int(part) if part.strip() else None for part in (parts + ["", ""])[:3])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B:STEP with three whole numbers") from None
    low, step = low or 0, 1 if step is None else step
    if len(parts) > 3 or low < 0 or step < 1 or (stop is not None and stop <= low):
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B:STEP with A from 0, B behind A and STEP at least 1")
    return Wanted(low, None if stop is None else stop - 1, step)


def span(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    ends = frame(first), frame(last)
    if ends[0] > ends[1]:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return ends


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def box(text: str) -> list[float]:
    try:
        x, y, width, height = (float(number) for number in text.split(","))
    except ValueError:
        x = y = width = height = math.nan
    if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no box X,Y,W,H with a positive size")
    return [x, y, width, height]


def frame(text: str) -> int:
    number = int(text)
    if not abs(number) <= LAST_FRAME:
        raise argparse.ArgumentTypeError(f"Blender's frames go from -{LAST_FRAME} to {LAST_FRAME}")
    return number
