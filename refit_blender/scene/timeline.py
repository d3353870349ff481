# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's frames: how many a second, which ones, and whether nothing moves yet."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import reconstructions
from .footage import Footage, file_footage, series_numbers
from .frames import number_of


def rate_of(scene: bpy.types.Scene) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def nothing_moves(scene: bpy.types.Scene) -> bool:
    """Whether a scene holds no animation and no reconstruction, so that a video may set its rate."""
    animated = any(
        block.animation_data and block.animation_data.action
        for item in scene.objects
        for block in (item, item.data)
        if block is not None
    )
    return not animated and not reconstructions.in_scene(scene)


def suit(scene: bpy.types.Scene, rate: float | None, span: tuple[int, int]) -> None:
    """Give a scene a video's rate and range; without a rate, only make its range reach far enough."""
    if rate is not None:
        scene.render.fps = min(max(round(rate), 1), 32767)
        scene.render.fps_base = scene.render.fps / rate
        scene.frame_start, scene.frame_end = max(span[0], 0), max(span[1], 0)
    else:
        scene.frame_end = max(scene.frame_end, span[1])
    if not span[0] <= scene.frame_current <= span[1]:
        scene.frame_set(span[0])
    else:
        scene.frame_set(scene.frame_current)


def chosen_range(scene: bpy.types.Scene) -> tuple[int, int]:
    """The preview range where one is set, else the scene's."""
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def speed_of(scene: bpy.types.Scene, footage: Footage) -> float:
    """Frames of a video for each of the scene's, which takes the video's rate while nothing moves in it."""
    return 1.0 if footage.rate is None or nothing_moves(scene) else footage.rate / rate_of(scene)


def video_frame(scene: bpy.types.Scene, path: Path, start: int, frame: int) -> int:
    """The frame, from 0, that a movie shows at a frame of the scene, of which `start` shows its first.

    Of numbered pictures, the one that `path` names. Raises SourceError.
    """
    footage = file_footage(path, start, rate_of(scene))
    if footage.numbered:
        return number_of(path) - series_numbers(path)[0] if path.is_file() else 0
    return max(round((frame - start) * speed_of(scene, footage)), 0)
