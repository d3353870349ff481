# SPDX-License-Identifier: GPL-3.0-or-later
"""How many frames of a video this machine follows in a second, with the bundled network."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from .bench import HEIGHT, WIDTH, drawn_person
from .camera import choose_intrinsics
from .device import describe_device
from .fitting import FitOptions, Fitter, Models
from .fitting.motion import MotionFitter, MotionRequest, VideoRequest
from .images import Photo
from .moving_pictures import FrameRange, MovieWriter, open_footage

FRAMES, RATE, SHIFT = 90, 30.0, 5
"""Of the video that is made: how many, frames a second, and pixels by which its person moves from frame to frame."""
ALONE = 10
"""Frames that are also fitted as if each were a photo."""
Result = TypeVar("Result")


def bench_motion(device_name: str = "auto", video: Path | None = None) -> dict[str, Any]:
    """Times of following everybody in a video, decoding included, once everything is loaded.

    video: its first frames are followed; None: a drawn person glides through a picture of 1920x1080 pixels. `seconds` and
    `processor_seconds` (of all threads) are a frame's; `frame_by_frame`: the same where each frame is detected and fitted
    by itself (T = 5, no confidence). Raises what `MotionFitter.track` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = video or _made_video(Path(folder) / "bench.mp4")
        models, options = Models(), FitOptions(confidence=False)
        MotionFitter(models, options, device_name).track(_request(path, 4))
        fitter = MotionFitter(models, options, device_name)
        request = _request(path, FRAMES)
        observed, observing = _timed(lambda: fitter.observe_videos(request))
        result, solving = _timed(lambda: fitter.result(observed))
        count = len(observed.times)
        alone, alone_frames = _frame_by_frame(Fitter(models, options, device_name), path)
    total = observing + solving
    return {
        "device": describe_device(fitter.device),
        "threads": torch.get_num_threads(),
        "frames": count,
        "people": result.people,
        "frames_per_second": round(count / total[0], 1),
        "seconds": {"observe": round(observing[0] / count, 4), "solve": round(solving[0] / count, 4)},
        "processor_seconds": {"observe": round(observing[1] / count, 4), "solve": round(solving[1] / count, 4)},
        "frame_by_frame": {
            "frames_per_second": round(alone_frames / alone[0], 1),
            "processor_seconds": round(alone[1] / alone_frames, 4),
        },
    }


def _request(path: Path, frames: int) -> MotionRequest:
    return MotionRequest((VideoRequest(path),), FrameRange(0, frames))


def _made_video(path: Path) -> Path:
    picture = drawn_person(choose_intrinsics(WIDTH, HEIGHT))
    with MovieWriter(path, (WIDTH, HEIGHT), RATE) as writer:
        for number in range(FRAMES):
            writer.write(np.roll(picture, SHIFT * (number - FRAMES // 2), axis=1), number / RATE)
    return path


def _frame_by_frame(fitter: Fitter, path: Path) -> tuple[np.ndarray, int]:
    """The times of all frames, and how many there are."""
    footage = open_footage(path)
    frames = range(min(ALONE, footage.footage.count))
    intrinsics = choose_intrinsics(*footage.footage.size)

    def work() -> None:
        for _, pixels in footage.read(frames):
            if pixels is not None and (people := fitter.detect(Photo(path, pixels))):
                fitter.fit(pixels, np.array([one.bbox_xywh for one in people]), intrinsics)

    return _timed(work)[1], len(frames)


def _timed(work: Callable[[], Result]) -> tuple[Result, np.ndarray]:
    """What it gives, and the seconds [2] that it takes: passed, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    return result, np.array([time.perf_counter() - start, time.process_time() - used])
