# SPDX-License-Identifier: GPL-3.0-or-later
"""What videos show, and whose tracks are one person's: those of several cameras that see the same points of space."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ...gravity import LineEvidence
from ..multiview.triangulation import crossing
from .frame_fit import Record, certain_median
from .request import VideoView
from .tracks import shared_joints

COMMON = 20
"""Instants at most at which two tracks are compared."""
LEAST_COMMON = 3
"""Instants at least that two tracks must share, or all of the shorter track: lone rays may cross by chance."""
APART = 0.15
"""Metres (median over instants) that sight rays to the joints of one person pass by each other, at most."""

PARALLEL = 0.05
"""Sine of the angle between two rays below which they tell nothing."""

Key = tuple[int, int]
"""View and track."""


class Person(NamedTuple):
    """Somebody's tracks, by view; a view may have several, one after the other."""

    tracks: tuple[tuple[int, Record], ...]

    def betas(self) -> np.ndarray:
        """The shape [10] of the followed body that all frames agree on."""
        shapes = np.concatenate([np.array(record.betas) for _, record in self.tracks])
        certainty = np.concatenate([np.array(record.certainty) for _, record in self.tracks])
        return certain_median(shapes, certainty)

    def extent(self) -> float:
        """How much of the videos the person fills: heights in pixels, summed over frames."""
        return sum(float(np.ptp(seen[:, 1])) for _, record in self.tracks for seen in record.landmarks)


class Observed(NamedTuple):
    """What the frames of videos show.

    readable: [C,F] which frames could be read; records: by view and track; lines: what straight lines say of up, None where
    cameras are placed; box: [4] the wanted person's at the instant `box_instant`, None for everybody.
    """

    views: list[VideoView]
    times: np.ndarray
    readable: np.ndarray
    records: dict[tuple[int, int], Record]
    lines: LineEvidence | None
    box: np.ndarray | None = None
    box_instant: int | None = None


def match_tracks(records: Mapping[Key, Record], views: list[VideoView]) -> list[tuple[tuple[int, Record], ...]]:
    """The tracks of each person, with their views.

    Tracks are joined from the best pair on, unless two of one view would then be one person at the same instant.
    """
    groups = {key: {key} for key in records}
    pairs = [(rays_apart(records, views, a, b), a, b) for a, b in combinations(records, 2) if a[0] != b[0]]
    for apart, a, b in sorted(pairs):
        if apart > APART:
            break
        joined = groups[a] | groups[b]
        if groups[a] is not groups[b] and not _collide(joined, records):
            for key in joined:
                groups[key] = joined
    distinct = {id(group): group for group in groups.values()}.values()
    return [tuple((key[0], records[key]) for key in sorted(group)) for group in distinct]


def rays_apart(records: Mapping[Key, Record], views: list[VideoView], a: Key, b: Key) -> float:
    """Metres by which the sight rays of two tracks to the same joints miss each other, the median; infinity if unknown."""
    frames = np.intersect1d(records[a].frames, records[b].frames)
    if len(frames) < max(1, min(LEAST_COMMON, len(records[a].frames), len(records[b].frames))):
        return float("inf")
    frames = frames[np.linspace(0, len(frames) - 1, min(COMMON, len(frames))).astype(int)]
    distances: list[float] = []
    for frame in frames:
        (o1, d1), (o2, d2) = (_rays(records[key], views[key[0]], int(frame)) for key in (a, b))
        along, other, squared_sine = crossing(o1, d1, o2, d2, PARALLEL**2)
        missed = np.linalg.norm(o1 + along[:, None] * d1 - o2 - other[:, None] * d2, axis=1)
        telling = squared_sine > PARALLEL**2
        if telling.any():
            distances.append(float(np.median(missed[telling])))
    return float(np.median(distances)) if distances else float("inf")


def _collide(keys: set[Key], records: Mapping[Key, Record]) -> bool:
    """Whether two of the tracks are of one view and the same instant."""
    return any(
        a[0] == b[0] and np.intersect1d(records[a].frames, records[b].frames).size for a, b in combinations(keys, 2)
    )


def _rays(record: Record, view: VideoView, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """The camera's place [3] and unit directions [17,3] to the joints, world frame."""
    joints = shared_joints(record.landmarks[record.frames.index(frame)])
    K, R, t = view.intrinsics[frame], view.R[frame], view.t[frame]
    ahead = np.column_stack([(joints - K.principal) / K.focal, np.ones(len(joints))])
    return -R.T @ t, ahead @ R / np.linalg.norm(ahead, axis=1, keepdims=True)
