# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sight rays meet: the two rays' closest points, and the least squares of many.

Letters in shapes: B rays to each of K points. Directions are unit vectors, lengths in metres.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Crossing(NamedTuple):
    """Where pairs of rays pass each other."""

    along_first: np.ndarray
    along_second: np.ndarray
    """[...] metres from the rays' origins to their closest points."""
    squared_sine: np.ndarray
    """[...] of the angle between them."""


def crossing(
    origin: np.ndarray, rays: np.ndarray, other: np.ndarray, others: np.ndarray, least_squared_sine: float
) -> Crossing:
    """How far along two rays [...,3] from `origin` and `other` [...,3] lie their closest points.

    Rays at a smaller angle than the least are taken for that far apart in direction: their points mean nothing.
    """
    between = origin - other
    cosine = (rays * others).sum(axis=-1)
    along, along_other = (rays * between).sum(axis=-1), (others * between).sum(axis=-1)
    squared_sine = 1 - cosine**2
    divisor = np.maximum(squared_sine, least_squared_sine)
    return Crossing((cosine * along_other - along) / divisor, (along_other - cosine * along) / divisor, squared_sine)


def across(direction: Tensor) -> Tensor:
    """Projections [...,3,3] onto the planes across rays with directions [...,3]."""
    return torch.eye(3, dtype=direction.dtype) - direction[..., :, None] * direction[..., None, :]


def normal_equations(origin: Tensor, planes: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices [H,K,3,3] and right sides [H,K,3] of the points that lie nearest to their rays, for H sets of weights.

    origin: [B,3] of the rays; planes: [B,K,3,3] the rays' `across`; weight: [H,B,K].
    """
    matrix = torch.einsum("hbk,bkij->hkij", weight, planes)
    return matrix, torch.einsum("hbk,bki->hki", weight, (planes @ origin[:, None, :, None])[..., 0])
