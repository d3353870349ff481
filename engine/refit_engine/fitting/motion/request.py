# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion is asked for: videos, what is known of their cameras, and who is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...camera import Intrinsics, choose_intrinsics
from ...distortion import Distortion, undistort_image
from ...errors import ImageError, ViewsError
from ...moving_pictures import FrameRange, MovingPictures, open_footage
from ...moving_pictures.reading import read_ahead
from ..multiview.views import MAX_VIEWS, is_rotation


@dataclass(frozen=True)
class VideoRequest:
    """One video and its camera. Pixels belong to upright frames, origin at the corner of the first one.

    rate: frames a second of numbered pictures. focal: pixels, given by the user.
    K: [3,3], or [F,3,3] for every wanted frame. R: [3,3] or [F,3,3] and t: [3] or [F,3], camera from world, metres; None
    where only the camera's own frame is known. distortion: the lens's, None for none.
    offset: seconds that this video's clock is behind the first one's.
    """

    video: Path
    name: str = "camera"
    rate: float | None = None
    focal: float | None = None
    K: np.ndarray | None = None
    R: np.ndarray | None = None
    t: np.ndarray | None = None
    distortion: Distortion | None = None
    offset: float = 0.0


@dataclass(frozen=True)
class MotionRequest:
    """videos: one, or several of the same scene with calibrated cameras. frames: of the first one.

    box_xywh: [4] around the one person who is wanted, in the frame number `box_frame` of the first video.
    """

    videos: tuple[VideoRequest, ...]
    frames: FrameRange = field(default_factory=FrameRange)
    box_xywh: np.ndarray | None = None
    box_frame: int = 0


@dataclass(frozen=True)
class CameraPath:
    """A camera at F instants. intrinsics: [F] of frames without distortion; R: [F,3,3], t: [F,3] camera from world, metres.

    lag: [F] seconds from the instant to the time at which its picture was taken.
    """

    intrinsics: tuple[Intrinsics, ...]
    R: np.ndarray
    t: np.ndarray
    lag: np.ndarray


@dataclass(frozen=True)
class VideoView(CameraPath):
    """An opened video with its camera.

    frames: [F] numbers of its frames, -1 for none; placed: whether the camera's place in the scene was given.
    """

    name: str
    pictures: MovingPictures
    frames: np.ndarray
    distortion: Distortion | None
    placed: bool

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray | None]:
        """The frame at each instant from `start` up to `stop`, [H,W,3] uint8 RGB, decoded ahead.

        None where there is none or it is damaged.
        """
        frames = self.frames[start:stop]
        wanted: list[int] = np.unique(frames[frames >= 0]).tolist()
        decoded = read_ahead(self.pictures.read(wanted)) if wanted else iter(())
        number, pixels = -1, None
        for frame in frames.tolist():
            while 0 <= frame != number:
                number, pixels = next(decoded)
            yield pixels if frame >= 0 else None

    def undistorted(self, pixels: np.ndarray, instant: int) -> np.ndarray:
        """A frame as a lens without distortion would have taken it."""
        if self.distortion is None or self.distortion.nothing:
            return pixels
        lens = replace(self.distortion, size=self.pictures.footage.size)
        return undistort_image(pixels, self.intrinsics[instant].K, lens)[0]


def open_videos(request: MotionRequest) -> tuple[list[VideoView], np.ndarray]:
    """The videos, and the times [F] of the wanted instants in seconds. Raises ImageError, ViewsError."""
    if len(request.videos) > MAX_VIEWS:
        raise ViewsError(f"Give at most {MAX_VIEWS} videos, not {len(request.videos)}.")
    if len(request.videos) > 1 and any(one.R is None or one.K is None for one in request.videos):
        raise ViewsError("Several videos need the calibration of every camera: K, rotation and translation.")
    opened = [open_footage(one.video, one.rate) for one in request.videos]
    numbers = request.frames.of(opened[0].footage)
    times = opened[0].footage.times[numbers]
    views: list[VideoView] = []
    for place, (video, pictures) in enumerate(zip(request.videos, opened, strict=True)):
        frames, lag = numbers, np.zeros(len(numbers))
        if place:
            frames, lag = own_frames(pictures.footage.times - video.offset, times)
        views.append(_view(video, pictures, frames, lag))
    return views, times


