# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file's world to Blender's: Z up, metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .model import CalibratedCamera, Calibration

Axis = Literal["X", "-X", "Y", "-Y", "Z", "-Z"]
Unit = Literal["M", "CM", "MM"]

AXES: dict[Axis, tuple[int, int, int]] = {
    "X": (1, 0, 0),
    "-X": (-1, 0, 0),
    "Y": (0, 1, 0),
    "-Y": (0, -1, 0),
    "Z": (0, 0, 1),
    "-Z": (0, 0, -1),
}
UNITS: dict[Unit, float] = {"M": 1.0, "CM": 0.01, "MM": 0.001}
# People are filmed from a few metres: a rig whose cameras are further apart counts in millimetres.
_LARGEST_RIG_METRES = 50.0


@dataclass(frozen=True)
class World:
    """How a file's world stands in Blender's: which of its axes points up, and its unit in metres."""

    up: Axis
    metres: float

    def place(self, camera: CalibratedCamera) -> CalibratedCamera:
        """The camera with R and t for Blender's world, in metres."""
        turn = _turn_up(np.array(AXES[self.up], dtype=np.float64))
        return replace(camera, R=camera.R @ turn.T, t=camera.t * self.metres)


def world_of(calibration: Calibration, up: Axis | None = None, metres: float | None = None) -> World:
    """The world that is asked for, with guesses in place of None.

    Up is the axis that is nearest to the cameras' own upward direction: people hold cameras upright. The unit is the
    metre, or the millimetre where a rig of cameras would be wider than a hall.
    """
    if up is None:
        upward = -np.sum([camera.R[1] for camera in calibration.cameras], axis=0)
        up = max(AXES, key=lambda name: float(upward @ AXES[name]))
    if metres is None:
        centres = np.array([camera.centre for camera in calibration.cameras])
        # One camera alone tells its distance from the origin, which mostly is where the people are.
        extent = np.ptp(centres, axis=0).max() if len(centres) > 1 else np.abs(centres).max()
        metres = UNITS["MM"] if calibration.metric and extent > _LARGEST_RIG_METRES else UNITS["M"]
    return World(up, metres)


def _turn_up(up: np.ndarray) -> np.ndarray:
    """The rotation [3,3] by a multiple of 90 degrees that takes the axis `up` to +Z."""
    z = np.array([0.0, 0.0, 1.0])
    if up[2]:
        return np.diag([1.0, up[2], up[2]])
    across = np.cross(up, z)
    cross = np.array([[0, -across[2], across[1]], [across[2], 0, -across[0]], [-across[1], across[0], 0]])
    return np.eye(3) + cross + cross @ cross
