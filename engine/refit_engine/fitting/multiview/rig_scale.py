# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig in another unit than metres: by what its distances must be multiplied, told by the size of the people it sees.

All sight rays of a rig meet at any size of it, but matching knows how large people are and how far rays may miss them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .detection_rays import NUMBERS as MATCHING
from .detection_rays import ViewDetections
from .matching import PersonViews, match_people, size_ratio

TRIED = np.geomspace(1e-4, 1e4, 65)
"""Scales at which people are looked for, each 1.33 times the one before: matching bears bodies 1.5 times too large."""


@dataclass(frozen=True)
class ScaleNumbers:
    """When a rig's unit is known: set by how much grown-ups differ in size."""

    sure: float = 1.15
    """How far, as a ratio, the found people may be from human size at the scale that is given back."""


NUMBERS = ScaleNumbers()
UNITS = {0.001: "millimetres", 0.01: "centimetres", 0.0254: "inches", 0.3048: "feet"}


def metres_per_unit(views: Sequence[ViewDetections]) -> float | None:
    """The scale at which most views see the same people in human size; None where no scale helps."""
    best, least = None, 0.0
    for scale in TRIED:
        people = match_people(_scaled(views, scale))
        if not people:
            continue
        fitting = scale / _ratio(people)
        people = match_people(_scaled(views, fitting))
        if people and 1 / NUMBERS.sure < _ratio(people) < NUMBERS.sure and (worth := _worth(people)) > least:
            best, least = fitting, worth
    return best


def unit_sentence(scale: float) -> str:
    """What to do about a rig whose distances are to be multiplied by `scale`."""
    known = min(UNITS, key=lambda unit: abs(np.log(scale / unit)))
    name = UNITS[known] if 1 / NUMBERS.sure < scale / known < NUMBERS.sure else "another unit than metres"
    return (
        f"The cameras see a person of human size only if all distances between them are multiplied by {scale:.2g}: "
        f"the calibration seems to be in {name}, set its unit or scale."
    )


def _scaled(views: Sequence[ViewDetections], scale: float) -> list[ViewDetections]:
    return [replace(view, t=view.t * scale) for view in views]


def _ratio(people: Sequence[PersonViews]) -> float:
    """How large people are, compared with grown-ups; those whom most views see count."""
    views = [sum(index is not None for index in person.indices) for person in people]
    sizes = size_ratio(np.stack([person.joints_world for person in people]))
    return float(np.median(sizes[np.array(views) == max(views)]))


def _worth(people: Sequence[PersonViews]) -> float:
    """How many detections are explained, in perfectly explained ones."""
    seen = [~np.isnan(person.misses) for person in people]
    return sum(
        float((1 - person.misses[one] / MATCHING.tolerance).sum()) - 1 for person, one in zip(people, seen, strict=True)
    )
