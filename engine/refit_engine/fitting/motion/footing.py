# SPDX-License-Identifier: GPL-3.0-or-later
"""A level floor in the equations of motion, where up is known for sure.

The level at which feet stood most of the track is found first. Then points of feet that stand are drawn to it, and points that would
be below it are lifted. Both are robust: feet on stairs or on a box are far from the level and hardly drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .numbers import MotionNumbers

_ROUNDS = 10


class Footing(NamedTuple):
    """up: [3] unit, the world's; levels: [6] metres along up at which FOOT_POINTS are when they stand."""

    up: Tensor
    levels: Tensor


class FloorTerms(NamedTuple):
    """miss: [F,6] metres of FOOT_POINTS above their levels; weight: [F,6]."""

    miss: Tensor
    weight: Tensor


def find_footing(feet: Tensor, stands: Tensor, up: Tensor, numbers: MotionNumbers) -> Footing | None:
    """The level under FOOT_POINTS [F,6,3], NaN where unknown, that stand by `stands` [F-1,6]; None where too few do."""
    heights = feet @ up
    known = heights.isfinite()
    weight = torch.where(known, _at_instants(stands), 0.0)
    heights = torch.where(known, heights, 0.0)
    levels: list[Tensor] = []
    for part in range(3):
        mine, sure = heights[:, part::3].flatten(), weight[:, part::3].flatten()
        if sure.sum() < numbers.least_standing:
            return None
        level = mine[sure > 0.5 * sure.max()].median()
        for _ in range(_ROUNDS):
            trust = sure / (1 + ((mine - level) / numbers.floor_std) ** 2)
            level = (trust * mine).sum() / trust.sum()
        levels.append(level)
    return Footing(up, torch.stack(levels).repeat(2))


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
