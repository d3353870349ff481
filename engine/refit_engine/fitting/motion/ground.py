# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor of a motion, on which feet stand, and the people of one still camera on one floor.

A body seen by one camera looks the same when it is scaled about the camera's centre. So people of unknown size are brought to the
floor that makes their sizes most probable, as in a photo (`fitting.ground`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...gravity import Up
from ..ground import share_floor
from .footing import Footing
from .levels import LOWER_PART


@dataclass(frozen=True)
class FloorNumbers:
    """When feet are heard of the floor."""

    stands: float = 0.7
    """Probability from which a foot counts as standing."""
    spread: float = 0.04
    """Metres off the floor from which on a point counts less (Cauchy)."""
    rounds: int = 10
    below: float = 0.3
    """Metres below the floor from which on somebody stands on a lower one."""
    low: float = 0.1
    """Part of the frames in which somebody is low, and"""
    sole: float = 0.03
    """metres from the foot's joint down to the sole."""


FLOOR = FloorNumbers()


@dataclass(frozen=True)
class Floor:
    """up: [3] unit, with its source in `Up`; level: metres of the floor along up from the origin, NaN where unknown."""

    up: Up
    level: float


def find_floor(points: np.ndarray, soles: np.ndarray, up: Up) -> Floor:
    """The floor under standing feet, whose lowest points [M,3] are known in the world, metres.

    soles: [N] heights of people's soles along up while they are low. Nobody is far below the floor: where somebody is, whose feet are
    not seen to stand, the floor is there.
    """
    if not len(points):
        return Floor(up, float("nan"))
    heights = points @ up.direction
    level = float(np.quantile(heights, LOWER_PART))
    for _ in range(FLOOR.rounds):
        weight = 1 / (1 + ((heights - level) / FLOOR.spread) ** 2)
        level = float(weight @ heights / weight.sum())
    lowest = float(soles.min())
    return Floor(up, lowest if lowest < level - FLOOR.below else level)


def sizes_on_one_floor(
    footings: list[Footing | None], heights: np.ndarray, fixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By how much people [N] are larger than estimated where they share a floor, and who stands on it [N].

    footings: in the frame of the one camera that sees them. heights: [N] metres that they measure standing. fixed: [N] whose size is
    known. People without a footing keep their size, and are said to stand on the floor only if nobody has one.
    """
    sizes, on_floor = np.ones(len(footings)), np.zeros(len(footings), dtype=bool)
    heard = [number for number, footing in enumerate(footings) if footing is not None]
    if not heard:
        return sizes, ~on_floor
    below = np.array([-float(footing.levels.min()) for footing in footings if footing is not None])
    camera_height, stands = share_floor(below, heights[heard], fixed[heard])
    on_floor[heard] = stands
    moved = stands & ~fixed[heard]
    sizes[heard] = np.where(moved, camera_height / np.where(moved, below, 1.0), 1.0)
    return sizes, on_floor
