# SPDX-License-Identifier: GPL-3.0-or-later
"""A level floor in the equations of motion.

The level at which feet stood most of the track is found first, and how up is turned where it is not known for sure. Then points of
feet that stand are drawn to the level, and points that would be below it are lifted. Both are robust: feet on stairs or on a box are
far from the level and hardly drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...gravity import Up
from .contacts import FOOT_POINTS
from .levels import Levels, find_levels
from .numbers import NUMBERS, MotionNumbers

_PARTS = len(FOOT_POINTS) // 2


class Feet(NamedTuple):
    """Somebody's FOOT_POINTS [F,6,3] in the world, NaN where unknown; stands: [F-1,6], see `contacts`."""

    points: Tensor
    stands: Tensor


class Footing(NamedTuple):
    """up: [3] unit, the world's; levels: [6] metres along up at which FOOT_POINTS are when they stand."""

    up: Tensor
    levels: Tensor


class FloorTerms(NamedTuple):
    """miss: [F,6] metres of FOOT_POINTS above their levels; weight: [F,6]."""

    miss: Tensor
    weight: Tensor


def find_footings(
    people: Sequence[Feet], times: Tensor, up: Up, numbers: MotionNumbers = NUMBERS
) -> tuple[list[Footing | None], Up]:
    """The level on which each person stands, None for those who hardly stand, and the up that all of them tell.

    times: [F] seconds. Where up may be off, somebody many of whose standing points are far from the level has none: the camera
    moves, or the ground is no floor.
    """
    footings: list[Footing | None] = [None] * len(people)
    heard = [number for number, feet in enumerate(people) if _least_weight(feet) >= numbers.least_standing]
    while heard:
        points, groups, weight = _standing_points([people[number] for number in heard])
        levels = _levels(points, groups, weight, times, up, numbers)
        near = weight * (np.abs(points @ levels.normal - levels.heights[groups]) < numbers.uneven)
        shares = [near[own].sum() / weight[own].sum() for own in _own(groups, len(heard))]
        level = [share >= numbers.level_share or not up.std_deg for share in shares]
        if all(level):
            for place, number in enumerate(heard):
                own = levels.heights[_PARTS * place : _PARTS * (place + 1)]
                footings[number] = Footing(torch.from_numpy(levels.normal), torch.from_numpy(own).repeat(2))
            return footings, replace(up, direction=levels.normal, std_deg=levels.std_deg)
        heard = [number for number, fits in zip(heard, level, strict=True) if fits]
    return footings, up


def _levels(
    points: np.ndarray, groups: np.ndarray, weight: np.ndarray, times: Tensor, up: Up, numbers: MotionNumbers
) -> Levels:
    interval = float((times[1:] - times[:-1]).median())
    worth = interval / (numbers.step_seconds * _PARTS)
    return find_levels(points, groups, weight, up.direction, up.std_deg, numbers.floor_std, worth)


def _least_weight(feet: Feet) -> float:
    """How often the part of the feet stands that does least."""
    weight = _weight(feet)
    return min(float(weight[:, part::_PARTS].sum()) for part in range(_PARTS))


def _standing_points(people: Sequence[Feet]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [M,3] that stand, the number [M] of person and part, and how much each of them does [M]."""
    parts = [_standing(feet, number) for number, feet in enumerate(people)]
    points, groups, weight = (np.concatenate(values) for values in zip(*parts, strict=True))
    return points, groups, weight


def _standing(feet: Feet, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weight = _weight(feet)
    part = torch.arange(_PARTS).repeat(2).expand_as(weight) + _PARTS * number
    points, groups, weights = (values[weight > 0].numpy() for values in (feet.points, part, weight))
    return points, groups, weights


def _own(groups: np.ndarray, people: int) -> list[np.ndarray]:
    return [groups // _PARTS == number for number in range(people)]


def _weight(feet: Feet) -> Tensor:
    """How much FOOT_POINTS stand at instants [F,6]; 0 where they are not known."""
    return torch.where(feet.points.isfinite().all(dim=2), _at_instants(feet.stands), 0.0)


def floor_terms(feet: Tensor, stands: Tensor, footing: Footing, numbers: MotionNumbers) -> FloorTerms:
    """How far FOOT_POINTS [F,6,3] are from the floor, and how much that counts."""
    miss = feet @ footing.up - footing.levels
    wanted = torch.where(miss < 0, 1.0, _at_instants(stands))
    trust = 1 / (1 + (miss / (2 * numbers.floor_std)) ** 2)
    return FloorTerms(miss, wanted * trust / numbers.floor_std**2)


def near_floor(feet: Tensor, footing: Footing, numbers: MotionNumbers) -> Tensor:
    """How near FOOT_POINTS [F,6,3] are to the floor from one instant to the next [F-1,6], 1 on it and 0 far above."""
    above = (feet @ footing.up - footing.levels).clamp(min=0)
    above = torch.minimum(above[1:], above[:-1])
    return 1 / (1 + (above / numbers.contact_height) ** numbers.contact_steepness)


def _at_instants(stands: Tensor) -> Tensor:
    """Probabilities [F,6] at instants from those [F-1,6] between them."""
    none = stands.new_zeros(1, stands.shape[1])
    return torch.maximum(torch.cat([stands, none]), torch.cat([none, stands]))
