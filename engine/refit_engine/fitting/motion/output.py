# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion leaves on disk: motion.npz, and the bodies drawn over the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ...device import exact
from ...motion_results import ABSENT, MotionResult, write_motion
from ...moving_pictures import MovieWriter
from ...moving_pictures.reading import read_ahead
from ...overlay import draw_overlay
from ..models import Body
from .request import VideoView

MOTION_FILE, OVERLAY_FILE = "motion.npz", "overlay.mp4"
LARGEST = 1280
"""Pixels of the longer side of an overlay's frames."""


@dataclass(frozen=True)
class MotionOutput:
    """Files of a motion; overlays: one for each view, empty if there are none."""

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
    """Write motion.npz and, if asked for, overlay.mp4 (of several views, one with the view's number each).

    progress: told how many frames are drawn, of how many; raises Cancelled to stop. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlays: list[Path] = []
    for number, view in enumerate(views if overlay else ()):
        path = folder / (OVERLAY_FILE if len(views) == 1 else f"overlay_{number:02d}.mp4")
        _draw_view(
            path,
            result,
            number,
            view,
            body,
            lambda done, start=number: progress(start * len(result.times) + done, len(views) * len(result.times)),
        )
        overlays.append(path)
    npz = folder / MOTION_FILE
    write_motion(npz, result)
    return MotionOutput(npz, tuple(overlays))


def _draw_view(
    path: Path, result: MotionResult, number: int, view: VideoView, body: Body, progress: Callable[[int], None]
) -> None:
    width, height = view.pictures.footage.size
    scale = min(1.0, LARGEST / max(width, height))
    size = round(width * scale), round(height * scale)
    black = np.zeros((size[1], size[0], 3), np.uint8)
    frames: list[int] = np.unique(view.frames[view.frames >= 0]).tolist()
    with MovieWriter(path, size, result.frame_rate) as writer:
        for place, (frame, pixels) in enumerate(read_ahead(view.pictures.read(frames))):
            progress(place)
            instant = int(np.flatnonzero(view.frames == frame)[0])
            picture = black
            if pixels is not None:
                picture = cv2.resize(view.undistorted(pixels, instant), size, interpolation=cv2.INTER_AREA)
            K = np.diag([size[0] / width, size[1] / height, 1.0]) @ view.intrinsics[instant].K
            vertices = vertices_at(result, instant, body) @ view.R[instant].T + view.t[instant]
            writer.write(
                draw_overlay(picture, vertices, body.data.faces, K), float(result.times[instant] - result.times[0])
            )


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
