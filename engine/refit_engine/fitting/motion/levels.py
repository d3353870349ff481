# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel planes through points that stand, and the up that they tell: robust least squares in which up is nearly known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_ROUNDS = 10
_WIDE = 0.5
"""Metres, root mean square, that the points of a group must extend in a direction to tell how up is turned in it: both feet of one
long step do not."""
LOWER_PART = 0.25
"""Of standing points, below which the search for their level begins: somebody may hold one foot up, as still as the other stands."""
_FIRST_REACH = 4
"""Times the last one."""


class Levels(NamedTuple):
    """normal: [3] unit, near up; std_deg: how far it may be off about each axis; heights: [G] metres along it."""

    normal: np.ndarray
    std_deg: float
    heights: np.ndarray


def find_levels(
    points: np.ndarray,
    groups: np.ndarray,
    weight: np.ndarray,
    up: np.ndarray,
    std_deg: float,
    scale: float,
    worth: float = 1.0,
) -> Levels:
    """The levels of G groups of points [M,3], whose numbers [M] are from 0 to G-1, and which all have weight [M].

    up: [3] unit, which may be off by std_deg (standard deviation, about each axis). scale: metres that points are off their
    level; from there on they count less (Cauchy). worth: how many independent points one of weight 1 stands for.
    """
    count = int(groups.max()) + 1
    middle = weight @ points / weight.sum()
    across = _wide_directions(points, groups, weight, up) if std_deg > 0 else np.zeros((0, 3))
    places, heights = (points - middle) @ across.T, points @ up
    design = np.column_stack([places, -np.eye(count)[groups]])
    slope = np.tan(np.radians(std_deg))
    prior = np.diag([1 / slope**2] * len(across) + [0.0] * count) if len(across) else np.zeros((count, count))
    levels = np.array([_low(heights[groups == one], weight[groups == one]) for one in range(count)])
    found = np.concatenate([np.zeros(len(across)), levels])
    # Far points are heard at first: where up may be off, the first level's neighbours need not lie on the plane.
    reach = max(_FIRST_REACH * scale, slope * np.sqrt((places**2).sum(axis=1) @ weight / weight.sum()))
    normal = prior
    for _ in range(_ROUNDS):
        trust = weight / (1 + ((heights + design @ found) / reach) ** 2)
        normal = worth / scale**2 * (design.T * trust) @ design + prior
        found = -np.linalg.solve(normal, worth / scale**2 * (design.T * trust) @ heights)
        reach = max(scale, reach / 2)
    turned = up + found[: len(across)] @ across
    length = float(np.linalg.norm(turned))
    levels = (found[len(across) :] + found[: len(across)] @ across @ middle) / length
    variance = np.full(2, slope**2)  # of the tilts; of those that points tell nothing of, as before
    variance[: len(across)] = np.linalg.inv(normal).diagonal()[: len(across)]
    return Levels(turned / length, float(np.degrees(np.sqrt(variance.mean()))), levels)


def _wide_directions(points: np.ndarray, groups: np.ndarray, weight: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Level unit directions [0 to 2,3] in which points of a group extend so far that they tell of up.

    The feet of somebody who does not go anywhere say nothing: one of them may be on a step, or held up.
    """
    level = np.linalg.svd(up[None])[2][1:]
    places = points @ level.T
    total = np.bincount(groups, weight)
    middles = np.stack([np.bincount(groups, weight * column) / total for column in places.T], axis=1)
    places = places - middles[groups]
    variances, axes = np.linalg.eigh((weight[:, None] * places).T @ places / weight.sum())
    return axes.T[variances > _WIDE**2] @ level


def _low(values: np.ndarray, weight: np.ndarray) -> float:
    """Where the search begins."""
    return float(np.quantile(values[weight > 0.5 * weight.max()], LOWER_PART))
