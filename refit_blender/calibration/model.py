# SPDX-License-Identifier: GPL-3.0-or-later
"""What every calibration file says in the end, and the checks that all formats share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CalibrationError
from .files import shown

# OpenCV counts pixels from the centre of the first one, Blender and the engine from its corner.
CENTRE_TO_CORNER = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
DISTORTION_COUNTS = (4, 5, 8)
# Blender renders no larger pictures.
LARGEST_SIDE = 65536
# Of pixels, and of lengths in the file's unit: what is larger is a damaged number.
_LARGEST_NUMBER = 1e9
# Of the principal point from the picture's middle, in pictures; the engine takes no more.
_FARTHEST_CENTRE = 5.0
# How many times as wide as high pixels may be, or the other way round; anamorphic lenses have 2.
_LARGEST_PIXEL_ASPECT = 10.0


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

    label: the format's name, for people. metric: whether lengths mean anything in this format. remarks: sentences for
    the user.
    """

    label: str
    cameras: tuple[CalibratedCamera, ...]
    metric: bool = True
    remarks: tuple[str, ...] = ()


def make_camera(
    name: str,
    where: str,
    *,
    K: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    size: tuple[int, int] | None = None,
    distortion: Sequence[float] | np.ndarray = (),
    picture: str | None = None,
) -> CalibratedCamera:
    """A camera whose numbers make sense. Raises CalibrationError, beginning with `where`, for those that do not."""
    if not name or not name.isprintable():
        raise CalibrationError(f"{where}: the camera's name is empty or has characters that cannot be shown.")
    if size and min(size) < 1:
        raise CalibrationError(f"{where}: the picture size {size[0]} x {size[1]} is no size.")
    if size and max(size) > LARGEST_SIDE:
        raise CalibrationError(f"{where}: a picture cannot have more than {LARGEST_SIDE} pixels on a side.")
    rotation = _nearest_rotation(R)
    if rotation is None:
        raise CalibrationError(f"{where}: the rotation is no rotation matrix.")
    coefficients = np.asarray(distortion, dtype=np.float64)
    if not all(np.abs(part).max(initial=0) < _LARGEST_NUMBER for part in (t, coefficients)):
        raise CalibrationError(f"{where} holds numbers that are not finite, or far too large.")
    K = _straight(K, where)
    if size and np.abs(K[:2, 2] / size - 0.5).max() > _FARTHEST_CENTRE:
        raise CalibrationError(f"{where}: the principal point ({K[0, 2]:g}, {K[1, 2]:g}) is far outside the picture.")
    t = np.asarray(t, dtype=np.float64)
    return CalibratedCamera(name, size, K, rotation, t, _trimmed(coefficients, where), picture)


def _straight(K: np.ndarray, where: str) -> np.ndarray:
    """K [3,3] with K[2,2] = 1 and nothing but focal lengths and principal point. Raises CalibrationError."""
    with np.errstate(all="ignore"):
        K = K / K[2, 2]
    if not np.abs(K).max() < _LARGEST_NUMBER:
        raise CalibrationError(f"{where}: the camera matrix holds numbers that are not finite, or far too large.")
    if min(K[0, 0], K[1, 1]) <= 0:
        raise CalibrationError(f"{where}: the camera matrix has no positive focal lengths on its diagonal.")
    if not 1 / _LARGEST_PIXEL_ASPECT < K[0, 0] / K[1, 1] < _LARGEST_PIXEL_ASPECT:
        raise CalibrationError(f"{where}: the focal lengths {K[0, 0]:g} and {K[1, 1]:g} do not belong to one lens.")
    if abs(K[0, 1]) > 1e-3 * K[0, 0]:
        raise CalibrationError(f"{where}: cameras with skewed pixels are not supported.")
    if np.abs([K[1, 0], K[2, 0], K[2, 1]]).max() > 1e-6:
        raise CalibrationError(f"{where}: the camera matrix is not upper triangular.")
    return np.array([[K[0, 0], 0.0, K[0, 2]], [0.0, K[1, 1], K[1, 2]], [0.0, 0.0, 1.0]])