def own_frames(stamps: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame at each instant [F], each frame at the nearest one only (-1 for none), and seconds [F] by which it comes later.

    stamps: [G] times of the frames; times: [F] of the instants, by the same clock.
    """
    frames = nearest_frames(stamps, times)
    lag = np.where(frames < 0, 0.0, stamps[frames] - times)
    order = np.lexsort((np.abs(lag), frames))
    kept = np.zeros(len(frames), dtype=bool)
    kept[order[np.unique(frames[order], return_index=True)[1]]] = True
    return np.where(kept, frames, -1), np.where(kept, lag, 0.0)


def nearest_frames(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Numbers [F] of the frames with time stamps [G] that are nearest to times [F]; -1 before the first and after the last."""
    after = (
        np.searchsorted(stamps, times).clip(1, max(len(stamps) - 1, 1))
        if len(stamps) > 1
        else np.zeros(len(times), int)
    )
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(stamps[before] - times) <= np.abs(stamps[after] - times), before, after)
    usual = float(np.median(np.diff(stamps))) if len(stamps) > 1 else np.inf
    return np.where(np.abs(stamps[nearest] - times) <= 0.75 * usual, nearest, -1)


def _view(video: VideoRequest, pictures: MovingPictures, frames: np.ndarray, lag: np.ndarray) -> VideoView:
    count, footage = len(frames), pictures.footage
    K = None if video.K is None else _of_every_frame(video.K, (3, 3), count, f"K of {video.name}")
    intrinsics = _intrinsics(video, footage.size, footage.pixel_aspect, K, count)
    if (video.R is None) != (video.t is None):
        raise ViewsError(f"The camera {video.name} needs both a rotation and a translation.")
    R = _of_every_frame(np.eye(3) if video.R is None else video.R, (3, 3), count, f"rotation of {video.name}")
    t = _of_every_frame(np.zeros(3) if video.t is None else video.t, (3,), count, f"translation of {video.name}")
    if not all(map(is_rotation, R)):
        raise ViewsError(f"The rotation of the camera {video.name} is no rotation: it scales, skews or mirrors.")
    u, _, vt = np.linalg.svd(R)
    return VideoView(intrinsics, u @ vt, t, lag, video.name, pictures, frames, video.distortion, video.R is not None)


def _intrinsics(
    video: VideoRequest, size: tuple[int, int], pixel_aspect: float, K: np.ndarray | None, count: int
) -> tuple[Intrinsics, ...]:
    if K is not None and np.ptp(K, axis=0).any():
        return tuple(choose_intrinsics(*size, K=one) for one in K)
    if K is not None:
        return (choose_intrinsics(*size, K=K[0]),) * count
    width, height = size
    square = choose_intrinsics(round(width * pixel_aspect), height, focal=video.focal)
    K = square.K.copy()
    K[0] *= width / round(width * pixel_aspect)
    return (Intrinsics(K, square.source),) * count


def _of_every_frame(value: np.ndarray, shape: Sequence[int], count: int, what: str) -> np.ndarray:
    """One value of a shape, or one for each of `count` frames: [F,...]. Raises ViewsError."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape == tuple(shape):
        array = np.tile(array, (count, *[1] * len(shape)))
    if array.shape != (count, *shape) or not np.isfinite(array).all():
        raise ViewsError(f"The {what} must be one for all frames, or one for each of the {count}.")
    return array


def check_box(request: MotionRequest, views: Sequence[VideoView]) -> int | None:
    """The instant of the wanted person's box, if there is one. Raises ImageError."""
    if request.box_xywh is None:
        return None
    places = np.flatnonzero(views[0].frames == request.box_frame)
    if not len(places):
        raise ImageError(f"The box is in frame {request.box_frame}, which is not one of the wanted frames.")
    box, (width, height) = np.asarray(request.box_xywh, dtype=np.float64), views[0].pictures.footage.size
    x, y, w, h = box
    if not (np.isfinite(box).all() and min(w, h) >= 4 and x < width and y < height and x + w > 0 and y + h > 0):
        raise ImageError(f"The box {x:g},{y:g},{w:g},{h:g} does not lie in frames of {width}x{height} pixels.")
    return int(places[0])
