# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded damage for files and messages: what readers must survive, whatever bytes they get."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

COUNT = 200
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"\x7f\xff\xff\xff",
    b"(" * 300,
    b"PK\3\4",
    b"9" * 400,
)
_ODD_VALUES: tuple[Any, ...] = (
    None, True, "", "x", "\0", "\ud800", "../../etc/passwd", 0, -1, 0.5, 1e308, 10**400, float("nan"), float("inf"), [], {},
    [[]], [1], {"a": 1}, "9" * 5000, 2**31, 2**63,
)  # fmt: skip


def damaged(content: bytes, seed: int = 0, count: int = COUNT) -> Iterator[bytes]:
    """The content with bytes changed, cut out, put in, or missing at the end; more often at its beginning and end."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            place = _place(chance, len(data))
            length = chance.choice((1, 1, 2, 4, 8, 64))
            match chance.randrange(6):
                case 0:
                    data[place : place + length] = chance.randbytes(length)
                case 1:
                    del data[place:]
                case 2:
                    del data[place : place + length]
                case 3:
                    data[place:place] = chance.choice(_INTERESTING)
                case 4:
                    data[place : place + length] = data[_place(chance, len(data)) :][:length]
                case 5:
                    new = chance.choice(_INTERESTING)
                    data[place : place + len(new)] = new
        yield bytes(data)


def _place(chance: random.Random, length: int) -> int:
    edge = min(length, 400)
    near = chance.randrange(edge + 1)
    return chance.choice((near, length - near, chance.randrange(length + 1)))


def damaged_json(value: Any, seed: int = 0, count: int = COUNT) -> Iterator[bytes]:
    """JSON with a part of it replaced or left out, and every third time with damaged bytes."""
    chance = random.Random(seed)
    text = json.dumps(value).encode()
    bytes_changed = damaged(text, seed, count)
    for number in range(count):
        if number % 3 == 2:
            yield next(bytes_changed)
            continue
        changed = copy.deepcopy(value)
        parent, key = _node(chance, changed)
        if chance.random() < 0.2:
            del parent[key]
        else:
            parent[key] = chance.choice(_ODD_VALUES)
        yield json.dumps(changed).encode()
    yield b"[" * 200_000
    yield b'{"a":' * 200_000


def _node(chance: random.Random, value: Any) -> tuple[Any, Any]:
    """Some part of a value: its container, and where it is in there."""
    parent: Any = value
    while True:
        key = chance.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        if not isinstance(parent[key], dict | list) or not parent[key] or chance.random() < 0.2:
            return parent, key
        parent = parent[key]


def damaged_npz(arrays: Mapping[str, np.ndarray], seed: int = 0, count: int = COUNT) -> Iterator[bytes]:
    """An npz with one array of another kind, shape or content, or missing, and every other time with damaged bytes."""
    random_numbers = np.random.default_rng(seed)
    bytes_changed = damaged(_npz(arrays), seed, count)
    for number in range(count):
        if number % 2:
            yield next(bytes_changed)
            continue
        name = str(random_numbers.choice(list(arrays)))
        changed = dict(arrays)
        if random_numbers.random() < 0.1:
            del changed[name]
        else:
            changed[name] = _other(arrays[name], random_numbers)
        yield _npz(changed)


def _other(array: np.ndarray, random_numbers: np.random.Generator) -> np.ndarray:
    choices = [
        np.array("\0"), np.array("x" * 5000), np.array(True), np.array([]), np.array(3.5), np.array(-1), np.array([[1]]),
        np.zeros((0, 3)), np.array([{}], dtype=object), array[None], array.ravel()[:-1], array.astype("U"), array.ravel()[:0],
    ]  # fmt: skip
    if array.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            choices += [np.full(array.shape, odd) for odd in (np.nan, np.inf, 1e300, -1e30, 2**62)]
            choices += [array.astype(np.int8), array.astype(np.float16), array * 0]
    return choices[random_numbers.integers(len(choices))]


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@contextlib.contextmanager
def limited_memory(extra: int = 1 << 30) -> Iterator[None]:
    """Within it this process may take so many more bytes (Linux; elsewhere there is no limit)."""
    if sys.platform != "linux":
        yield
        return
    import resource

    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
