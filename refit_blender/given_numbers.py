# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that scripts and command lines give, checked before anything is asked or changed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import SourceError

_LONGEST_SHOWN = 60


def checked_number(value: Any, name: str) -> float:
    """A finite number. Raises SourceError."""
    (number,) = _array([value], (1,), name, "a finite number", value)
    return number


def checked_count(value: Any, name: str) -> int:
    """A whole number. Raises SourceError."""
    try:
        return operator.index(value)
    except TypeError:
        raise SourceError(f"{name} must be a whole number, not {_shown(value)}.") from None


def checked_numbers(values: Any, count: int, name: str) -> list[float]:
    """[count] finite numbers. Raises SourceError."""
    return _array(values, (count,), name, f"{count} finite numbers", values)


def checked_boxes(values: Any) -> list[list[float]]:
    """Boxes [N,4], at least one. Raises SourceError."""
    if isinstance(values, Sequence | np.ndarray) and not len(values):
        raise SourceError("There is no box: give one for each person.")
    return _array(values, (-1, 4), "Boxes", "rows of four finite numbers x, y, width, height", values)


def _array(values: Any, shape: tuple[int, ...], name: str, kind: str, given: Any) -> list:
    try:
        array = np.array(values)
        fits = array.ndim == len(shape) and all(
            size in (-1, have) for size, have in zip(shape, array.shape, strict=True)
        )
        if fits and array.dtype.kind in "iuf" and np.isfinite(array).all():
            return array.astype(np.float64).tolist()
    except (TypeError, ValueError, OverflowError):
        pass
    raise SourceError(f"{name} must be {kind}, not {_shown(given)}.")


def _shown(value: Any) -> str:
    """A value in a sentence."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
