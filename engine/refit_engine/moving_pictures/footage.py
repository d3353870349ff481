# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of moving pictures before they are decoded, and which frames of them are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ImageError


@dataclass(frozen=True)
class Footage:
    """Facts of a movie or an image sequence.

    size: (width, height) of upright frames in pixels. times: [F] seconds of every frame from the first one, rising.
    rate: nominal frames a second. quarter_turns: clockwise turns that make stored frames upright; the reader makes them.
    pixel_aspect: width of a pixel over its height, in upright frames.
    """

    path: Path
    size: tuple[int, int]
    times: np.ndarray
    rate: float
    quarter_turns: int = 0
    pixel_aspect: float = 1.0

    @property
    def count(self) -> int:
        """Frames in the file, readable or not."""
        return len(self.times)


class MovingPictures(Protocol):
    """A reader of moving pictures."""

    footage: Footage

    @property
    def files(self) -> Sequence[Path]:
        """All that it reads from."""
        ...

    def read(self, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Each of the wanted frames (numbers from 0, rising) with its pixels [H,W,3] uint8 RGB, None if it is damaged."""
        ...


@dataclass(frozen=True)
class FrameRange:
    """Frames `start` up to but not including `stop` (None: to the end), every `step`-th. Raises ImageError."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.step < 1 or (self.stop is not None and self.stop <= self.start):
            raise ImageError(
                "A range of frames is A:B:STEP with A from 0, B behind A and STEP at least 1, "
                f"not {self.start}:{'' if self.stop is None else self.stop}:{self.step}."
            )

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """From `A:B:STEP`, of which all parts may be empty. Raises ImageError."""
        parts = text.split(":")
        try:
            if len(parts) > 3:
                raise ValueError
            start, stop, step = (int(part) if part.strip() else None for part in (parts + ["", ""])[:3])
        except ValueError:
            raise ImageError(f"A range of frames is A:B:STEP, three whole numbers, not {text!r}.") from None
        return cls(start or 0, stop, 1 if step is None else step)

    def of(self, footage: Footage) -> np.ndarray:
        """The numbers of the frames in a movie. Raises ImageError where there are none."""
        stop = footage.count if self.stop is None else min(self.stop, footage.count)
        numbers = np.arange(self.start, stop, self.step)
        if not len(numbers):
            raise ImageError(f"{footage.path.name} has {footage.count} frames, so none from {self.start} on.")
        return numbers
