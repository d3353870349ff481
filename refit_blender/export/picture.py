# SPDX-License-Identifier: GPL-3.0-or-later
"""A small picture of a mesh, drawn without Blender's renderers: these need a graphics card or a window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SIZE = 256
"""Pixels of the picture's sides."""
_FINER = 2
"""Samples for each pixel's side."""
_MARGIN = 0.06
"""Of the picture's side, left free on each."""
_COLOUR = np.array([0.55, 0.66, 0.78])
_LIGHT = np.array([-0.35, 0.55, 0.76])
"""Where the light comes from: right, up, towards the viewer."""
_DARKEST = 0.25
_MOST_SAMPLES = 4_000_000


def draw(vertices: np.ndarray, triangles: np.ndarray, view: np.ndarray) -> np.ndarray:
    """A shaded parallel view of a mesh, RGBA [SIZE,SIZE,4] from 0 to 1, bottom row first, nothing behind it.

    vertices [V,3]; triangles [F,3]; view [3,3]: rows are the viewer's right, up, and the direction towards the viewer.
    """
    seen = vertices @ view.T
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    side = SIZE * _FINER
    scale = side * (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    seen = (seen - [*(low + high) / 2, 0.0]) * scale + [side / 2, side / 2, 0.0]
    corners = seen[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals[:, 2] > 0
    corners, normals = corners[facing], normals[facing]
    brightness = normals @ (_LIGHT / np.linalg.norm(_LIGHT)) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    shade = _DARKEST + (1 - _DARKEST) * np.clip(brightness, 0, 1)
    nearest = np.full(side * side, -np.inf)
    canvas = np.zeros((side * side, 4))
    for points, owners in _samples(corners):
        column, row = np.floor(points[:, :2]).astype(int).clip(0, side - 1).T
        pixels = row * side + column
        order = np.lexsort((points[:, 2], pixels))
        last = np.append(np.flatnonzero(np.diff(pixels[order])), len(order) - 1)
        best = order[last]  # of each pixel, the sample next to the viewer
        best = best[points[best, 2] > nearest[pixels[best]]]
        nearest[pixels[best]] = points[best, 2]
        canvas[pixels[best], :3] = _COLOUR * shade[owners[best], None]
        canvas[pixels[best], 3] = 1.0
    return _averaged(canvas.reshape(side, side, 4))


def _samples(corners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points [N,3] in all triangles [F,3,3], dense enough for every pixel, and whose they are [N], in parts."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1) if len(corners) else np.zeros(0)
    steps = 2 ** np.ceil(np.log2(np.maximum(edges * 1.5, 1.0))).astype(int)
    for count in np.unique(steps):
        chosen = np.flatnonzero(steps == count)
        a, b = np.meshgrid(np.arange(count + 1), np.arange(count + 1))
        inside = a + b <= count
        shares = np.stack([a[inside], b[inside], count - a[inside] - b[inside]], axis=1) / count
        most = max(_MOST_SAMPLES // len(shares), 1)
        for part in np.split(chosen, range(most, len(chosen), most)):
            yield np.einsum("sc,fcd->fsd", shares, corners[part]).reshape(-1, 3), np.repeat(part, len(shares))


def _averaged(canvas: np.ndarray) -> np.ndarray:
    """The picture of SIZE from one that is finer; colours are those of what is there."""
    blocks = canvas.reshape(SIZE, _FINER, SIZE, _FINER, 4)
    cover = blocks[..., 3:].sum(axis=(1, 3))
    colour = (blocks[..., :3] * blocks[..., 3:]).sum(axis=(1, 3)) / np.maximum(cover, 1e-9)
    return np.concatenate([colour, cover / _FINER**2], axis=2)
