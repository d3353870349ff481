# SPDX-License-Identifier: GPL-3.0-or-later
"""What every calibration file says in the end, and the checks that all formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CalibrationError

# OpenCV counts pixels from the centre of the first one, Blender and the engine from its corner.
CENTRE_TO_CORNER = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
DISTORTION_COUNTS = (4, 5, 8)


@dataclass(frozen=True)
class CalibratedCamera:
    """One camera of a file.

    size: (width, height) of its pictures in pixels, None where the file does not say. K: [3,3] pixels, origin at the
    corner of the first pixel. R: [3,3], t: [3], world to camera (X right, Y down, Z forward), in the file's world and
    unit. distortion: OpenCV's k1, k2, p1, p2[, k3[, k4, k5, k6]], empty for none. picture: name of its picture
    relative to some folder, where the file says so.
    """

    name: str
    size: tuple[int, int] | None
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    distortion: tuple[float, ...] = ()
    picture: str | None = None

    @property
    def centre(self) -> np.ndarray:
        """Where the camera stands [3], in the file's world and unit."""
        return -self.R.T @ self.t


@dataclass(frozen=True)
class Calibration:
    """The cameras of one file, or of several that belong together.

    label: the format's name, for people. metric: whether lengths mean anything in this format.
    """

    label: str
    cameras: tuple[CalibratedCamera, ...]
    metric: bool = True


def make_camera(
    name: str,
    where: str,
    *,
    K: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    size: tuple[int, int] | None = None,
    distortion: Sequence[float] = (),
    picture: str | None = None,
) -> CalibratedCamera:
    """A camera whose numbers make sense. Raises CalibrationError, beginning with `where`, for those that do not."""
    if not all(np.isfinite(part).all() for part in (K, R, t, np.asarray(distortion, dtype=np.float64))):
        raise CalibrationError(f"{where} holds numbers that are not finite.")
    if K[2, 2] == 0 or K[0, 0] / K[2, 2] <= 0 or K[1, 1] / K[2, 2] <= 0:
        raise CalibrationError(f"{where}: the camera matrix has no positive focal lengths on its diagonal.")
    K = K / K[2, 2]
    if abs(K[0, 1]) > 1e-3 * K[0, 0]:
        raise CalibrationError(f"{where}: cameras with skewed pixels are not supported.")
    if np.abs([K[1, 0], K[2, 0], K[2, 1]]).max() > 1e-6:
        raise CalibrationError(f"{where}: the camera matrix is not upper triangular.")
    if size and min(size) < 1:
        raise CalibrationError(f"{where}: the picture size {size[0]} x {size[1]} is no size.")
    straight = np.array([[K[0, 0], 0.0, K[0, 2]], [0.0, K[1, 1], K[1, 2]], [0.0, 0.0, 1.0]])
    rotation = _nearest_rotation(R)
    if rotation is None:
        raise CalibrationError(f"{where}: the rotation is no rotation matrix.")
    coefficients = _trimmed(distortion, where)
    return CalibratedCamera(name, size, straight, rotation, np.asarray(t, dtype=np.float64), coefficients, picture)


def _nearest_rotation(R: np.ndarray) -> np.ndarray | None:
    """R [3,3] without the noise of rounded digits; None where it is something else."""
    left, _, right = np.linalg.svd(R)
    rotation = left @ right
    return rotation if np.linalg.det(rotation) > 0 and np.abs(rotation - R).max() < 0.01 else None


def _trimmed(distortion: Sequence[float], where: str) -> tuple[float, ...]:
    """The coefficients filled up to a number that OpenCV knows; empty where all are 0."""
    values = [float(value) for value in distortion]
    while values and values[-1] == 0:
        values.pop()
    if not values:
        return ()
    if len(values) > DISTORTION_COUNTS[-1]:
        raise CalibrationError(
            f"{where}: {len(values)} distortion coefficients; thin prism and tilted sensor models are not supported."
        )
    count = next(count for count in DISTORTION_COUNTS if count >= len(values))
    return tuple(values + [0.0] * (count - len(values)))


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """R [3,3] of a rotation vector [3] in radians (Rodrigues' formula)."""
    x, y, z = vector
    angle = float(np.linalg.norm(vector))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-12:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross)


def rotation_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """R [3,3] of a quaternion (w, x, y, z) of any length but 0."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def numbers(value: Any, count: int | None, where: str) -> np.ndarray:
    """`value` as a flat array of `count` finite numbers (None: any). Raises CalibrationError beginning with `where`."""
    try:
        array = np.array(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise CalibrationError(f"{where} must hold numbers only.") from None
    if count is not None and array.size != count:
        raise CalibrationError(f"{where} must hold {count} numbers, not {array.size}.")
    if not np.isfinite(array).all():
        raise CalibrationError(f"{where} must hold finite numbers.")
    return array
