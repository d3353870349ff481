# SPDX-License-Identifier: GPL-3.0-or-later
"""The world's up as a camera knows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..results import UpSource


@dataclass(frozen=True)
class Up:
    """direction [3]: unit vector in the camera's frame (X right, Y down, Z forward).

    source, std_deg, sure: as in `results.ImageResult`.
    """

    direction: np.ndarray
    source: UpSource
    std_deg: float
    sure: bool