def _nearest_rotation(R: np.ndarray) -> np.ndarray | None:
    """R [3,3] without the noise of rounded digits; None where it is something else."""
    if not np.abs(R).max() < 2:
        return None
    left, _, right = np.linalg.svd(R)
    rotation = left @ right
    return rotation if np.linalg.det(rotation) > 0 and np.abs(rotation - R).max() < 0.01 else None


def _trimmed(distortion: np.ndarray, where: str) -> tuple[float, ...]:
    """The coefficients filled up to a number that OpenCV knows; empty where all are 0."""
    values = distortion.tolist()
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


def size_of_list(values: Sequence[float] | np.ndarray, K: np.ndarray) -> tuple[int, int]:
    """(width, height) of two numbers in either order: Python programs often write an array's shape.

    The other order is taken where only that has the principal point of K [3,3] near its middle.
    """
    width, height = (round(value) for value in values)

    def off_centre(width: int, height: int) -> float:
        centre = K[:2, 2] / K[2, 2] if K[2, 2] else K[:2, 2]
        return float(np.abs(centre / np.maximum((width, height), 1) - 0.5).max())

    swapped = off_centre(width, height) > 0.12 and off_centre(height, width) < 0.05
    return (height, width) if swapped else (width, height)


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
    except (TypeError, ValueError, OverflowError):
        raise CalibrationError(f"{where} must hold numbers only.") from None
    if count is not None and array.size != count:
        raise CalibrationError(f"{where} must hold {count} numbers, not {array.size}.")
    if not np.isfinite(array).all():
        raise CalibrationError(f"{where} must hold finite numbers.")
    return array


# What the names of lens models mean that are no pinholes: by a part of the name, or by one of its words.
_NO_PINHOLE_PARTS = {
    "fisheye": "fisheye",
    "equidistant": "fisheye (equidistant)",
    "kannala": "fisheye (Kannala-Brandt)",
    "ftheta": "fisheye",
    "omnidir": "omnidirectional",
    "scaramuzza": "omnidirectional",
    "catadioptric": "omnidirectional",
    "doublesphere": "omnidirectional",
    "panoram": "panoramic",
    "spherical": "panoramic",
    "orthographic": "orthographic",
    "thinprism": "thin prism",
}
_NO_PINHOLE_WORDS = {
    "equi": "fisheye (equidistant)",
    "kb": "fisheye (Kannala-Brandt)",
    "kb4": "fisheye (Kannala-Brandt)",
    "kb8": "fisheye (Kannala-Brandt)",
    "fov": "fisheye",
    "omni": "omnidirectional",
    "mei": "omnidirectional",
    "cmei": "omnidirectional",
    "unified": "omnidirectional",
    "ucm": "omnidirectional",
    "eucm": "omnidirectional",
    "ds": "omnidirectional",
    "division": "division",
    "inverse": "inverse",
}
_PINHOLE_PARTS = ("plumbbob", "radtan", "radial", "brown", "rational", "opencv", "pinhole", "perspective", "polynomial")
_PINHOLE_PARTS += ("none", "standard", "nodistortion", "rectilinear")


def check_lens(model: str, where: str, *, must_be_known: bool) -> None:
    """Raises CalibrationError for a lens model by whose name it is no pinhole with OpenCV's distortion.

    must_be_known: whether a name that says nothing is refused, too.
    """
    words = re.findall(r"[a-z0-9]+", model.lower())
    name = "".join(words)
    kind = next((kind for part, kind in _NO_PINHOLE_PARTS.items() if part in name), "")
    kind = kind or next((_NO_PINHOLE_WORDS[word] for word in words if word in _NO_PINHOLE_WORDS), "")
    if kind:
        raise CalibrationError(f"{where}: {kind} lenses are not supported (“{shown(model)}”).")
    if must_be_known and name and not any(part in name for part in _PINHOLE_PARTS):
        raise CalibrationError(f"{where}: the lens model “{shown(model)}” is not known.")
