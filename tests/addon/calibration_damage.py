# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged copies of calibration files: cut, overwritten, doubled, and with numbers that nobody expects."""

import re
import struct

import numpy as np

# Bytes that mean something in one of the formats.
MARKS = np.frombuffer(b"\0\t\n \"#%&'*,-./0159:<>=?[]{}_eE\\|~!\x80\xff", np.uint8)
INSERTED = (b"9" * 400, b"[" * 60, b"-1e308", b"nan", b".inf", b"&a *a", b"\xef\xbb\xbf")
NUMBER = re.compile(rb"(?<![\w.])-?\d+(\.\d*)?([eE][-+]?\d+)?(?![\w.])")
NUMBERS = (
    b"0",
    b"-1",
    b"3",
    b"1e-320",
    b"1e308",
    b"-1e9",
    b"65537",
    b"4294967296",
    b"9" * 400,
    b"nan",
    b"1e400",
    b"0.5",
)
DOUBLES = (0.0, -1.0, 1e-320, 1e308, -1e9, float("nan"), float("inf"))


def damaged(whole: bytes, rng: np.random.Generator, *, binary: bool) -> bytes:
    """The file with other numbers, or cut off, overwritten, or with a part twice or not at all."""
    data = bytearray(whole)
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 3)):
            _change_number(data, rng, binary)
        return bytes(data)
    for _ in range(rng.integers(1, 4)):
        if data:
            _change_bytes(data, rng)
    return bytes(data)


def _change_number(data: bytearray, rng: np.random.Generator, binary: bool) -> None:
    if binary:
        place = int(rng.integers(0, len(data) - 8))
        data[place : place + 8] = struct.pack("<d", rng.choice(DOUBLES)) if rng.random() < 0.7 else b"\xff" * 8
        return
    found = list(NUMBER.finditer(data))
    chosen = found[rng.integers(len(found))]
    data[chosen.start() : chosen.end()] = NUMBERS[rng.integers(len(NUMBERS))]


def _change_bytes(data: bytearray, rng: np.random.Generator) -> None:
    start, end = (int(place) for place in sorted(rng.integers(0, len(data) + 1, 2)))
    match rng.integers(6):
        case 0:
            del data[end:]
        case 1:
            data[start:start] = data[start : min(end, start + 200)]
        case 2:
            del data[start : min(end, start + 40)]
        case 3:
            data[start:start] = INSERTED[rng.integers(len(INSERTED))]
        case _:
            for place in rng.integers(0, len(data), 3):
                data[place : place + 1] = bytes([rng.choice(MARKS)])
