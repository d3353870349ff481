# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies drawn over the photo: half-transparent shaded meshes, nearest last, everything at the photo's resolution.

Parts that the picture does not show, which are guessed, are hatched.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .camera import project

# One tint per person, RGB; told apart also by people with colour-blindness (after Okabe and Ito).
TINTS = np.array(
    [[125, 195, 250], [250, 185, 80], [80, 210, 170], [235, 155, 205], [245, 230, 110], [245, 140, 85]], np.float32
)
OPACITY = 0.75
HATCH, BETWEEN = 60, 0.3
"""Stripes along the picture's longer side, across guessed parts, and how much of the body is left between them."""
_NEAR = 0.05  # metres
_MAX_SAMPLES = 4_000_000
_LAMP = np.array([-0.45, -0.7, -0.55]) / np.linalg.norm([-0.45, -0.7, -0.55])  # above the camera's left


class _Triangles(NamedTuple):
    """What is to be painted, farthest first: corners [M,3,2] pixels, brightness [M,3] at them, tint [M,3] RGB, hatched [M]."""

    corners: np.ndarray
    brightness: np.ndarray
    tint: np.ndarray
    hatched: np.ndarray


def draw_overlay(
    image: np.ndarray,
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    guessed: np.ndarray | None = None,
) -> np.ndarray:
    """The photo with the bodies over it.

    image: [H,W,3] uint8 RGB; vertices_cam: [N,V,3] metres in the camera frame; faces: [F,3]; K: [3,3] pixels;
    guessed: [N,V] bool, vertices to be hatched (`guessed_vertices`), None for none.
    Returns a new [H,W,3] uint8.
    """
    result = image.copy()
    vertices_cam = np.asarray(vertices_cam, np.float64)
    if guessed is None:
        guessed = np.zeros(vertices_cam.shape[:2], dtype=bool)
    triangles = _visible_triangles(vertices_cam, faces, K, image.shape[1::-1], guessed)
    if not len(triangles.corners):
        return result
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(triangles.corners.min(axis=(0, 1))) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(triangles.corners.max(axis=(0, 1))) + 1, 0, size).astype(int)
    # Twice the resolution, averaged down, smooths the outline; a person who fills a huge photo does not need it.
    scale = 2 if 4 * np.prod(high - low) <= _MAX_SAMPLES else 1
    body, coverage = _paint(triangles, low, high - low, scale, max(2.0, max(image.shape[:2]) / HATCH))
    region = result[low[1] : high[1], low[0] : high[0]]
    region[:] = np.clip(region * (1 - OPACITY * coverage) + OPACITY * body + 0.5, 0, 255).astype(np.uint8)
    return result


def guessed_vertices(weights: np.ndarray, parents: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Which vertices [N,V] belong to parts all of whose bones are hidden.

    weights: [V,24] skin weights; parents: [24]; hidden: [N,24] bones by the joints that they end at (`shown.hidden_bones`).
    A joint's part is the bones from there to the joints that hang on it.
    """
    part = hidden.copy()
    for joint in set(parents[1:].tolist()):
        part[:, joint] = hidden[:, parents == joint].all(axis=1)
    return part @ weights.T.astype(np.float64) > 0.5


def _visible_triangles(
    vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray, size: tuple[int, int], guessed: np.ndarray
) -> _Triangles:
    """Those that face the camera and touch the picture."""
    parts: list[tuple[np.ndarray, ...]] = []
    for person, vertices in enumerate(vertices_cam):
        corners = vertices[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        kept = (np.einsum("fk,fk->f", normals, corners[:, 0]) < 0) & (corners[..., 2] > _NEAR).all(axis=1)
        pixels = project(corners[kept], K)
        touching = (pixels.max(axis=1) > 0).all(axis=1) & (pixels.min(axis=1) < size).all(axis=1)
        kept = np.flatnonzero(kept)[touching]
        brightness = _brightness(vertices, faces, normals)[faces[kept]]
        tint = np.broadcast_to(TINTS[person % len(TINTS)], (len(kept), 3))
        hatched = guessed[person][faces[kept]].sum(axis=1) > 1
        parts.append((pixels[touching], brightness, tint, hatched, corners[kept, :, 2].mean(axis=1)))
    if not parts:
        return _Triangles(np.empty((0, 3, 2)), np.empty((0, 3)), np.empty((0, 3)), np.empty(0, bool))
    *arrays, depth = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(-depth, kind="stable")
    return _Triangles(*(array[order] for array in arrays))


def _brightness(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """[V]: ambient light, a lamp, and less towards the outline, so that limbs look round."""
    smooth = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normals[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=1
    )
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True) + 1e-12
    view = -vertices / (np.linalg.norm(vertices, axis=1, keepdims=True) + 1e-12)
    facing = np.clip(np.einsum("vk,vk->v", smooth, view), 0, 1)
    lamp = np.clip(smooth @ _LAMP, 0, 1)
    return 0.22 + 0.5 * lamp + 0.42 * facing


def _paint(
    triangles: _Triangles, low: np.ndarray, size: np.ndarray, scale: int, stripe: float
) -> tuple[np.ndarray, np.ndarray]:
    """Colour times coverage [h,w,3] and coverage [h,w,1] (0 to 1) of the region of `size` that starts at `low`.

    stripe: pixels from one stripe of the hatching to the next.
    """
    width, height = (int(side) * scale for side in size)
    # First which triangle is seen where. OpenCV's origin is the centre of the first pixel; 4 bits are fractions.
    seen = np.zeros((height, width), np.int32)
    corners = (triangles.corners - low) * scale - 0.5
    fixed = np.round(np.clip(corners, -30_000, 60_000) * 16).astype(np.int32)
    for number, triangle in enumerate(fixed, start=1):
        cv2.fillConvexPoly(seen, triangle, number, cv2.LINE_8, 4)
    # Then its brightness there, linear between the corners.
    rows, columns = np.nonzero(seen)
    number = seen[rows, columns] - 1
    slope = _slopes(corners, triangles.brightness)[number]
    bright = slope[:, 0] * columns + slope[:, 1] * rows + slope[:, 2]
    bright = np.clip(bright, triangles.brightness.min(axis=1)[number], triangles.brightness.max(axis=1)[number])
    painted = np.zeros((height, width, 4), np.float32)
    painted[rows, columns, :3] = np.minimum(bright[:, None] * triangles.tint[number], 255)
    painted[rows, columns, 3] = 1
    between = (rows + columns) % (stripe * scale) > stripe * scale / 2
    painted[rows, columns] *= np.where(between & triangles.hatched[number], BETWEEN, 1)[:, None].astype(np.float32)
    if scale > 1:
        painted = cv2.resize(painted, (width // scale, height // scale), interpolation=cv2.INTER_AREA)
    return painted[..., :3], painted[..., 3:]


def _slopes(corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(a, b, c) [M,3] of the plane a x + b y + c through values [M,3] at corners [M,3,2]."""
    (x1, y1), (x2, y2) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area = x1 * y2 - x2 * y1
    area = np.where(np.abs(area) < 1e-6, np.inf, area)  # seen edge-on: one value will do
    one, two = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    a, b = (one * y2 - two * y1) / area, (two * x1 - one * x2) / area
    c = values[:, 0] - a * corners[:, 0, 0] - b * corners[:, 0, 1]
    return np.stack([a, b, c], axis=1).astype(np.float32)
