# SPDX-License-Identifier: GPL-3.0-or-later
"""Movie files, decoded by FFmpeg through PyAV.

The packets of a file are listed first, without decoding: that tells how many frames there are and when, so that a
frame that cannot be decoded is known to be missing and the others keep their numbers and times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from ..images import MAX_PIXELS, MIN_SIDE
from .footage import Footage

if TYPE_CHECKING:
    import av

_FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,gif,apng,h264,hevc,m4v,dv,ivf,obu,av1,nut,yuv4mpegpipe,mjpeg"
"""Formats that hold their pictures themselves. Playlists name other files or servers: a movie from a stranger must not."""
_ASPECTS = (0.2, 5.0)


class Movie:
    """Reads the first video stream of a file. Raises ImageError for whatever is no movie."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files = [path]
        self._av = library(path)
        with self._opened() as (container, stream):
            self._check(container, stream)
            self._stamps = self._list_frames(container, stream)
            base, rate = float(stream.time_base), float(stream.average_rate or stream.guessed_rate or 0)
            aspect = float(stream.sample_aspect_ratio or 1)
        if not len(self._stamps):
            raise ImageError(f"{path.name} holds no video frames that can be read.")
        self._numbers = {int(stamp): number for number, stamp in enumerate(self._stamps)}
        times = (self._stamps - self._stamps[0]) * base
        first = self._first_frame()
        turns = _quarter_turns(first)
        aspect = aspect if _ASPECTS[0] < aspect < _ASPECTS[1] else 1.0
        size = (first.width, first.height)
        if turns % 2:
            size, aspect = (first.height, first.width), 1 / aspect
        self.footage = Footage(path, size, times, _rate(rate, times), turns, aspect)

    def read(self, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """See `MovingPictures.read`; frames that the decoder marks as damaged are None."""
        wanted = [int(frame) for frame in frames]
        position = 0
        for number, frame in self._decode(wanted[0]):
            while position < len(wanted) and wanted[position] < number:
                yield wanted[position], None
                position += 1
            if position == len(wanted):
                return
            if wanted[position] == number:
                yield number, self._pixels(frame)
                position += 1
        for number in wanted[position:]:
            yield number, None

    def _decode(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodable frames in order, from the one numbered `start` or before it."""
        with self._opened() as (container, stream):
            if start:
                container.seek(int(self._stamps[start]), stream=stream, backward=True)
            last = -1
            for packet in container.demux(stream):
                try:
                    decoded = packet.decode()
                except self._av.error.FFmpegError:
                    continue
                for frame in decoded:
                    number = self._numbers.get(frame.pts)
                    if number is not None and number > last and not frame.is_corrupt:
                        last = number
                        yield number, frame

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray | None:
        """[H,W,3] upright RGB; None for a frame of another size."""
        pixels = frame.to_ndarray(format="rgb24")
        if frame.interlaced_frame:
            pixels = _one_field(pixels)
        if self.footage.quarter_turns:
            pixels = np.rot90(pixels, -self.footage.quarter_turns)
        if pixels.shape[1::-1] != self.footage.size:
            return None
        return np.ascontiguousarray(pixels)

    @contextlib.contextmanager
    def _opened(self) -> Generator[tuple[Any, Any], None, None]:
        try:
            container = self._av.open(
                str(self._path), options={"protocol_whitelist": "file", "format_whitelist": _FORMATS}
            )
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
            raise ImageError(f"{self._path.name} is not a movie that can be read: {reason}.") from error
        with container:
            if not container.streams.video:
                raise ImageError(f"{self._path.name} holds no video.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ImageError(f"{self._path.name} is compressed in a way that cannot be read.")
            stream.thread_type = "AUTO"
            yield container, stream

    def _check(self, container: Any, stream: Any) -> None:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise ImageError(f"{self._path.name} is too large: {width}x{height} pixels.")
        if 0 < min(width, height) < MIN_SIDE:
            raise ImageError(f"{self._path.name} is too small to show a person: {width}x{height} pixels.")

    def _list_frames(self, container: Any, stream: Any) -> np.ndarray:
        """The time stamps [F] of all frames, in units of the stream's time base."""
        stamps: set[int] = set()
        try:
            for packet in container.demux(stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if packet.size and stamp is not None and not packet.is_discard:
                    stamps.add(stamp)
        except self._av.error.FFmpegError:
            pass  # the file ends early: what was listed is what there is
        return np.array(sorted(stamps), dtype=np.int64)

    def _first_frame(self) -> av.VideoFrame:
        for _, frame in self._decode(0):
            return frame
        raise ImageError(f"{self._path.name} holds no video frames that can be read.")


def library(path: Path) -> Any:
    """PyAV, which engines of other platforms may lack; `path` is what it is needed for. Raises ImageError."""
    try:
        import av
    except ImportError as error:
        raise ImageError(
            f"{path.name} is a movie, and this engine has no package av to read it: install the engine again, or export "
            "the movie as numbered pictures."
        ) from error
    return av


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Clockwise quarter turns that make a frame upright; FFmpeg counts degrees the other way round."""
    return round(-frame.rotation / 90) % 4


def _one_field(pixels: np.ndarray) -> np.ndarray:
    """An interlaced frame [H,W,3] with the lines of its upper field alone, those between them interpolated."""
    result = pixels.copy()
    even = pixels[::2].astype(np.uint16)
    below = np.concatenate([even[1:], even[-1:]])
    odd = result[1::2]
    odd[:] = ((even + below + 1) // 2)[: len(odd)]
    return result


def _rate(said: float, times: np.ndarray) -> float:
    """Frames a second: what the file says if it is near the truth, else the mean."""
    span = float(times[-1] - times[0])
    mean = (len(times) - 1) / span if span > 0 else 0.0
    return said if said > 0 and (mean == 0 or 0.9 < said / mean < 1.1) else mean or 25.0
