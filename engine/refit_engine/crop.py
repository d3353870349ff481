# SPDX-License-Identifier: GPL-3.0-or-later
"""The square around a person that the network sees, and what it means for the camera.

A crop may be rolled: the camera is thought to turn about its own axis until the person stands upright, and a plain
axis-aligned square is cut from the picture that this turned camera would take. A roll moves pixels as
`p' = Rot(roll) (p - principal) + principal` and camera-frame points as `X' = Rz(roll) X`, so the geometry stays
exact; pixels with fx != fy are made square on the way. Both, and the scaling to the crop, are one affine warp.

Pixels: origin at the corner of the first pixel. `source` pixels are those of the image file, `rolled` pixels those of
the turned camera with square pixels of focal length fx and the same principal point.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Intrinsics

CROP_SIZE = 256
BOX_PADDING = 1.2  # published: side = 1.2 max(w, h)
RESERVE = 1.5  # resolution kept before the warp: less blurs, more lets fine texture alias
STEPS = 4096  # of a side: a sixteenth of a crop's pixel, much less than any landmark's error
TURN_STEP = np.pi / 2 / 6144  # as much at the rim; quarter turns are whole steps, as pictures lie on their side
ROI_PADDING = 1.25  # MediaPipe's pose landmark graph: the square is 1.25 times the circle around the body


@dataclass(frozen=True)
class Crop:
    """A square of the image, in source pixels.

    center: [2] source pixels; side: source pixels (along x); roll: radians, the turn that makes the person upright.
    """

    center: np.ndarray
    side: float
    roll: float = 0.0


def box_crop(box_xywh: np.ndarray, intrinsics: Intrinsics, roll: float = 0.0) -> Crop:
    """The published crop around a box (x, y, w, h) of source pixels: a square of 1.2 times its longer side."""
    x, y, w, h = (float(value) for value in box_xywh)
    fx, fy = intrinsics.focal
    return Crop(np.array([x + w / 2, y + h / 2]), BOX_PADDING * max(w, h * fx / fy), roll)


def upright_crop(first: Crop, intrinsics: Intrinsics, hip: np.ndarray, top: np.ndarray) -> Crop:
    """The crop that the backbone was trained on: centred on the hips and turned so that the body points up.

    first: the crop in whose pixels (0 to 256) the two points were found.
    hip, top: [2] BlazePose's auxiliary landmarks 33 (mid-hip) and 34 (the end of the body's circle, upwards).
    """
    to_crop = crop_matrix(first, intrinsics)
    hip, top = transform(invert(to_crop), np.stack([hip, top]))
    # Lengths and angles are measured in square pixels.
    up = (top - hip) * (1.0, intrinsics.focal[0] / intrinsics.focal[1])
    radius = float(np.hypot(*up))
    if not np.isfinite(radius) or radius < 1e-3 * first.side:
        return first
    # Rot(roll) shall bring `up` to (0, -1).
    roll = float(np.arctan2(-up[0], -up[1]))
    return Crop(hip, 2 * ROI_PADDING * radius, roll)


def rounded_crop(crop: Crop) -> Crop:
    """The crop in whole STEPS: a network's last digits, which depend on the number of threads, change no pixel."""
    step = 2.0 ** np.rint(np.log2(crop.side / STEPS))
    center, side = np.rint(crop.center / step) * step, float(np.rint(crop.side / step) * step)
    return Crop(center, side, round(crop.roll / TURN_STEP) * TURN_STEP)


def rotation_2d(angle: float) -> np.ndarray:
    """[2,2] turn of pixels by `angle` radians, clockwise on the screen because y points down."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def roll_rotation(roll: float) -> np.ndarray:
    """Rz(roll) [3,3]: camera-frame points X become X' = Rz(roll) X in the rolled camera."""
    rotation = np.eye(3)
    rotation[:2, :2] = rotation_2d(roll)
    return rotation


def roll_matrix(roll: float, intrinsics: Intrinsics) -> np.ndarray:
    """Affine [2,3] from source pixels to rolled, square pixels."""
    fx, fy = intrinsics.focal
    linear = rotation_2d(roll) @ np.diag([1.0, fx / fy])
    return np.column_stack([linear, intrinsics.principal - linear @ intrinsics.principal])


def rolled_center(crop: Crop, intrinsics: Intrinsics) -> np.ndarray:
    """The crop's centre [2] in rolled pixels, the one that the network's camera refers to."""
    return transform(roll_matrix(crop.roll, intrinsics), crop.center[None])[0]


def crop_matrix(crop: Crop, intrinsics: Intrinsics) -> np.ndarray:
    """Affine [2,3] from source pixels to crop pixels (0 to 256, corner origin)."""
    affine = roll_matrix(crop.roll, intrinsics)
    scale = CROP_SIZE / crop.side
    corner = rolled_center(crop, intrinsics) - crop.side / 2
    return scale * np.column_stack([affine[:, :2], affine[:, 2] - corner])


def transform(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N,2] under an affine [2,3]."""
    return points @ affine[:, :2].T + affine[:, 2]


def invert(affine: np.ndarray) -> np.ndarray:
    """Inverse [2,3] of an affine [2,3]."""
    inverse = np.linalg.inv(affine[:, :2])
    return np.column_stack([inverse, -inverse @ affine[:, 2]])


def cut(image: np.ndarray, crop: Crop, intrinsics: Intrinsics) -> np.ndarray:
    """The crop's pixels [256,256,3] uint8 of an image [H,W,3] uint8; black outside the image.

    Crops larger than 256 pixels are antialiased: the part of the image that is needed is first shrunk by area
    averaging to RESERVE times the crop's resolution, then warped bilinearly.
    """
    affine = crop_matrix(crop, intrinsics)
    image, affine = _shrink(image, affine)
    # cv2 counts from the centre of the first pixel on both sides.
    linear = affine[:, :2]
    shifted = np.column_stack([linear, affine[:, 2] + linear @ (0.5, 0.5) - 0.5])
    return cv2.warpAffine(image, shifted, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))


def _shrink(image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut out the part of the image that the crop covers and shrink it where the warp would skip pixels."""
    height, width = image.shape[:2]
    corners = transform(invert(affine), CROP_SIZE * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    # A margin of two crop pixels keeps the black border's soft edge where it is in the whole image.
    margin = 2.0 / np.sqrt(abs(np.linalg.det(affine[:, :2]))) + 2.0
    low = np.clip(np.floor(corners.min(axis=0) - margin), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + margin), 0, (width, height)).astype(int)
    if (high <= low).any():
        return image[:1, :1] * 0, affine
    part = image[low[1] : high[1], low[0] : high[0]]
    linear, offset = affine[:, :2], affine[:, 2] + affine[:, :2] @ low
    density = np.minimum(1.0, RESERVE * np.linalg.norm(linear, axis=0))
    target = np.maximum(np.ceil((high - low) * density), 1).astype(int)
    if (target < high - low).any():
        part = cv2.resize(part, (int(target[0]), int(target[1])), interpolation=cv2.INTER_AREA)
        linear = linear * ((high - low) / target)
    return part, np.column_stack([linear, offset])
