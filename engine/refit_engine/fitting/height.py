# SPDX-License-Identifier: GPL-3.0-or-later
"""How tall a body stands, and shapes of a wanted height."""

from __future__ import annotations

import numpy as np

from ..body import BodyData
from ..contract import BETAS, MAX_BETA, OPTIONS
from ..errors import RefitError

__all__ = ["HeightError", "ShapeError", "betas_of_height", "checked_betas", "checked_height", "standing_height"]

_EXACT = 1e-5
_ROUNDS = 20


class HeightError(RefitError):
    """The height is no height of a person, or contradicts a fixed shape."""


class ShapeError(RefitError):
    """The numbers are no shape of a person."""


def checked_betas(betas: np.ndarray) -> np.ndarray:
    """The betas [10] of a known shape. Raises ShapeError where nobody has them."""
    if betas.shape != (BETAS,):
        raise ShapeError(f"A shape has {BETAS} numbers.")
    if not (np.abs(betas) <= MAX_BETA).all():
        raise ShapeError(f"The shape's numbers must lie between -{MAX_BETA:g} and {MAX_BETA:g}.")
    return betas


def checked_height(height: float) -> float:
    """The height in metres. Raises HeightError where nobody is so tall."""
    limits = OPTIONS["height"]
    if not limits.low <= height <= limits.high:
        raise HeightError(f"The height must be between {limits.low} and {limits.high} metres, not {height:g}.")
    return float(height)


def standing_height(body: BodyData, betas: np.ndarray) -> float:
    """Metres from the lowest to the highest vertex of the T-pose with betas [10]."""
    return float(np.ptp(_levels(body, betas)))


def betas_of_height(body: BodyData, betas: np.ndarray, height: float) -> np.ndarray:
    """Betas [10] of the given standing height in metres, as near to the given ones as can be.

    Betas are in standard deviations of people, so that the shortest way to the height is the most probable change.
    """
    betas = np.asarray(betas, dtype=np.float64)
    for _ in range(_ROUNDS):  # the height is linear in betas as long as top and bottom remain the same vertices
        levels = _levels(body, betas)
        top, bottom = levels.argmax(), levels.argmin()
        missing = height - (levels[top] - levels[bottom])
        if abs(missing) < _EXACT:
            break
        slope = (body.shapedirs[top, 1] - body.shapedirs[bottom, 1]).astype(np.float64)
        betas = betas + slope * missing / (slope @ slope)
    return betas


def _levels(body: BodyData, betas: np.ndarray) -> np.ndarray:
    """The vertices' Y in the T-pose [V]."""
    return body.v_template[:, 1] + body.shapedirs[:, 1].astype(np.float64) @ np.asarray(betas, dtype=np.float64)
