# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinhole intrinsics of a photo.

Frames: X right, Y down, Z forward, metres. Pixels: the origin is the corner of the first pixel, so that its centre
is at (0.5, 0.5) and the centre of a w x h image at (w/2, h/2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import ImageError

FOCAL_RANGE = (0.005, 1000.0)
"""Of the picture's longer side; lenses for people have 0.1 to 60."""

FocalSource = Literal["scene", "exif", "default", "user", "lines"]


@dataclass(frozen=True)
class Intrinsics:
    """Camera matrix of an image.

    K: [3,3] float64, pixels, origin at the corner of the first pixel, no skew.
    source: who said so: the scene's camera, the photo's EXIF, the user, straight lines in the picture, or nobody (the default
    focal length).
    """

    K: np.ndarray
    source: FocalSource

    @property
    def focal(self) -> np.ndarray:
        """(fx, fy) in pixels."""
        return self.K[[0, 1], [0, 1]]

    @property
    def principal(self) -> np.ndarray:
        """(cx, cy) in pixels."""
        return self.K[:2, 2]


def default_focal(width: int, height: int) -> float:
    """Focal length in pixels of a photo about which nothing is known: its diagonal (about 55 degrees of view)."""
    return float(np.hypot(width, height))


def camera_matrix(focal: float, width: int, height: int) -> np.ndarray:
    """K [3,3] of a camera with square pixels whose axis meets the middle of the image."""
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def choose_intrinsics(
    width: int,
    height: int,
    *,
    K: np.ndarray | None = None,
    focal: float | None = None,
    exif_focal: float | None = None,
) -> Intrinsics:
    """The best known camera of an image: the scene's K, else the user's focal length, else EXIF's, else the default.

    Lengths in pixels. Raises ImageError where K or the focal length cannot belong to an image of this size.
    """
    if K is not None:
        return Intrinsics(_checked_matrix(K, width, height), "scene")
    if focal is not None:
        if not (np.isfinite(focal) and focal > 0):
            raise ImageError(f"The focal length must be a positive number of pixels, not {focal}.")
        _check_focal(focal, width, height)
        return Intrinsics(camera_matrix(focal, width, height), "user")
    if exif_focal is not None:
        return Intrinsics(camera_matrix(exif_focal, width, height), "exif")
    return Intrinsics(camera_matrix(default_focal(width, height), width, height), "default")


def _check_focal(focal: float, width: int, height: int) -> None:
    low, high = FOCAL_RANGE
    if not low < focal / max(width, height) < high:
        raise ImageError(
            f"A focal length of {focal:.6g} pixels cannot be that of a picture of {width}x{height} pixels."
        )


def _checked_matrix(K: np.ndarray, width: int, height: int) -> np.ndarray:
    K = np.asarray(K, dtype=np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all() or abs(np.linalg.det(K)) < 1e-12:
        raise ImageError("The camera matrix K must be an invertible 3x3 matrix of finite numbers.")
    K = K / K[2, 2] if K[2, 2] else K
    if K[0, 0] <= 0 or K[1, 1] <= 0 or np.abs(K[[1, 2, 2], [0, 0, 1]]).max() > 1e-9:
        raise ImageError("The camera matrix K must be upper triangular with positive focal lengths.")
    for focal in K[[0, 1], [0, 1]]:
        _check_focal(float(focal), width, height)
    if abs(K[0, 1]) > 1e-3 * K[0, 0]:
        raise ImageError("Cameras with skewed pixels are not supported.")
    # A shifted lens may well put the principal point outside the image, but not by many images.
    offset = np.abs(K[:2, 2] - (width / 2, height / 2)) / (width, height)
    if offset.max() > 5:
        raise ImageError(
            f"The camera's principal point ({K[0, 2]:.10g}, {K[1, 2]:.10g}) is far outside the {width}x{height} image."
        )
    return K


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixels [...,2] (corner origin) of camera-frame points [...,3] in metres; NaN for points behind the camera."""
    depth = points[..., 2:]
    depth = np.where(depth > 1e-6, depth, np.nan)
    return points[..., :2] / depth * K[[0, 1], [0, 1]] + K[:2, 2]
