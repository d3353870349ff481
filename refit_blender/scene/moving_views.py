# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras of the scene with what moves behind them, read at every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ..errors import SourceError
from . import cameras, timeline
from .footage import Footage, background_footage
from .images import Background, camera_background, picture_size
from .views import LensDistortion, lens_distortion, seen_through


@dataclass(frozen=True)
class MovingView:
    """A camera and its video. offset: seconds that the video's clock is behind the first one's.

    K [F,3,3] in pixels of the video, R [F,3,3], t [F,3], world to OpenCV camera, metres: F is 1 for what stays as it is.
    """

    name: str
    footage: Footage
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    distortion: LensDistortion | None
    offset: float

    def parameters(self) -> dict[str, Any]:
        """As the engine wants it."""
        arrays = {"K": self.K, "R_world2cam": self.R, "t_world2cam": self.t}
        return {
            "video": str(self.footage.path.absolute()),
            "name": self.name,
            "rate": self.footage.rate if self.footage.numbered else None,
            "distortion": self.distortion.parameters() if self.distortion else None,
            "offset": self.offset,
            **{name: (one[0] if len(one) == 1 else one).tolist() for name, one in arrays.items()},
        }


@dataclass(frozen=True)
class MovingViews:
    """Cameras with the frames of the first one's video that are wanted, the first and the last."""

    views: tuple[MovingView, ...]
    low: int
    high: int


def read_moving_views(
    context: bpy.types.Context, chosen: Sequence[bpy.types.Object], span: tuple[int, int] | None, step: int = 1
) -> MovingViews:
    """Cameras at every frame of a span of the scene, by default all that the first camera's video has.

    Goes through the frames where a camera can move, and back. Raises SourceError with the camera's name.
    """
    scene = context.scene
    backgrounds = [_background(camera) for camera in chosen]
    rate = timeline.rate_of(scene)
    shown = [background_footage(one, camera.name, rate) for one, camera in zip(backgrounds, chosen, strict=True)]
    first = shown[0]
    span = span or (first.start + first.low, first.start + (first.low if first.high is None else first.high))
    low, high = first.between(*span)
    instants = range(first.start + low, first.start + high + 1, step)
    frames = list(instants) if any(map(may_move, chosen)) else [scene.frame_current]
    sizes = [_size(one, footage) for one, footage in zip(backgrounds, shown, strict=True)]
    paths = _read(context, chosen, backgrounds, sizes, frames)
    views = []
    for camera, background, size, footage, path in zip(chosen, backgrounds, sizes, shown, paths, strict=True):
        stacked = (np.stack(values) for values in zip(*path, strict=True))
        K, R, t = (values if np.ptp(values, axis=0).max() > 1e-9 else values[:1] for values in stacked)
        bent = lens_distortion(camera, background, size, K[0])
        offset = _seconds(footage, instants[0], rate) - _seconds(first, instants[0], rate)
        later = _delay(camera) - _delay(chosen[0])
        views.append(MovingView(camera.name, footage, K, R, t, bent, offset - later))
    return MovingViews(tuple(views), low, high)


def may_move(item: bpy.types.Object | None) -> bool:
    """Whether something animates, drives or constrains an object, its data, or one of its parents."""
    while item is not None:
        if item.constraints or item.animation_data or (item.data and item.data.animation_data):
            return True
        item = item.parent
    return False


def _background(camera: bpy.types.Object) -> Background:
    background = camera_background(camera)
    if background.placement.flip_x or background.placement.flip_y:
        raise SourceError(f"The background of camera “{camera.name}” is mirrored: videos are read as they are.")
    return background


def _seconds(footage: Footage, frame: int, rate: float) -> float:
    """The time in a video that a frame of the scene shows."""
    return (frame - footage.start) / (footage.rate or rate)


def _delay(camera: bpy.types.Object) -> float:
    """Seconds by which a camera took its pictures later than the scene shows them."""
    return float(cameras.data_of(camera).refit.delay)


def _size(background: Background, footage: Footage) -> tuple[int, int]:
    """(width, height) of what a background shows. Raises SourceError."""
    size = picture_size(footage.path) if footage.numbered else (background.picture.size[0], background.picture.size[1])
    if not size or not all(size):
        raise SourceError(f"{footage.path.name} has no pixels: it is damaged, or of an unknown format.")
    return size


def _read(
    context: bpy.types.Context,
    chosen: Sequence[bpy.types.Object],
    backgrounds: Sequence[Background],
    sizes: Sequence[tuple[int, int]],
    frames: Sequence[int],
) -> list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """K, R and t of each camera at each frame."""
    scene, current = context.scene, context.scene.frame_current
    paths: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in chosen]
    try:
        for frame in frames:
            if frame != scene.frame_current:
                scene.frame_set(frame)
            depsgraph = context.evaluated_depsgraph_get()
            for camera, background, size, path in zip(chosen, backgrounds, sizes, paths, strict=True):
                evaluated = camera.evaluated_get(depsgraph)
                if not evaluated.is_evaluated:
                    raise SourceError(
                        f"Camera “{camera.name}” is switched off in this view layer, so that nothing moves it."
                    )
                lens = cameras.lens_of(evaluated, scene)
                seen, R, t = seen_through(camera, scene, depsgraph, lens, background, size)
                path.append((seen.K, R, t))
    finally:
        if scene.frame_current != current:
            scene.frame_set(current)
    return paths
