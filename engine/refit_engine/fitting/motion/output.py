# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion leaves on disk: motion.npz, and the bodies drawn over the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ...body import BodyData
from ...camera import project
from ...device import exact
from ...motion_results import ABSENT, MotionResult, write_motion
from ...moving_pictures import MovieWriter
from ...overlay import draw_overlay, guessed_vertices
from ..models import Body
from ..shown import hidden_bones
from .request import VideoView

MOTION_FILE, OVERLAY_FILE = "motion.npz", "overlay.mp4"
LARGEST, LARGEST_SHEET = (1280, 1280), (1920, 1080)
"""(width, height) of an overlay's frames at most, of one view and of several side by side."""


@dataclass(frozen=True)
class MotionOutput:
    """Files of a motion; overlays: the one that shows all views side by side, empty if none is drawn."""

    npz: Path
    overlays: tuple[Path, ...]


def write_motion_output(
    folder: Path,
    result: MotionResult,
    views: Sequence[VideoView],
    body: Body,
    overlay: bool,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> MotionOutput:
    """Write motion.npz and, if asked for, overlay.mp4, in which several views stand side by side.

    progress: told how many instants are drawn, of how many; raises Cancelled to stop. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlays: tuple[Path, ...] = ()
    if overlay:
        overlays = (folder / OVERLAY_FILE,)
        _draw(overlays[0], result, views, body, lambda done: progress(done, len(result.times)))
    npz = folder / MOTION_FILE
    write_motion(npz, result)
    return MotionOutput(npz, overlays)


def _draw(
    path: Path, result: MotionResult, views: Sequence[VideoView], body: Body, progress: Callable[[int], None]
) -> None:
    sheet = Sheet.of([view.pictures.footage.size for view in views])
    picture = np.zeros((sheet.size[1], sheet.size[0], 3), np.uint8)
    pictures = [view.read() for view in views]
    with MovieWriter(path, sheet.size, result.frame_rate) as writer:
        for instant, time in enumerate(result.times - result.times[0]):
            progress(instant)
            vertices, hatched = vertices_at(result, instant, body), _hatched_at(result, instant, body.data)
            for number, (view, frames) in enumerate(zip(views, pictures, strict=True)):
                pixels = next(frames)
                if view.frames[instant] >= 0:  # a slower camera keeps its picture until its next one
                    bodies = vertices @ view.R[instant].T + view.t[instant], body.data.faces, hatched
                    sheet.part(picture, number)[:] = _drawn(view, instant, pixels, bodies, sheet.sizes[number])
            writer.write(picture, float(time))


def _drawn(
    view: VideoView,
    instant: int,
    pixels: np.ndarray | None,
    bodies: tuple[np.ndarray, np.ndarray, np.ndarray],
    size: tuple[int, int],
) -> np.ndarray:
    """A view's frame, black where it cannot be read, as a picture of a size (width, height), with bodies over it.

    bodies: vertices [N,V,3] in the view's frame, faces [F,3], and which vertices [N,V] are hatched.
    """
    width, height = view.pictures.footage.size
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    if pixels is not None:
        picture = cv2.resize(view.undistorted(pixels, instant), size, interpolation=cv2.INTER_AREA)
    K = np.diag([size[0] / width, size[1] / height, 1.0]) @ view.intrinsics[instant].K
    vertices, faces, hatched = bodies
    return draw_overlay(picture, vertices, faces, K, hatched)


@dataclass(frozen=True)
class Sheet:
    """Where pictures stand that are seen together. cell: (width, height) of each one's place; sizes: of the pictures there."""

    columns: int
    rows: int
    cell: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]]) -> Sheet:
        """The rows and columns in which pictures of these sizes (width, height) come out largest, rather side by side."""
        sheets = [cls._with_columns(sizes, columns) for columns in range(1, len(sizes) + 1)]
        return max(sheets, key=lambda one: (one.cell[0] * one.cell[1], one.columns))

    @classmethod
    def _with_columns(cls, sizes: Sequence[tuple[int, int]], columns: int) -> Sheet:
        rows = -(-len(sizes) // columns)
        width, height = (max(size[axis] for size in sizes) for axis in (0, 1))
        limit = LARGEST if len(sizes) == 1 else LARGEST_SHEET
        scale = min(1.0, limit[0] / (columns * width), limit[1] / (rows * height))
        scaled = tuple((_even(scale * one), _even(scale * other)) for one, other in sizes)
        return cls(columns, rows, (max(one for one, _ in scaled), max(one for _, one in scaled)), scaled)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of all together."""
        return self.columns * self.cell[0], self.rows * self.cell[1]

    def part(self, picture: np.ndarray, number: int) -> np.ndarray:
        """The part of a picture of all [H,W,3] that one of them fills, in the middle of its place."""
        row, column = divmod(number, self.columns)
        width, height = self.sizes[number]
        left = column * self.cell[0] + (self.cell[0] - width) // 2
        top = row * self.cell[1] + (self.cell[1] - height) // 2
        return picture[top : top + height, left : left + width]


def _even(length: float) -> int:
    """What H.264 can store."""
    return 2 * round(length / 2)


def _hatched_at(result: MotionResult, instant: int, body: BodyData) -> np.ndarray:
    """Which vertices [N,V] of those who are there at an instant belong to parts that no view shows."""
    there = np.flatnonzero(result.state[:, instant] != ABSENT)
    joints = result.joints_world[there, instant]
    cameras = zip(*(values[:, instant] for values in (result.K, result.R_world2cam, result.t_world2cam)), strict=True)
    places = [project(joints @ R.T + t, K) for K, R, t in cameras]
    sizes = [(int(width), int(height)) for width, height in result.image_sizes]
    hidden = hidden_bones(result.guessed[there, instant], zip(places, sizes, strict=True))
    return guessed_vertices(body.weights, body.parents, hidden)


def vertices_at(result: MotionResult, instant: int, body: Body) -> np.ndarray:
    """The vertices [N,V,3] of those who are there at an instant, world frame; body: the result's."""
    there = np.flatnonzero(result.state[:, instant] != ABSENT)
    if not len(there):
        return np.zeros((0, len(body.data.v_template), 3))
    like = next(body.model.buffers())
    arrays = (result.betas[there], result.rotmats[there, instant])
    with torch.inference_mode():
        vertices = body.model(*(torch.from_numpy(np.asarray(array)).to(like) for array in arrays)).vertices
    return exact(vertices).numpy() + result.transl[there, instant][:, None]
