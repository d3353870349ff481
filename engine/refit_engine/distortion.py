# SPDX-License-Identifier: GPL-3.0-or-later
"""Lens distortion: OpenCV's model and those of Blender's movie clips.

Pixels have their origin at the corner of the first pixel; K [3,3] has no skew. Points are divided by K to normalised
coordinates (x right, y down), where a lens moves the ideal point (x, y) to the one in the taken picture, with
r² = x² + y²:

opencv      k1, k2, p1, p2[, k3[, k4, k5, k6]]: (x, y) (1 + k1 r² + k2 r⁴ + k3 r⁶) / (1 + k4 r² + k5 r⁴ + k6 r⁶) +
            (2 p1 x y + p2 (r² + 2 x²), p1 (r² + 2 y²) + 2 p2 x y)
polynomial  k1, k2, k3: (x, y) (1 + k1 r² + k2 r⁴ + k3 r⁶)
division    k1, k2: (x, y) / (1 + k1 r² + k2 r⁴)
nuke        k1, k2, the other way round: the ideal point is (x, y) / (1 + k1 s² + k2 s⁴) of the taken one, where s is
            its distance from the principal point in halves of the picture's longer side
brown       k1, k2, k3, k4, p1, p2: (x, y) (1 + k1 r² + k2 r⁴ + k3 r⁶ + k4 r⁸) +
            (p1 (r² + 2 x²) + 2 p2 x y, p2 (r² + 2 y²) + 2 p1 x y); Blender counts y upwards, so its p2 is minus this

Sources: OpenCV's page "Camera Calibration and 3D Reconstruction"; Blender's libmv, `distortion_models.h`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from .errors import ImageError

DistortionModel = Literal["opencv", "polynomial", "division", "nuke", "brown"]

_COUNTS: dict[DistortionModel, tuple[int, ...]] = {
    "opencv": (4, 5, 8),
    "polynomial": (3,),
    "division": (2,),
    "nuke": (2,),
    "brown": (6,),
}
_NEWTON_STEPS = 30
_CONVERGED = 1e-10  # of the focal length: far below a hundredth of a pixel


def known_model(name: str) -> DistortionModel:
    """The model of that name. Raises ImageError where there is none."""
    for model in _COUNTS:
        if model == name:
            return model
    raise ImageError(f"The lens distortion model must be one of {', '.join(_COUNTS)}, not “{name}”.")


@dataclass(frozen=True)
class Distortion:
    """How a lens bends a picture.

    coefficients: in the order of this module's table. size: (width, height) of the picture in pixels, which only the
    model "nuke" needs. Raises ImageError for an unknown model and a number of coefficients that it does not have.
    """

    model: DistortionModel
    coefficients: tuple[float, ...]
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        known_model(self.model)
        values = tuple(float(value) for value in self.coefficients)
        if len(values) not in _COUNTS[self.model] or not np.isfinite(values).all():
            counts = " or ".join(map(str, _COUNTS[self.model]))
            raise ImageError(f"The lens distortion model “{self.model}” takes {counts} finite coefficients.")
        object.__setattr__(self, "coefficients", values)

    @classmethod
    def opencv(cls, coefficients: Sequence[float]) -> Distortion:
        """OpenCV's (k1, k2, p1, p2[, k3[, k4, k5, k6]])."""
        return cls("opencv", tuple(coefficients))

    @property
    def nothing(self) -> bool:
        """Whether the lens does not distort at all."""
        return not any(self.coefficients)


def undistort_image(image: np.ndarray, K: np.ndarray, distortion: Distortion) -> tuple[np.ndarray, np.ndarray]:
    """The picture [H,W,3] as a lens without distortion would have taken it, and its K: same size, same K.

    What the taken picture does not show is black, and so is what lies beyond the radius to which the model is
    meaningful, where polynomials would show the middle once more.
    """
    if distortion.nothing:
        return image, K
    height, width = image.shape[:2]
    distortion = replace(distortion, size=(width, height))
    columns, rows = np.tile(np.arange(int(width)) + 0.5, height), np.repeat(np.arange(int(height)) + 0.5, width)
    pixels = np.stack([columns, rows], axis=1)
    taken = distort_points(pixels, K, distortion) - 0.5  # OpenCV counts from the centre of the first pixel
    taken[np.linalg.norm(_normalised(pixels, K), axis=1) > _valid_radius(K, distortion)] = -2.0
    maps = taken.astype(np.float32).reshape(height, width, 2)
    flags = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_CONSTANT}
    # OpenCV's stubs do not know that the second map may be missing.
    remap: Any = cv2.remap
    return remap(image, maps, None, **flags), K


def undistort_points(points: np.ndarray, K: np.ndarray, distortion: Distortion) -> np.ndarray:
    """Where pixels [N,2] of the taken picture lie in the undistorted one [N,2], or the nearest to that there is."""
    backward = distortion.model == "nuke"
    function = _function(K, distortion)
    points = _normalised(points, K)
    return _pixels(function(points) if backward else _solve(function, points), K)


def distort_points(points: np.ndarray, K: np.ndarray, distortion: Distortion) -> np.ndarray:
    """Where pixels [N,2] of the undistorted picture lie in the taken one [N,2]."""
    backward = distortion.model == "nuke"
    function = _function(K, distortion)
    points = _normalised(points, K)
    return _pixels(_solve(function, points) if backward else function(points), K)


