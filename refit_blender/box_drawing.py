# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes that are drawn over a picture: what mouse and keys do to them, and where the picture lies on the screen.

Pixels of the picture count from its top left corner, pixels of a region from its bottom left corner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .scene.views import CameraView


class Rect(NamedTuple):
    """A box in pixels of the picture."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def holds(self, x: float, y: float) -> bool:
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def centre(self) -> np.ndarray:
        return np.array([self.left + self.right, self.top + self.bottom]) / 2

    def corners(self) -> np.ndarray:
        """[4,2], clockwise from the top left."""
        return np.array(
            [[self.left, self.top], [self.right, self.top], [self.right, self.bottom], [self.left, self.bottom]]
        )


@dataclass(frozen=True)
class PictureMap:
    """Where a picture's pixels lie in a region: `region = matrix @ (x, y, 1)`, matrix [2,3]."""

    matrix: np.ndarray

    def to_region(self, points: np.ndarray) -> np.ndarray:
        """Pixels of the picture [N,2] to pixels of the region [N,2]."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_region`."""
        return (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T

    @property
    def scale(self) -> float:
        """Pixels of the region for one of the picture."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


def map_through(points: np.ndarray, seen: np.ndarray) -> PictureMap:
    """The map that takes three points [3,2] of the picture to where they are seen in the region [3,2]."""
    return PictureMap(np.linalg.solve(np.column_stack([points, np.ones(3)]), seen).T)


def camera_map(view: CameraView, perspective: np.ndarray, region: tuple[float, float], unit: float) -> PictureMap:
    """Where a camera's background lies in a viewport that looks through the camera.

    perspective [4,4]: the viewport's matrix, which holds its zoom and offset; region: its width and height in pixels;
    unit: metres per unit of the scene.
    """
    points = np.array([[0.0, 0.0], [view.size[0], 0.0], [0.0, view.size[1]]])
    rays = np.column_stack([points, np.ones(3)]) @ np.linalg.inv(view.K).T
    world = (rays - view.t) @ view.R / unit
    clip = np.column_stack([world, np.ones(3)]) @ perspective.T
    return map_through(points, (clip[:, :2] / clip[:, 3:] + 1) / 2 * region)


def editor_map(
    low: Sequence[float], high: Sequence[float], region: tuple[float, float], size: tuple[int, int]
) -> PictureMap:
    """Where a picture of this size lies in an Image Editor.

    low, high: what the editor shows in its bottom left and top right corners, in sides of the picture from its bottom
    left corner; region: the editor's width and height in pixels.
    """
    scale = np.array(region) / (np.array(high) - low)
    origin = -np.array(low) * scale
    matrix = np.array([[scale[0] / size[0], 0, origin[0]], [0, -scale[1] / size[1], origin[1] + scale[1]]])
    return PictureMap(matrix)


def fitted_map(
    free: tuple[float, float, float, float],
    size: tuple[int, int],
    zoom: float = 1.0,
    pan: Sequence[float] | np.ndarray = (0.0, 0.0),
) -> PictureMap:
    """A picture of this size in the middle of a free place (left, bottom, right, top), then zoomed and moved by `pan`."""
    left, bottom, right, top = free
    scale = zoom * min((right - left) / size[0], (top - bottom) / size[1])
    x, y = (left + right) / 2 + pan[0], (bottom + top) / 2 + pan[1]
    matrix = np.array([[scale, 0, x - scale * size[0] / 2], [0, -scale, y + scale * size[1] / 2]])
    return PictureMap(matrix)


class BoxDrawing:
    """The boxes of a picture of `size` (width, height) while they are drawn; `active` is the chosen one's index."""

    def __init__(self, size: tuple[int, int], boxes: Iterable[Sequence[float]] = ()) -> None:
        """boxes: (left, top, width, height) of those that are there already."""
        self.size = size
        self.boxes = [Rect(x, y, x + width, y + height) for x, y, width, height in boxes]
        self.active: int | None = len(self.boxes) - 1 if self.boxes else None
        self._history: list[list[Rect]] = []
        self._before: list[Rect] | None = None
        self._start = self._fixed = (0.0, 0.0)
        self._moved: Rect | None = None

    @property
    def dragging(self) -> bool:
        return self._before is not None

    def press(self, x: float, y: float, reach: float) -> None:
        """Begin at a pixel: move a corner of the active box, or all of it by its centre, or draw a new one.

        reach: how near to a handle is on it. People stand before others, so that boxes begin in boxes.
        """
        self._before, self._start, self._moved = list(self.boxes), (x, y), None
        if self.active is not None:
            box, corner = self.boxes[self.active], self.corner_at(x, y, reach)
            if corner is not None:
                opposite = box.corners()[(corner + 2) % 4]
                self._fixed = (float(opposite[0]), float(opposite[1]))
                return
            if self.at_centre(x, y, reach):
                self._moved = box
                return
        self._fixed = self._inside(x, y)
        self.boxes.append(Rect(*self._fixed, *self._fixed))
        self.active = len(self.boxes) - 1

    def drag(self, x: float, y: float) -> None:
        """The mouse is at a pixel while its button is held."""
        if self.active is None:  # the box was deleted while the button was held
            return
        if self._moved:
            self.boxes[self.active] = self._shifted(self._moved, x - self._start[0], y - self._start[1])
            return
        (x, y), (fixed_x, fixed_y) = self._inside(x, y), self._fixed
        self.boxes[self.active] = Rect(min(x, fixed_x), min(y, fixed_y), max(x, fixed_x), max(y, fixed_y))

    def release(self, smallest: float) -> None:
        """The button is up again; a box that is smaller than this was a click, which chooses the box under it."""
        if self.active is None or self._before is None:  # the box was deleted while the button was held
            self._before = None
            return
        box = self.boxes[self.active]
        if min(box.right - box.left, box.bottom - box.top) < max(smallest, 1.0):
            self.abort()
            under = self.box_at(*self._start)
            self.active = self.active if under is None else under
        elif self.boxes != self._before:
            self._history.append(self._before)
        self._before = None

    def abort(self) -> None:
        """Take back what the held button has done."""
        if self._before is not None:
            self._put_back(self._before)
        self._before = None

    def remove(self) -> None:
        """Delete the active box, or the last."""
        if self.boxes:
            self._history.append(list(self.boxes))
            self.boxes.pop(-1 if self.active is None else self.active)
            self.active = len(self.boxes) - 1 if self.boxes else None

    def undo(self) -> None:
        """Take back the last change."""
        if self._history:
            self._put_back(self._history.pop())

    def box_at(self, x: float, y: float) -> int | None:
        """Index of the smallest box that holds a pixel."""
        around = [index for index, box in enumerate(self.boxes) if box.holds(x, y)]
        return min(around, key=lambda index: self.boxes[index].area, default=None)

    def at_centre(self, x: float, y: float, reach: float) -> bool:
        """Whether a pixel is within reach of the active box's centre."""
        return self.active is not None and bool(np.abs(self.boxes[self.active].centre() - (x, y)).max() <= reach)

    def corner_at(self, x: float, y: float, reach: float) -> int | None:
        """Which corner of the active box, clockwise from the top left, is within reach of a pixel."""
        if self.active is None:
            return None
        away = np.abs(self.boxes[self.active].corners() - (x, y)).max(axis=1)
        return int(away.argmin()) if away.min() <= reach else None

    def whole(self) -> list[tuple[int, int, int, int]]:
        """The boxes as (left, top, width, height) in whole pixels."""
        return [whole_box(box) for box in self.boxes]

    def _put_back(self, boxes: list[Rect]) -> None:
        self.boxes = boxes
        self.active = len(boxes) - 1 if boxes else None

    def _inside(self, x: float, y: float) -> tuple[float, float]:
        return min(max(x, 0.0), float(self.size[0])), min(max(y, 0.0), float(self.size[1]))

    def _shifted(self, box: Rect, x: float, y: float) -> Rect:
        """The box moved, but not out of the picture."""
        x = min(max(x, -box.left), self.size[0] - box.right)
        y = min(max(y, -box.top), self.size[1] - box.bottom)
        return Rect(box.left + x, box.top + y, box.right + x, box.bottom + y)


def whole_box(box: Rect) -> tuple[int, int, int, int]:
    """(left, top, width, height) in whole pixels, at least one wide and high."""
    left, top = round(box.left), round(box.top)
    return left, top, max(1, round(box.right) - left), max(1, round(box.bottom) - top)
