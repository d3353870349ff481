# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at all wanted frames of a video, one block of them after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...gravity import LineEvidence, find_lines, with_found_focal
from ..job import FitJob
from .blocks import BLOCK, LEAD_SECONDS, Block, BlockStore, BlockTrack, block_starts, file_content
from .frame_fit import FrameFitter, Record
from .observer import Frame, Observer
from .people import Key
from .request import VideoView
from .stitching import stitched


class Wanted(NamedTuple):
    """The one person who is wanted. box_xywh: [4] in the first view at an instant; None for everybody."""

    box_xywh: np.ndarray | None = None
    instant: int | None = None

    def boxes(self, view: int, instant: int) -> np.ndarray:
        """Boxes [N,4] of people who are there for sure."""
        if self.box_xywh is None or view or instant != self.instant:
            return np.zeros((0, 4))
        return np.asarray(self.box_xywh, dtype=np.float64)[None]


class VideoWatch:
    """Looks at one view of a job, and keeps what it has seen in a store."""

    def __init__(
        self, job: FitJob, number: int, view: VideoView, times: np.ndarray, wanted: Wanted, store: BlockStore
    ) -> None:
        self._job, self.number, self._view, self._times = job, number, view, times
        self._wanted, self._store = wanted, store

    def look(self, told: Callable[[int], None]) -> tuple[np.ndarray, dict[Key, Record]]:
        """Look at all instants: which frames could be read [F], and the records of all tracks.

        told: how many instants are done; raises Cancelled to stop.
        """
        readable = np.zeros(len(self._times), dtype=bool)

        def blocks() -> Iterator[tuple[int, Block]]:
            for start in block_starts(len(readable)):
                block = self.block(start, told)
                readable[start : start + len(block.readable)] = block.readable
                yield start, block

        records = stitched(self.number, blocks())
        self._say_unread(readable)
        return readable, records

    def block(self, start: int, told: Callable[[int], None] = lambda _: None) -> Block:
        """The block that starts at an instant, from the store where it is there."""
        block = self.kept(start)
        if block is None:
            block = self._look(start, self._stop(start), told)
            self.keep(start, file_content(block))
        return block

    def kept(self, start: int) -> Block | None:
        """The block that starts at an instant, if the store has it."""
        block = self._store.read(self.number, start)
        return block if block is not None and len(block.readable) == self._stop(start) - start else None

    def keep(self, start: int, content: bytes) -> None:
        """Give the store a block's file."""
        self._store.write(self.number, start, content)

    def _stop(self, start: int) -> int:
        return min(start + BLOCK, len(self._times))

    def _look(self, start: int, stop: int, told: Callable[[int], None]) -> Block:
        first = int(np.searchsorted(self._times, float(self._times[start]) - LEAD_SECONDS))
        readable = np.zeros(stop - first, dtype=bool)
        fits = FrameFitter(self._job)
        observer = Observer(self._job, fits, self.number, float(self._times[first]))
        for place, pixels in enumerate(self._frames(first, stop), first):
            told(max(place, start))
            if place == start:
                observer.flush()
            if pixels is not None:
                readable[place - first] = True
                pixels = self._view.undistorted(pixels, place)
                boxes = self._wanted.boxes(self.number, place)
                observer.look(Frame(place, float(self._times[place]), pixels, self._view.intrinsics[place], boxes))
        observer.flush()
        tracks = [BlockTrack(one.first, one.began, one.track) for one in observer.followed]
        return Block(readable[start - first :], tracks, fits.take())

    def _frames(self, start: int, stop: int) -> Iterator[np.ndarray | None]:
        """The view's frame at instants, upright RGB; None where there is none."""
        frames = self._view.read(start, stop)
        for _ in range(start, stop):
            with self._job.timed("decode"):
                pixels = next(frames)
            yield pixels

    def _say_unread(self, readable: np.ndarray) -> None:
        frames = self._view.frames
        missing = frames[(frames >= 0) & ~readable]
        if len(missing):
            some = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
            name = self._view.pictures.footage.path.name
            self._job.say(f"{len(missing)} frames of {name} cannot be read and are filled in: {some}.")


class BlockWork(NamedTuple):
    """A block of frames that is to be looked at, whoever does it."""

    watch: VideoWatch
    start: int

    def look(self) -> Block:
        """What the frames show, from the store where it is there."""
        return self.watch.block(self.start)

    def kept(self) -> bool:
        """Whether the store has what the frames show."""
        return self.watch.kept(self.start) is not None

    def keep(self, content: bytes) -> None:
        """Give the store the block's file, which another engine has made."""
        self.watch.keep(self.start, content)


class Prepared(NamedTuple):
    """A job whose videos are open. times: [F] seconds; watches: one a view; lines: what straight lines of a still camera say."""

    views: list[VideoView]
    times: np.ndarray
    wanted: Wanted
    watches: list[VideoWatch]
    lines: LineEvidence | None

    def blocks(self, chunk: tuple[int, int] | None = None) -> list[BlockWork]:
        """All blocks, or those that begin at frames [A, B) of the first video."""
        numbers = self.views[0].frames
        starts = [
            start for start in block_starts(len(self.times)) if chunk is None or chunk[0] <= numbers[start] < chunk[1]
        ]
        return [BlockWork(watch, start) for watch in self.watches for start in starts]


def share(blocks: Sequence[BlockWork], number: int, count: int) -> list[BlockWork]:
    """The share with a number, from 1, of `count` equal shares."""
    return list(blocks[(number - 1) * len(blocks) // count : number * len(blocks) // count])


def with_lines(job: FitJob, view: VideoView) -> tuple[VideoView, LineEvidence | None]:
    """The view with the focal length that straight lines of its first readable frame tell, and what they say of up."""
    for _, pixels in view.pictures.read(view.frames.tolist()):
        if pixels is not None:
            with job.timed("lines"):
                lines = find_lines(pixels, np.zeros((0, 4)), view.intrinsics[0], 0)
                found = with_found_focal(view.intrinsics[0], lines, pixels.shape[1::-1])
            return replace(view, intrinsics=(found,) * len(view.intrinsics)), lines
    return view, None
