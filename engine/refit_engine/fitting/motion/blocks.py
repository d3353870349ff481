# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of a video's frames, each looked at for itself, and what was seen of them in files.

Nothing is known in a block of those before it: it does not matter where a job was stopped, or which machine looks at which
block. The observer begins a little before a block, so that everybody who is there has been found when it starts.
`stitching` tells who is who from block to block. Files hold plain arrays, digit for digit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...files import npz_bytes
from ...images import write_atomically
from ...npz import NpzError, read_npz
from .frame_fit import Record
from .people import Key
from .tracks import Found, Track

log = logging.getLogger(__name__)

BLOCK = 200
"""Instants of a block: what is lost at most when a job is stopped."""
LEAD_SECONDS = 0.4
"""From which on the observer looks before a block: the detector passes three times."""

_RECORDS = {
    "landmarks": (np.float32, (33, 3)),
    "rotmats": (np.float32, (24, 3, 3)),
    "depths": (np.float64, ()),
    "slants": (np.float32, (2,)),
    "betas": (np.float32, (10,)),
    "certainty": (np.float64, ()),
}
_TRACKS = {
    "first_joints": (17, 2),
    "first_colours": (6,),
    "first_time": (),
    "last_joints": (17, 2),
    "last_colours": (6,),
    "last_time": (),
    "velocity": (2,),
}


class BlockTrack(NamedTuple):
    """How a track of a block began, at a time in seconds, and how it was left."""

    first: Found
    began: float
    last: Track


class Block(NamedTuple):
    """Some instants of a view.

    readable: [n] which frames could be read; tracks: everybody who was seen; records: what was seen of them, the instants before
    the block too, by view and number in `tracks`.
    """

    readable: np.ndarray
    tracks: list[BlockTrack]
    records: dict[Key, Record]


def block_starts(count: int) -> range:
    """The first instants of the blocks of a video with that many."""
    return range(0, count, BLOCK)


class BlockStore:
    """Blocks in a folder; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, view: int, start: int) -> Block | None:
        """The block of a view that starts at an instant; None where it is missing or damaged."""
        if self._folder is None:
            return None
        try:
            return unpack(read_npz(self._path(self._folder, view, start)))
        except (NpzError, KeyError, ValueError):
            return None

    def write(self, view: int, start: int, content: bytes) -> None:
        """Keep a block's `file_content`. Where nothing can be written, e.g. to a full disk, nothing more is kept of the job."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(self._folder, view, start), content)
        except OSError as error:
            log.warning("Nothing more is kept of this job: %s", error)
            self._folder = None

    def _path(self, folder: Path, view: int, start: int) -> Path:
        return folder / f"view-{view:02d}-{start:07d}.npz"


def file_content(block: Block) -> bytes:
    """A block as it lies in a file."""
    return npz_bytes(pack(block))


def pack(block: Block) -> dict[str, np.ndarray]:
    """A block as arrays: records one track after the other, then the tracks."""
    keys = sorted(block.records)
    arrays = {
        "readable": block.readable.astype(bool),
        "record_keys": np.array(keys, dtype=np.int64).reshape(-1, 2),
        "record_lengths": np.array([len(block.records[key].frames) for key in keys], dtype=np.int64),
        "record_frames": np.array([frame for key in keys for frame in block.records[key].frames], dtype=np.int64),
    }
    for name, (kind, shape) in _RECORDS.items():
        values = [value for key in keys for value in getattr(block.records[key], name)]
        arrays[f"record_{name}"] = np.array(values, dtype=kind).reshape(len(values), *shape)
    tracks = [_numbers(one) for one in block.tracks]
    for name, shape in _TRACKS.items():
        values = [one[name] for one in tracks]
        arrays[f"track_{name}"] = np.array(values, dtype=np.float64).reshape(len(values), *shape)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> Block:
    """The inverse of `pack`. Raises KeyError, ValueError where arrays are missing or do not fit together."""
    tracks, records = _tracks(arrays), _records(arrays)
    if any(not 0 <= number < len(tracks) for _, number in records):
        raise ValueError("A record has no track.")
    return Block(_checked(arrays, "readable", np.bool_, (-1,)), tracks, records)


def _records(arrays: Mapping[str, np.ndarray]) -> dict[Key, Record]:
    lengths = _checked(arrays, "record_lengths", np.int64, (-1,))
    keys = _checked(arrays, "record_keys", np.int64, (len(lengths), 2))
    if (lengths < 0).any():
        raise ValueError("The lengths of records are negative.")
    total = int(lengths.sum())
    frames: list[int] = _checked(arrays, "record_frames", np.int64, (total,)).tolist()
    values: dict[str, list[Any]] = {}
    for name, (kind, shape) in _RECORDS.items():
        array = _checked(arrays, f"record_{name}", kind, (total, *shape))
        values[name] = list(array) if shape else array.tolist()
    records: dict[Key, Record] = {}
    for (view, track), end, length in zip(keys.tolist(), np.cumsum(lengths).tolist(), lengths.tolist(), strict=True):
        rows = slice(end - length, end)
        record = records[view, track] = Record(frames=frames[rows])
        for name, value in values.items():
            getattr(record, name).extend(value[rows])
    return records


def _numbers(one: BlockTrack) -> dict[str, Any]:
    return {
        "first_joints": one.first.joints,
        "first_colours": one.first.colours,
        "first_time": one.began,
        "last_joints": one.last.joints,
        "last_colours": one.last.colours,
        "last_time": one.last.time,
        "velocity": one.last.velocity,
    }


def _tracks(arrays: Mapping[str, np.ndarray]) -> list[BlockTrack]:
    count = len(arrays["track_first_time"])
    of = {name: _checked(arrays, f"track_{name}", np.float64, (count, *shape)) for name, shape in _TRACKS.items()}
    return [
        BlockTrack(
            Found(of["first_joints"][row], of["first_colours"][row]),
            float(of["first_time"][row]),
            Track(
                row, of["last_joints"][row], float(of["last_time"][row]), of["last_colours"][row], of["velocity"][row]
            ),
        )
        for row in range(count)
    ]


def _checked(arrays: Mapping[str, np.ndarray], name: str, kind: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """An array of this type and shape, of which -1 stands for any number."""
    array = arrays[name]
    fits = len(array.shape) == len(shape) and all(
        side in (-1, own) for side, own in zip(shape, array.shape, strict=False)
    )
    if array.dtype != kind or not fits:
        raise ValueError(f"{name} does not fit.")
    return array
