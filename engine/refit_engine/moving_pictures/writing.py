# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing movies that every player shows: H.264 in MP4."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from .movie import library

_TICKS = 90_000
"""Units of time a second: every frame keeps its own time."""


class MovieWriter:
    """Writes RGB frames with their times; the file appears complete or not at all. Raises OSError."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        """size: (width, height), made even by leaving out the last column or row. rate: nominal frames a second."""
        self._path, self._part = path, path.with_suffix(".part" + path.suffix)
        self._av = library(path)
        self._size = size[0] // 2 * 2, size[1] // 2 * 2
        self._container = self._av.open(str(self._part), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream.options = {"crf": "20", "preset": "veryfast"}

    def __enter__(self) -> Self:
        return self

    def write(self, rgb: np.ndarray, time: float) -> None:
        """Add a frame [H,W,3] uint8 at a time in seconds."""
        width, height = self._size
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        frame.pts, frame.time_base = round(time * _TICKS), Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if kind is None:
                os.replace(self._part, self._path)
        finally:
            self._part.unlink(missing_ok=True)
