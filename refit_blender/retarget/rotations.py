# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation matrices [...,3,3], which turn column vectors."""

from __future__ import annotations

import numpy as np

from ..motion_keys import quaternions_of, slerp
from ..quaternions import matrices_of


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [...,3] with length 1; those without a length stay as they are."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def about(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotations by angles [...] in radians about unit axes [...,3]."""
    half = angles[..., None] / 2
    return matrices_of(np.concatenate([np.cos(half), np.sin(half) * axes], axis=-1))


def between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations that turn directions [...,3] into others."""
    start, end = unit(start), unit(end)
    axes = np.cross(start, end)
    sine, cosine = np.linalg.norm(axes, axis=-1), (start * end).sum(axis=-1)
    helper = np.where(np.abs(start[..., :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0])
    axes = np.where(sine[..., None] > 1e-9, axes, np.cross(start, helper))
    return about(unit(axes), np.arctan2(sine, cosine))


def mixed(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Rotations [F,3,3] on the shorter way from the first to the second."""
    return matrices_of(slerp(quaternions_of(first), quaternions_of(second), np.full(len(first), share)))
