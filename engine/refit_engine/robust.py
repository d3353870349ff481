# SPDX-License-Identifier: GPL-3.0-or-later
"""The one robust kernel of all geometry: Geman and McClure's."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Values = TypeVar("Values", np.ndarray, Tensor)


def robust_weight(distance: Values, scale: float | Tensor) -> Values:
    """How much a value counts in reweighted least squares: 1 at no distance, a quarter at `scale`, 0 far off."""
    return (scale**2 / (scale**2 + distance**2)) ** 2


def robust_cost(distance: Values, scale: float, share: Values) -> Values:
    """The loss behind `robust_weight`: 0 at no distance, half of the value's `share` at `scale`, all of it far off."""
    return share * distance**2 / (scale**2 + distance**2)
