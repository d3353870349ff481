# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit quaternions (w, x, y, z) in arrays whose last axis has length 4; other axes broadcast."""

from __future__ import annotations

import numpy as np

_UPSIDE_DOWN = 0.3
"""The cosine of half the tilt, here 145 degrees, from which on small errors would turn the heading far."""


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The rotation that does `second`, then `first`."""
    w, v = first[..., :1], first[..., 1:]
    other_w, other_v = second[..., :1], second[..., 1:]
    scalar = w * other_w - (v * other_v).sum(axis=-1, keepdims=True)
    return np.concatenate([scalar, w * other_v + other_w * v + np.cross(v, other_v)], axis=-1)


def inverse(quaternions: np.ndarray) -> np.ndarray:
    return quaternions * np.array([1.0, -1.0, -1.0, -1.0])


def conjugated(turn: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """The rotations about axes that are turned: `turn * q * turn⁻¹`."""
    return np.concatenate([quaternions[..., :1], rotated(turn, quaternions[..., 1:])], axis=-1)


def rotated(quaternions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors [...,3], each turned by its quaternion."""
    w, v = quaternions[..., :1], quaternions[..., 1:]
    across = 2 * np.cross(v, vectors)
    return vectors + w * across + np.cross(v, across)


def matrices_of(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices [...,3,3] of unit quaternions [...,4] (w, x, y, z)."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def headings(quaternions: np.ndarray) -> np.ndarray:
    """The part of each rotation [K,4] that turns about Z: what is left of it is a tilt about a level axis.

    Somebody upside down has no heading; it is taken from the frames before and after that.
    """
    w, z = quaternions[:, 0], quaternions[:, 3]
    known = np.flatnonzero(np.hypot(w, z) > _UPSIDE_DOWN)
    if not len(known):
        known = np.arange(len(w))
    angles = np.interp(np.arange(len(w)), known, np.unwrap(2 * np.arctan2(z[known], w[known])))
    level = np.zeros(len(w))
    return np.stack([np.cos(angles / 2), level, level, np.sin(angles / 2)], axis=-1)
