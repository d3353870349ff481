# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies drawn over the photo: half-transparent shaded meshes, nearest last, everything at the photo's resolution."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import project

# One tint per person, RGB; told apart also by people with colour-blindness (after Okabe and Ito).
TINTS = np.array(
    [[110, 185, 240], [245, 180, 60], [60, 195, 155], [225, 140, 190], [240, 225, 90], [235, 120, 60]], np.float32
)
OPACITY = 0.72
_NEAR = 0.05  # metres
_MAX_SAMPLES = 4_000_000
_LIGHT = np.array([-0.45, -0.65, -0.6]) / np.linalg.norm([-0.45, -0.65, -0.6])  # from behind the left shoulder


def draw_overlay(image: np.ndarray, vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray) -> np.ndarray:
    """The photo with the bodies over it.

    image: [H,W,3] uint8 RGB; vertices_cam: [N,V,3] metres in the camera frame; faces: [F,3]; K: [3,3] pixels.
    Returns a new [H,W,3] uint8.
    """
    height, width = image.shape[:2]
    triangles, colours = _visible_triangles(vertices_cam, faces, K)
    result = image.copy()
    if not len(triangles):
        return result
    low = np.clip(np.floor(triangles.min(axis=(0, 1))) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(triangles.max(axis=(0, 1))) + 1, 0, (width, height)).astype(int)
    if (high <= low).any():
        return result
    # Twice the resolution, averaged down, smooths the outline; a person who fills a huge photo does not need it.
    scale = 2 if 4 * np.prod(high - low) <= _MAX_SAMPLES else 1
    body, coverage = _paint(triangles - low, colours, tuple(high - low), scale)
    region = result[low[1] : high[1], low[0] : high[0]]
    opacity = OPACITY * coverage[..., None]
    region[:] = np.clip(region * (1 - opacity) + body * OPACITY + 0.5, 0, 255).astype(np.uint8)
    return result


def _visible_triangles(
    vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [M,3,2] in pixels that face the camera, farthest first, and their colours [M,3]."""
    triangles, colours, depths = [], [], []
    for person, vertices in enumerate(np.asarray(vertices_cam, dtype=np.float64)):
        corners = vertices[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        center = corners.mean(axis=1)
        toward = np.einsum("fk,fk->f", normals, center) < 0
        keep = toward & (corners[..., 2] > _NEAR).all(axis=1)
        shade = _shade(normals, faces, len(vertices), center)
        triangles.append(project(corners[keep], K))
        colours.append(np.clip(shade[keep, None] * TINTS[person % len(TINTS)], 0, 255))
        depths.append(center[keep, 2])
    if not triangles:
        return np.empty((0, 3, 2)), np.empty((0, 3))
    order = np.argsort(-np.concatenate(depths), kind="stable")
    return np.concatenate(triangles)[order], np.concatenate(colours)[order]


def _shade(normals: np.ndarray, faces: np.ndarray, vertex_count: int, center: np.ndarray) -> np.ndarray:
    """Brightness [F] of each face from the smooth normal at its middle: ambient, one lamp, and a darker rim."""
    smooth = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normals[:, k], 3), minlength=vertex_count) for k in range(3)], axis=1
    )[faces].mean(axis=1)
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True) + 1e-12
    view = -center / (np.linalg.norm(center, axis=1, keepdims=True) + 1e-12)
    facing = np.clip(np.einsum("fk,fk->f", smooth, view), 0, 1)
    lamp = np.clip(smooth @ _LIGHT, 0, 1)
    return 0.35 + 0.5 * lamp + 0.25 * facing


def _paint(
    triangles: np.ndarray, colours: np.ndarray, size: tuple[int, int], scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint triangles in order. Returns the colour times coverage [h,w,3] float32 and the coverage [h,w] (0 to 1)."""
    width, height = int(size[0]), int(size[1])
    canvas = np.zeros((height * scale, width * scale, 4), np.uint8)
    inside = (triangles.max(axis=1) >= 0).all(axis=1) & (triangles.min(axis=1) <= size).all(axis=1)
    # Sub-pixel corners (4 fractional bits); OpenCV's origin is the centre of the first pixel.
    corners = np.clip(triangles[inside] * scale - 0.5, -30_000, 60_000)
    corners = np.round(corners * 16).astype(np.int32)
    paints = np.column_stack([colours[inside], np.full(int(inside.sum()), 255.0)]).tolist()
    for triangle, paint in zip(corners, paints, strict=True):
        cv2.fillConvexPoly(canvas, triangle, paint, cv2.LINE_8, 4)
    if scale > 1:
        canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return canvas[..., :3].astype(np.float32), canvas[..., 3].astype(np.float32) / 255
