# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered pictures: one of them, or their folder, stands for all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..images import Photo, read_photo
from .footage import Footage

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".avif", ".jp2", ".ppm", ".pgm")
)
RATE = 24.0
"""Frames a second where nobody says; Blender's default."""
LONGEST_GAP = 100_000
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)$")


class ImageSequence:
    """Reads numbered pictures; numbers that are left out are missing frames. Raises ImageError."""

    def __init__(self, path: Path, rate: float | None = None) -> None:
        if rate is not None and not 0.01 <= rate <= 10_000:
            raise ImageError(f"The frame rate must be a number of frames a second, not {rate:g}.")
        self._files = _numbered_files(path)
        numbers = sorted(self._files)
        self.files = [self._files[number] for number in numbers]
        if numbers[-1] - numbers[0] > LONGEST_GAP:
            raise ImageError(f"The pictures beside {path.name} are numbered from {numbers[0]} to {numbers[-1]}.")
        self._first = numbers[0]
        size = _first_readable(self.files).size
        rate = RATE if rate is None else rate
        times = np.arange(numbers[-1] - numbers[0] + 1) / rate
        self.footage = Footage(path, size, times, rate)

    def read(self, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """See `MovingPictures.read`; pictures that cannot be read, or have another size, are None."""
        for frame in frames:
            yield int(frame), self._pixels(int(frame))

    def _pixels(self, frame: int) -> np.ndarray | None:
        file = self._files.get(self._first + frame)
        if file is None:
            return None
        try:
            photo = read_photo(file).upright()
        except ImageError:
            return None
        return photo.pixels if photo.size == self.footage.size else None


def _first_readable(files: Sequence[Path]) -> Photo:
    """The first picture that can be read, upright. Raises ImageError, about the first one, where none can."""
    refused: ImageError | None = None
    for file in files:
        try:
            return read_photo(file).upright()
        except ImageError as error:
            refused = refused or error
    raise refused or ImageError("There are no pictures.")


def _numbered_files(path: Path) -> dict[int, Path]:
    """The pictures by number: of a folder the largest series, of a picture those that are called the same."""
    folder = path if path.is_dir() else path.parent
    series: dict[tuple[str, str], dict[int, Path]] = {}
    for file in folder.iterdir():
        name = _NUMBERED.fullmatch(file.stem)
        if name and file.suffix.lower() in PICTURE_SUFFIXES and file.is_file():
            series.setdefault((name[1], name[3] + file.suffix), {})[int(name[2])] = file
    if path.is_dir():
        if not series:
            raise ImageError(f"{path} holds no numbered pictures.")
        return max(series.values(), key=len)
    name = _NUMBERED.fullmatch(path.stem)
    found = series.get((name[1], name[3] + path.suffix), {}) if name else {}
    return found or {0: path}
