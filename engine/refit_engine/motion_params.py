# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion job is asked for: from named parameters to the fitting's own types. Imports nothing heavy until it is used."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .contract import BETAS, Device
from .errors import BodyFileError, ViewsError
from .job_params import read_distortion, read_listed, solve_params
from .json_file import read_json
from .npz import NpzError, read_npz
from .protocol import INVALID_PARAMS, Params, ProtocolError
from .work_cache import LIMIT_BYTES, WorkCache

if TYPE_CHECKING:
    from .fitting import FitOptions
    from .fitting.motion import MotionRequest, VideoRequest


class TrackParams(NamedTuple):
    """A call of `track`. overlay: whether videos with the bodies are wanted; folder: the job's; cache: for jobs that are stopped."""

    request: MotionRequest
    options: FitOptions
    device: Device
    overlay: bool
    folder: Path
    cache: WorkCache | None


def track_params(params: dict[str, Any]) -> TrackParams:
    """The parameters of `track`. Raises ProtocolError."""
    values = Params(params)
    request = motion_request(values)
    options, device = solve_params(values, iterations=2)
    folder = Path(values.string("job_folder"))
    overlay = values.boolean("overlay", False)
    kept = values.optional_string("cache_folder")
    megabytes = values.integer("cache_megabytes", LIMIT_BYTES // 1_000_000, 0, 1 << 30)
    values.done()
    cache = WorkCache(Path(kept), 1_000_000 * megabytes) if kept and megabytes else None
    return TrackParams(request, options, device, overlay, folder, cache)


def motion_request(values: Params, folder: Path | None = None) -> MotionRequest:
    """The videos of a call with the wanted frames and person; files relative to `folder`."""
    from .fitting.motion import MotionRequest
    from .moving_pictures import FrameRange

    videos = tuple(_video(item, folder) for item in values.objects("videos"))
    frames = FrameRange.parse(values.optional_string("frames") or "")
    box = values.optional_numbers("bbox_xywh", 4)
    return MotionRequest(
        videos,
        frames,
        None if box is None else np.array(box),
        values.integer("bbox_frame", frames.start, 0, 1 << 31),
    )


def motion_request_of(options: argparse.Namespace, path: Path) -> MotionRequest:
    """The same of one video, or one file that lists several, from a command line. Raises ImageError, ViewsError."""
    from .fitting.motion import MotionRequest, VideoRequest
    from .moving_pictures import FrameRange

    frames = FrameRange.parse(options.frames)
    box = None if options.bbox is None else np.array(options.bbox)
    box_frame = frames.start if options.bbox_frame is None else options.bbox_frame
    if path.suffix.lower() == ".json":
        if options.focal is not None:
            raise ViewsError(f"{path.name} says the cameras: leave the focal length out.")
        return MotionRequest(read_videos(path), frames, box, box_frame)
    video = VideoRequest(path, path.stem, options.rate, options.focal)
    return MotionRequest((video,), frames, box, box_frame)


def read_videos(path: Path) -> tuple[VideoRequest, ...]:
    """The videos of a file: a JSON list, or an object with the list under "views". Raises ViewsError."""
    return tuple(read_listed(path, _videos))


def read_betas(path: Path) -> np.ndarray:
    """Ten betas: the first person's of a result.npz or motion.npz, or a JSON list. Raises BodyFileError."""
    try:
        if path.suffix.lower() == ".npz":
            betas = np.atleast_2d(read_npz(path, {"betas"})["betas"])[0]
        else:
            betas = np.array(read_json(path), dtype=np.float64)
    except (NpzError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise BodyFileError(f"{path.name} holds no shape of a body.") from error
    if betas.shape != (BETAS,) or betas.dtype.kind != "f" or not np.isfinite(betas).all():
        raise BodyFileError(f"{path.name} does not hold ten betas.")
    return betas.astype(np.float32)


def _videos(values: Params, folder: Path) -> list[VideoRequest]:
    return [_video(item, folder) for item in values.objects("views")]


def _video(item: Params, folder: Path | None) -> VideoRequest:
    """A video with its camera; K, rotation and translation are one for all frames, or a list of one for each."""
    from .fitting.motion import VideoRequest

    path = Path(item.string("video"))
    video = VideoRequest(
        video=folder / path if folder else path,
        name=item.optional_string("name") or path.stem,
        rate=item.optional_number("rate"),
        focal=item.optional_number("focal"),
        K=_array(item, "K", (3, 3)),
        R=_array(item, "R_world2cam", (3, 3)),
        t=_array(item, "t_world2cam", (3,)),
        distortion=read_distortion(item),
        offset=item.optional_number("offset") or 0.0,
    )
    item.done()
    return video


def _array(item: Params, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Numbers of a shape, or a list of such for all frames: [*shape] or [F,*shape]."""
    values = item.optional_list(name)
    if values is None:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.shape[-len(shape) :] != shape or array.ndim > len(shape) + 1 or not np.isfinite(array).all():
        size = "x".join(map(str, shape))
        raise ProtocolError(INVALID_PARAMS, f"Parameter {name} must hold {size} finite numbers, or a list of such.")
    return array
