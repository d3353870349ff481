# SPDX-License-Identifier: GPL-3.0-or-later
"""Up directions as pitch and roll of a camera, and the grid of those that a photo may have.

Pitch: how far the camera looks down; roll: how far its own right side hangs down. Both in radians, 0 where it is level.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

STEP_DEG = 3.0
MAX_PITCH_DEG, MAX_ROLL_DEG = 60.0, 45.0
TABLE_STEP_DEG = 1.5
"""Directions are looked up in a table; half a step is well below the spread of line segments."""


def up_of(pitch: np.ndarray | float, roll: np.ndarray | float) -> np.ndarray:
    """The world's up [...,3] in the camera's frame."""
    pitch, roll = np.broadcast_arrays(pitch, roll)
    return np.stack([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)], axis=-1)


def pitch_roll(ups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `up_of` for unit vectors [...,3]."""
    return np.arcsin(np.clip(-ups[..., 2], -1, 1)), np.arctan2(ups[..., 0], -ups[..., 1])


def level_pair(ups: np.ndarray, azimuths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two directions [...,3] across an up and across each other, the first at an azimuth from the camera's right."""
    _, roll = pitch_roll(ups)
    right = np.stack([np.cos(roll), np.sin(roll), np.zeros_like(roll)], axis=-1)
    ahead = np.cross(ups, right)
    c, s = np.cos(azimuths)[..., None], np.sin(azimuths)[..., None]
    return c * right + s * ahead, c * ahead - s * right


def angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors [...,3]."""
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


@dataclass(frozen=True)
class UpGrid:
    """ups [U,3]; log_area [U], of their cells; azimuths [A].

    table [D,3]: all directions that are needed, to half a table's step; upright [U], level [U,A,2]: rows of it for each
    up and its level pairs.
    """

    ups: np.ndarray
    log_area: np.ndarray
    azimuths: np.ndarray
    table: np.ndarray
    upright: np.ndarray
    level: np.ndarray


@functools.cache
def up_grid() -> UpGrid:
    """The grid, made on first use."""
    pitches, rolls = (np.radians(np.arange(-most, most + 0.1, STEP_DEG)) for most in (MAX_PITCH_DEG, MAX_ROLL_DEG))
    pitch, roll = (values.ravel() for values in np.meshgrid(pitches, rolls, indexing="ij"))
    ups = up_of(pitch, roll)
    azimuths = np.radians(np.arange(0, 90, STEP_DEG))
    level = np.stack([_table_rows(one) for one in level_pair(ups[:, None], azimuths[None])], axis=-1)
    needed, rows = np.unique(np.concatenate([_table_rows(ups), level.ravel()]), return_inverse=True)
    upright, level = rows[: len(ups)], rows[len(ups) :].reshape(level.shape)
    return UpGrid(ups, np.log(np.cos(pitch)), azimuths, _half_sphere()[needed], upright, level)


def _half_sphere() -> np.ndarray:
    steps = round(180 / TABLE_STEP_DEG) + 1
    height, turn = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, steps), np.linspace(0, np.pi, steps), indexing="ij")
    columns = [np.cos(height) * np.cos(turn), np.sin(height), np.cos(height) * np.sin(turn)]
    return np.stack(columns, axis=-1).reshape(-1, 3)


def _table_rows(directions: np.ndarray) -> np.ndarray:
    """Rows [...] of `_half_sphere` that are nearest to directions [...,3] or their opposites."""
    forward = np.where(directions[..., 2:] < 0, -directions, directions)
    steps = round(180 / TABLE_STEP_DEG)
    height = np.degrees(np.arcsin(np.clip(forward[..., 1], -1, 1))) + 90
    turn = np.degrees(np.arctan2(forward[..., 2], forward[..., 0]))
    rows, columns = (np.rint(angle / TABLE_STEP_DEG).astype(np.int64) for angle in (height, turn))
    return rows * (steps + 1) + columns
