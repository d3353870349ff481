# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats whose header is a few numbers at the start: GIF, BMP, PNM."""

from __future__ import annotations

import re
import struct

from .header import Header

_PNM_NUMBER = re.compile(rb"(?:\s|#[^\n]*\n)*(\d{1,9})\s")
_BMP_INFO = 40


def read_gif(data: bytes) -> Header:
    """The screen of a GIF (GIF89a specification, section 18)."""
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("GIF", (width, height), pixel_bytes=4, animated=True)


def read_bmp(data: bytes) -> Header:
    """The info header of a BMP (BITMAPINFOHEADER and BITMAPCOREHEADER), and whether plain pixels are all there."""
    start, info = struct.unpack_from("<II", data, 10)
    if info < _BMP_INFO:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packing = 0
    else:
        width, height, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    width, height = abs(width), abs(height)
    length = (width * bits + 31) // 32 * 4 * height
    return Header("BMP", (width, height), pixel_bytes=4, complete=packing in (1, 2) or start + length <= len(data))


def read_pnm(data: bytes) -> Header | None:
    """Portable bitmap, greymap or pixmap (Netpbm's pbm, pgm, ppm)."""
    numbers: list[int] = []
    position = 2
    for _ in range(2 if data[:2] in (b"P1", b"P4") else 3):
        found = _PNM_NUMBER.match(data, position, position + 4096)
        if not found:
            return None
        numbers.append(int(found[1]))
        position = found.end() - 1
    width, height = numbers[:2]
    deep = len(numbers) == 3 and numbers[2] > 255
    # Of the kinds whose numbers are binary.
    row = {b"P4": (width + 7) // 8, b"P5": width, b"P6": 3 * width}.get(data[:2], 0) * (2 if deep else 1)
    complete = position + 1 + row * height <= len(data)
    return Header("PNM", (width, height), pixel_bytes=6 if deep else 3, complete=complete)
