# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who from block to block of a view.

Instants that two blocks both looked at show the same people. Whoever appears later may be somebody who was away: the rules are
those that `tracks` has from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from .blocks import Block
from .frame_fit import Record
from .people import Key
from .tracks import TRACKS, Found, Track, assign, distance, shared_joints

_FAR = 1e3


def stitched(view: int, blocks: Iterable[tuple[int, Block]]) -> dict[Key, Record]:
    """The records of a view's tracks over all of its blocks, each with the instant at which it starts, in order."""
    records: dict[Key, Record] = {}
    known: list[Track] = []
    for start, block in blocks:
        names = _common(view, block, records)
        for time, numbers in _later(block, names):
            absent = [one for one in known if one.number not in names.values() and time - one.time < TRACKS.memory]
            found: list[Found] = [block.tracks[number].first for number in numbers]
            pairs = {column: absent[row].number for row, column in assign(absent, found, time).items()}
            for column, number in enumerate(numbers):
                names[number] = pairs.get(column, len(known))
                if names[number] == len(known):
                    known.append(replace(block.tracks[number].last, number=len(known)))
        for number, name in names.items():
            known[name] = replace(block.tracks[number].last, number=name)
            if (view, number) in block.records:
                _append(records.setdefault((view, name), Record()), block.records[view, number], start)
    return {key: record for key, record in records.items() if record.frames}


def _common(view: int, block: Block, records: dict[Key, Record]) -> dict[int, int]:
    """The tracks of everybody whom the blocks before saw at the same instants, by their numbers in the block."""
    names = [name for _, name in records]
    costs = np.full((len(block.tracks), len(names)), _FAR)
    for number in range(len(block.tracks)):
        for column, name in enumerate(names):
            apart = _apart(block.records.get((view, number)), records[view, name])
            costs[number, column] = _FAR if apart is None or apart > TRACKS.near else apart
    rows, columns = linear_sum_assignment(costs)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: names[column] for row, column in pairs if costs[row, column] < _FAR}


def _apart(one: Record | None, other: Record) -> float | None:
    """Median distance of joints, in sizes, at common instants; None without any."""
    if one is None:
        return None
    _, ours, theirs = np.intersect1d(one.frames, other.frames, assume_unique=True, return_indices=True)
    pairs = zip(ours.tolist(), theirs.tolist(), strict=True)
    distances = [
        distance(shared_joints(one.landmarks[row]), shared_joints(other.landmarks[other_row]))
        for row, other_row in pairs
    ]
    return float(np.median(distances)) if distances else None


def _later(block: Block, names: dict[int, int]) -> Iterator[tuple[float, list[int]]]:
    """Those of whom the blocks before know nothing, by the time in seconds at which they were found."""
    times = {number: one.began for number, one in enumerate(block.tracks) if number not in names}
    for time in sorted(set(times.values())):
        yield time, [number for number, began in times.items() if began == time]


def _append(record: Record, more: Record, start: int) -> None:
    """Add what was seen from an instant on."""
    rows = range(int(np.searchsorted(more.frames, start)), len(more.frames))
    for name, values in vars(more).items():
        getattr(record, name).extend(values[row] for row in rows)
