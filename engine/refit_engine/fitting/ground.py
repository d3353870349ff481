# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor under the people of one picture: which way is up, and how high the camera is above the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..results import UpSource

LEVEL_UP = np.array([0.0, -1.0, 0.0])
"""The world's up [3] in the frame of a camera that is held level."""
LEVEL_STD_DEG = 20.0
CONTACT_M = 0.05
"""People whose lowest vertex is at most this high, in metres, touch the floor."""


@dataclass(frozen=True)
class Ground:
    """up_cam [3], source, std_deg, sure, camera_height, on_floor [N]: see `results.ImageResult`."""

    up_cam: np.ndarray
    source: UpSource
    std_deg: float
    sure: bool
    camera_height: float
    on_floor: np.ndarray


def level_ground(vertices_cam: np.ndarray) -> Ground:
    """The floor under the lowest vertex of all bodies [N,V,3] (camera frame, metres), as a level camera sees it."""
    lowest = (vertices_cam @ LEVEL_UP).min(axis=1)
    floor = float(lowest.min())
    return Ground(LEVEL_UP, "level", LEVEL_STD_DEG, False, -floor, lowest < floor + CONTACT_M)
