# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit quaternions (w, x, y, z) in arrays whose last axis has length 4; other axes broadcast."""

from __future__ import annotations

import numpy as np


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


def headings(quaternions: np.ndarray) -> np.ndarray:
    """The part of each rotation that turns about Z: what is left of it is a tilt about a level axis.

    Not defined for somebody upside down, where it is no turn at all.
    """
    about_z = quaternions * np.array([1.0, 0.0, 0.0, 1.0])
    lengths = np.linalg.norm(about_z, axis=-1, keepdims=True)
    return np.where(lengths > 1e-6, about_z / np.maximum(lengths, 1e-6), [1.0, 0.0, 0.0, 0.0])
