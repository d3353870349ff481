# SPDX-License-Identifier: GPL-3.0-or-later
"""Up and the floor's level from a motion: feet that stand are on the floor. Bodies are not moved onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...gravity import Up


@dataclass(frozen=True)
class FloorNumbers:
    """When feet are heard of the floor."""

    stands: float = 0.7
    """Probability from which a foot counts as standing."""
    wide: float = 0.5
    """Metres, root mean square, that standing points must extend in their narrower direction before their plane is heard."""
    tilt: float = 15.0
    """Degrees that this plane may be off what bodies and lines say."""
    plane_std_deg: float = 3.0
    """What a plane through standing feet is taken to be off: an assumption."""
    spread: float = 0.04
    """Metres off the floor from which on a point counts less (Cauchy)."""
    rounds: int = 10


FLOOR = FloorNumbers()


@dataclass(frozen=True)
class Floor:
    """up: [3] unit, with its source in `Up`; level: metres of the floor along up from the origin, NaN where unknown."""

    up: Up
    level: float


def find_floor(points: np.ndarray, up: Up) -> Floor:
    """The floor under standing feet, whose lowest points [M,3] are known in the world, metres.

    Where people stood in places far enough apart, their plane's normal is the better up, unless up is known.
    """
    if not len(points):
        return Floor(up, float("nan"))
    direction = up.direction / np.linalg.norm(up.direction)
    normal = _plane(points, direction)
    if not up.sure and normal is not None and normal @ direction > np.cos(np.radians(FLOOR.tilt)):
        direction, up = normal, Up(normal, up.source, min(up.std_deg, FLOOR.plane_std_deg), False)
    return Floor(up, _robust_mean(points @ direction))


def _plane(points: np.ndarray, up: np.ndarray) -> np.ndarray | None:
    """The normal [3], upwards, of the plane nearest to the points [M,3], little moved by outliers; None if they are in a line."""
    weight = np.ones(len(points))
    normal = up
    for _ in range(FLOOR.rounds):
        middle = weight @ points / weight.sum()
        offsets = points - middle
        spread, axes = np.linalg.eigh((weight[:, None] * offsets).T @ offsets / weight.sum())
        if np.sqrt(max(spread[1], 0)) < FLOOR.wide:
            return None
        normal = axes[:, 0] * np.sign(axes[:, 0] @ up)
        weight = 1 / (1 + (offsets @ normal / FLOOR.spread) ** 2)
    return normal


def _robust_mean(values: np.ndarray) -> float:
    mean = float(np.median(values))
    for _ in range(FLOOR.rounds):
        weight = 1 / (1 + ((values - mean) / FLOOR.spread) ** 2)
        mean = float(weight @ values / weight.sum())
    return mean
