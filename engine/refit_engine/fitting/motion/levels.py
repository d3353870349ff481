# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel planes through points that stand, and the up that they tell: robust least squares in which up is nearly known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_ROUNDS = 10


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
    across = np.linalg.svd(up[None])[2][1:] if std_deg > 0 else np.zeros((0, 3))
    middle = weight @ points / weight.sum()
    places, heights = (points - middle) @ across.T, points @ up
    design = np.column_stack([places, -np.eye(count)[groups]])
    slope = np.tan(np.radians(std_deg))
    prior = np.diag([1 / slope**2] * len(across) + [0.0] * count) if len(across) else np.zeros((count, count))
    levels = np.array([_median(heights[groups == one], weight[groups == one]) for one in range(count)])
    found = np.concatenate([np.zeros(len(across)), levels])
    # Where up may be off, far points are heard at first: the median's neighbours need not lie on the plane.
    reach = max(scale, slope * np.sqrt((places**2).sum(axis=1) @ weight / weight.sum()))
    normal = prior
    for _ in range(_ROUNDS):
        trust = weight / (1 + ((heights + design @ found) / reach) ** 2)
        normal = worth / scale**2 * (design.T * trust) @ design + prior
        found = -np.linalg.solve(normal, worth / scale**2 * (design.T * trust) @ heights)
        reach = max(scale, reach / 2)
    turned = up + found[: len(across)] @ across
    length = float(np.linalg.norm(turned))
    levels = (found[len(across) :] + found[: len(across)] @ across @ middle) / length
    variance = np.linalg.inv(normal).diagonal()[: len(across)]
    return Levels(turned / length, float(np.degrees(np.sqrt(variance.mean()))) if len(across) else 0.0, levels)


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    return float(np.median(values[weight > 0.5 * weight.max()]))