def undistort_box(box_xywh: np.ndarray, K: np.ndarray, distortion: Distortion) -> np.ndarray:
    """The box (x, y, w, h) around what a box of the taken picture becomes in the undistorted one."""
    x, y, w, h = box_xywh
    steps = np.linspace(0.0, 1.0, 9)
    border = [(x + s * w, y + e * h) for s in steps for e in (0.0, 1.0)]
    border += [(x + e * w, y + s * h) for s in steps for e in (0.0, 1.0)]
    moved = undistort_points(np.array(border), K, distortion)
    low, high = moved.min(axis=0), moved.max(axis=0)
    return np.concatenate([low, high - low])


def _normalised(pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    return (np.asarray(pixels, dtype=np.float64).reshape(-1, 2) - K[:2, 2]) / K[[0, 1], [0, 1]]


def _pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    return points * K[[0, 1], [0, 1]] + K[:2, 2]


def _function(K: np.ndarray, distortion: Distortion) -> Callable[[np.ndarray], np.ndarray]:
    """The model as a function of normalised points [N,2]: ideal to taken, but for "nuke" taken to ideal."""
    c = distortion.coefficients
    match distortion.model:
        case "opencv":
            k1, k2, p1, p2, k3, k4, k5, k6 = c + (0.0,) * (8 - len(c))
            return lambda points: _bend(points, (k1, k2, k3), (k4, k5, k6), (p2, p1))
        case "polynomial":
            return lambda points: _bend(points, c)
        case "division":
            return lambda points: _bend(points, (), c)
        case "brown":
            return lambda points: _bend(points, c[:4], (), c[4:])
        case "nuke":
            return lambda points: _bend(points, (), _nuke_coefficients(K, distortion))


def _nuke_coefficients(K: np.ndarray, distortion: Distortion) -> tuple[float, float]:
    """k1, k2 for distances in focal lengths."""
    if distortion.size is None:
        raise ImageError("The lens distortion model “nuke” needs the size of the picture.")
    # Blender measures a pixel's width on both axes.
    ratio = (K[0, 0] / (max(distortion.size[0], distortion.size[1] * K[0, 0] / K[1, 1]) / 2)) ** 2
    k1, k2 = distortion.coefficients
    return k1 * ratio, k2 * ratio**2


def _bend(
    points: np.ndarray,
    numerator: Sequence[float],
    denominator: Sequence[float] = (),
    tangential: Sequence[float] = (0.0, 0.0),
) -> np.ndarray:
    """points [N,2] times a fraction of two polynomials in r² (without their constant 1), plus the tangential part.

    tangential: the factor of (r² + 2x², 2xy) and that of (2xy, r² + 2y²).
    """
    squared = (points**2).sum(axis=1, keepdims=True)
    radial = _polynomial(numerator, squared) / _polynomial(denominator, squared)
    bent = points * radial
    if any(tangential):
        both = 2 * points[:, :1] * points[:, 1:]
        own = squared + 2 * points**2
        a, b = tangential
        bent = bent + np.concatenate([a * own[:, :1] + b * both, b * own[:, 1:] + a * both], axis=1)
    return bent


def _polynomial(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    """1 + c1 x + c2 x² …, by Horner's rule."""
    value = np.zeros_like(x)
    for coefficient in (*reversed(coefficients), 1.0):
        value = value * x + coefficient
    return value


def _solve(function: Callable[[np.ndarray], np.ndarray], target: np.ndarray) -> np.ndarray:
    """Points [N,2] that the function moves to `target`, by Newton's method from there; else the nearest on the way."""
    found = best = target
    error = np.full(len(target), np.inf)
    step = 1e-6
    for _ in range(_NEWTON_STEPS):
        residual = function(found) - target
        now = np.linalg.norm(residual, axis=1)
        better = now < error
        best, error = np.where(better[:, None], found, best), np.where(better, now, error)
        if error.max(initial=0.0) < _CONVERGED:
            break
        along_x = (function(found + [step, 0.0]) - function(found - [step, 0.0])) / (2 * step)
        along_y = (function(found + [0.0, step]) - function(found - [0.0, step])) / (2 * step)
        determinant = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]
        determinant = np.where(np.abs(determinant) < 1e-3, 1e-3, determinant)
        move = np.stack(
            [
                along_y[:, 1] * residual[:, 0] - along_y[:, 0] * residual[:, 1],
                along_x[:, 0] * residual[:, 1] - along_x[:, 1] * residual[:, 0],
            ],
            axis=1,
        )
        move /= determinant[:, None]
        # Near the radius where a polynomial turns back, a whole step would leave the part that makes sense.
        length = np.linalg.norm(move, axis=1, keepdims=True)
        found = found - move * np.minimum(1.0, 0.3 / np.maximum(length, 1e-12))
    return best


def _valid_radius(K: np.ndarray, distortion: Distortion) -> float:
    """Distance from the principal point, undistorted and in focal lengths, up to which the radial part grows."""
    radii = np.linspace(0.0, 4.0, 4001)
    points = np.stack([radii, np.zeros_like(radii)], axis=1)
    straight = replace(distortion, coefficients=_without_tangential(distortion))
    moved = _function(K, straight)(points)[:, 0]
    turns = np.flatnonzero(np.diff(moved) <= 0)
    if not turns.size:
        return np.inf
    return float(moved[turns[0]] if distortion.model == "nuke" else radii[turns[0]])


def _without_tangential(distortion: Distortion) -> tuple[float, ...]:
    c = distortion.coefficients
    match distortion.model:
        case "opencv":
            return (*c[:2], 0.0, 0.0, *c[4:])
        case "brown":
            return (*c[:4], 0.0, 0.0)
        case _:
            return c
