# SPDX-License-Identifier: GPL-3.0-or-later
"""COLMAP's cameras.bin and images.bin; points are passed over without being read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import CalibrationError
from .colmap_models import MAX_RECORDS, MODELS, ImageRecord, LensRecord

_POINT_BYTES = 24  # x, y, and the number of the point
_LONGEST_NAME = 4096  # bytes


def binary_cameras(path: Path) -> Iterator[LensRecord]:
    """Raises CalibrationError where the file is damaged or of another kind."""
    with path.open("rb") as stream:
        data = _Bytes(path, stream)
        for _ in range(data.count("cameras")):
            number, model, width, height = data.take("iiQQ")
            where = f"{path.name}, camera {number}"
            if not 0 <= model < len(MODELS):
                raise CalibrationError(f"{where}: the camera model number {model} is not supported.")
            name, count = MODELS[model]
            yield LensRecord(where, number, name, (width, height), data.take(f"{count}d"))


def binary_images(path: Path) -> Iterator[ImageRecord]:
    """Raises CalibrationError where the file is damaged or of another kind."""
    with path.open("rb") as stream:
        data = _Bytes(path, stream)
        for _ in range(data.count("images")):
            _, *pose, lens = data.take("i7di")
            name = data.name()
            data.skip(data.take("Q")[0] * _POINT_BYTES)
            yield ImageRecord(name, lens, tuple(pose))


class _Bytes:
    """A little-endian file that is read from its beginning to its end."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size

    def take(self, layout: str) -> tuple:
        layout = "<" + layout
        data = self.stream.read(struct.calcsize(layout))
        if len(data) < struct.calcsize(layout):
            raise self._too_early()
        return struct.unpack(layout, data)

    def count(self, what: str) -> int:
        """How many records follow."""
        (count,) = self.take("Q")
        if count > MAX_RECORDS:
            raise CalibrationError(f"{self.path.name} has more than {MAX_RECORDS} {what}; is it COLMAP's?")
        return count

    def name(self) -> str:
        start = self.stream.tell()
        data, end, _ = self.stream.read(_LONGEST_NAME).partition(b"\0")
        if not end:
            raise self._too_early()
        self.stream.seek(start + len(data) + 1)
        return data.decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        place = self.stream.tell() + count
        if place > self.size:
            raise self._too_early()
        self.stream.seek(place)

    def _too_early(self) -> CalibrationError:
        return CalibrationError(f"{self.path.name} ends too early, at byte {self.size}; is it COLMAP's?")
