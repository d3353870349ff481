# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing on the screen while boxes are drawn: a picture, rectangles with their corners and sizes."""

from __future__ import annotations

from collections.abc import Sequence

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from .box_drawing import BoxDrawing, PictureMap, whole_box
from .scene.orientation import Turn

Color = tuple[float, float, float, float]

BEHIND: Color = (0.06, 0.06, 0.06, 1.0)
LINE: Color = (0.25, 0.75, 1.0, 1.0)
ACTIVE_LINE: Color = (1.0, 0.62, 0.1, 1.0)
SHADE: Color = (0.0, 0.0, 0.0, 0.7)
FILL_ALPHA = 0.08
CROSS: Color = (1.0, 1.0, 1.0, 0.35)
LINE_WIDTH = 2.0
HANDLE = 5.0
TEXT_SIZE = 12.0


def draw_picture(image: bpy.types.Image, corners: np.ndarray, turn: Turn, region: tuple[int, int]) -> None:
    """Fill the region [width, height] with an image between corners [4,2], clockwise from the upright one's top left.

    turn: after which the image stands upright.
    """
    width, height = region
    _fill(np.array([[0, 0], [width, 0], [width, height], [0, height]]), BEHIND)
    # As stored, clockwise from the top left; each turn brings the corner before to its place.
    texture = np.roll([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)], turn.quarters, axis=0)
    if turn.mirrored:
        texture = texture[[1, 0, 3, 2]]
    shader = gpu.shader.from_builtin("IMAGE_SCENE_LINEAR_TO_REC709_SRGB")
    content = {"pos": _vectors(corners), "texCoord": _vectors(texture)}
    batch = batch_for_shader(shader, "TRIS", content, indices=[(0, 1, 2), (0, 2, 3)])
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    shader.uniform_sampler("image", gpu.texture.from_image(image))
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def draw_boxes(drawing: BoxDrawing, where: PictureMap, mouse: tuple[float, float] | None) -> None:
    """Draw all boxes, the active one with its handles; mouse: where to draw a cross, in the region's pixels."""
    scale = bpy.context.preferences.system.ui_scale
    gpu.state.blend_set("ALPHA")
    if mouse and not drawing.dragging:
        _draw_cross(mouse)
    for index, box in enumerate(drawing.boxes):
        active = index == drawing.active
        color = ACTIVE_LINE if active else LINE
        corners = where.to_region(box.corners())
        _fill(corners, (*color[:3], FILL_ALPHA))
        _outline(corners, SHADE, LINE_WIDTH * scale + 2)
        _outline(corners, color, LINE_WIDTH * scale)
        if active:
            for handle in (*corners, corners.mean(axis=0)):
                square = handle + HANDLE * scale * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
                _fill(square, color)
                _outline(square, SHADE, 1.0)
        _, _, width, height = whole_box(box)
        _write(f"{index + 1}:  {width} × {height} px", corners, color, scale)
    gpu.state.blend_set("NONE")


def _draw_cross(mouse: tuple[float, float]) -> None:
    """Lines through the whole region that show where a box would begin."""
    x, y = mouse
    width, height = gpu.state.viewport_get()[2:]
    _lines(np.array([[0, y], [width, y], [x, 0], [x, height]]), CROSS, 1.0)


def _fill(corners: np.ndarray, color: Color) -> None:
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": _vectors(corners)}, indices=[(0, 1, 2), (0, 2, 3)])
    shader.uniform_float("color", color)
    batch.draw(shader)


def _outline(corners: np.ndarray, color: Color, width: float) -> None:
    _lines(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1).reshape(-1, 2), color, width)


def _lines(ends: np.ndarray, color: Color, width: float) -> None:
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": [(*end, 0.0) for end in _vectors(ends)]})
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", width)
    shader.uniform_float("color", color)
    batch.draw(shader)


def _write(text: str, corners: np.ndarray, color: Color, scale: float) -> None:
    """Put a text over a box with these corners in the region."""
    left, top = corners[:, 0].min(), corners[:, 1].max()
    blf.size(0, TEXT_SIZE * scale)
    width, height = blf.dimensions(0, text)
    pad = 3 * scale
    x, y = left + pad, min(top + 2 * pad, gpu.state.viewport_get()[3] - height - 2 * pad)
    back = np.array([[x - pad, y - pad], [x + width + pad, y - pad], [x + width + pad, y + height + pad]])
    _fill(np.vstack([back, [x - pad, y + height + pad]]), SHADE)
    gpu.state.blend_set("ALPHA")
    blf.color(0, *color)
    blf.position(0, x, y, 0)
    blf.draw(0, text)
    gpu.state.blend_set("ALPHA")


def _vectors(points: Sequence[Sequence[float]] | np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(float(value) for value in point) for point in points]
