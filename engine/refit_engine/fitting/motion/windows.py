# SPDX-License-Identifier: GPL-3.0-or-later
"""Long tracks, solved piece by piece: the equations do not grow with their length.

Pieces overlap by so much that what is kept of each hardly depends on where it was cut. A track ends where a person is away for
long and starts anew afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ...body import LandmarkBody
from ...motion_results import ABSENT, FILLED, SEEN
from .contacts import of_feet
from .footing import Footing
from .numbers import NUMBERS, MotionNumbers
from .observations import Motion, Observations
from .solve import solve_motion


class SolvedTrack(NamedTuple):
    """A person over all F instants of a video; NaN where nothing is known."""

    state: Tensor
    """[F] ABSENT, SEEN or FILLED."""
    rotmats: Tensor
    """[F,24,3,3]."""
    pelvis: Tensor
    """[F,3]."""
    joint_std_m: Tensor
    """[F,24]."""
    joint_std_rad: Tensor
    """[F,24]."""
    contacts: Tensor
    """[F,2] of the left and the right foot."""


def solve_track(
    seen: Observations,
    times: Tensor,
    body: LandmarkBody,
    betas: Tensor,
    numbers: MotionNumbers = NUMBERS,
    progress: Callable[[int], None] = lambda _: None,
    footing: Footing | None = None,
    before: SolvedTrack | None = None,
) -> SolvedTrack:
    """The motion of a person over the instants `times` [F], seconds, of which some are observed.

    betas: [10]. footing: the floor, where it is known. before: the track as it was solved before. progress: told the number of instants that are solved; raises Cancelled to stop.
    """
    track = _unknown(len(times))
    track.state[seen.frame] = SEEN
    for start, stop in segments(seen.instants(), times, numbers.longest_gap):
        filled = track.state[start:stop]
        filled[filled == ABSENT] = FILLED
        for low, high, kept in windows(times[start:stop], numbers):
            low, high, kept = low + start, high + start, slice(kept.start + start, kept.stop + start)
            began = None if before is None else Motion(before.rotmats[low:high], before.pelvis[low:high])
            told = partial(_told, progress, kept)
            solution = solve_motion(
                seen.between(low, high), times[low:high], body, betas, numbers, footing, began, told
            )
            inside = slice(kept.start - low, kept.stop - low)
            track.rotmats[kept] = solution.motion.rotmats[inside]
            track.pelvis[kept] = solution.motion.pelvis[inside]
            track.joint_std_m[kept] = solution.joint_std_m[inside]
            track.joint_std_rad[kept] = solution.joint_std_rad[inside]
            track.contacts[kept] = of_feet(solution.standing)[inside]
            progress(kept.stop)
    return track


def _told(progress: Callable[[int], None], kept: slice, share: float) -> None:
    progress(kept.start + round(share * (kept.stop - kept.start)))


def segments(observed: Tensor, times: Tensor, longest_gap: float) -> list[tuple[int, int]]:
    """From where to where [start, stop) a person is there, given the numbers of the observed instants, rising."""
    stamps = times[observed]
    cuts = (stamps[1:] - stamps[:-1] > longest_gap).nonzero()[:, 0] + 1
    parts = torch.tensor_split(observed, cuts)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def windows(times: Tensor, numbers: MotionNumbers = NUMBERS) -> Iterator[tuple[int, int, slice]]:
    """Pieces [low, high) of a track over `times` [F], and the part of it that is kept of each.

    The kept parts follow each other without overlap; the last one may be longer by up to a half.
    """
    count = len(times)
    start = 0
    while start < count:
        stop = int(torch.searchsorted(times, times[start] + numbers.window))
        stop = min(stop, start + numbers.window_frames)
        if count - stop < (stop - start) / 2:
            stop = count
        low = int(torch.searchsorted(times, times[start] - numbers.margin))
        high = int(torch.searchsorted(times, times[stop - 1] + numbers.margin, right=True))
        yield low, high, slice(start, stop)
        start = stop


def _unknown(count: int) -> SolvedTrack:
    def nan(*shape: int) -> Tensor:
        return torch.full((count, *shape), torch.nan, dtype=torch.float64)

    state = torch.full((count,), ABSENT, dtype=torch.uint8)
    return SolvedTrack(state, nan(24, 3, 3), nan(3), nan(24), nan(24), nan(2))
