# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor under the people of one picture: how high the camera is above it, and who stands on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..gravity import Up

CONTACT_M = 0.05
"""People whose lowest vertex is at most this high, in metres, touch the floor."""


@dataclass(frozen=True)
class Ground:
    """camera_height, on_floor [N]: see `results.ImageResult`."""

    camera_height: float
    on_floor: np.ndarray


def ground_under(vertices_cam: np.ndarray, up: Up) -> Ground:
    """The floor under the lowest vertex of all bodies [N,V,3] (camera frame, metres)."""
    lowest = (vertices_cam @ up.direction).min(axis=1)
    floor = float(lowest.min())
    return Ground(-floor, lowest < floor + CONTACT_M)
