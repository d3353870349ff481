# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that may be None by their type and are there in training."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def known(value: Value | None) -> Value:
    """The value. Raises ValueError where there is none, such as for a picture that OpenCV cannot read."""
    if value is None:
        raise ValueError("a value is missing that this needs, or a picture cannot be read")
    return value
