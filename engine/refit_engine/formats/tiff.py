# SPDX-License-Identifier: GPL-3.0-or-later
"""TIFF's directories (TIFF 6.0, BigTIFF): of picture files, of EXIF (CIPA DC-008), of makers' notes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .header import Header

_WIDTH, _HEIGHT, _BITS, _ORIENTATION, _SAMPLES = 256, 257, 258, 274, 277
_STRIPS, _STRIP_LENGTHS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_LENGTHS = 273, 279, 322, 323, 324, 325
_XMP = 700
# struct's letters by type, from 1: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL,
# FLOAT, DOUBLE; 16: LONG8.
_LETTERS = dict(enumerate(("B", "s", "H", "I", "II", "b", "s", "h", "i", "ii", "f", "d"), start=1)) | {16: "Q"}
_MAX_ENTRIES = 4096
_MAX_PIECES = 1 << 20  # strips or tiles


@dataclass(frozen=True)
class Entry:
    """One tag of a directory: its type, how many values, and where they lie in the data."""

    kind: int
    count: int
    where: int


@dataclass(frozen=True)
class Directory:
    """The tags of one directory of `data`, whose numbers are in struct's `order`. whole: whether all of it is there."""

    data: bytes
    order: str
    entries: dict[int, Entry]
    whole: bool = True

    def number(self, tag: int) -> float | None:
        """The tag's value where it is a single number."""
        entry = self.entries.get(tag)
        values = self.numbers(tag) if entry and entry.count == 1 else ()
        return values[0] if values else None

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The tag's values; none where there are none, where they are text, or a divisor is 0."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind in (2, 7) or entry.count > _MAX_PIECES:
            return ()
        letter = _LETTERS[entry.kind]
        values = struct.unpack_from(f"{self.order}{entry.count * len(letter)}{letter[0]}", self.data, entry.where)
        if len(letter) == 1:
            return values
        tops, bottoms = values[::2], values[1::2]
        return () if 0 in bottoms else tuple(top / bottom for top, bottom in zip(tops, bottoms, strict=True))

    def content(self, tag: int) -> bytes:
        """The tag's bytes; none where it is not there."""
        entry = self.entries.get(tag)
        if entry is None:
            return b""
        return self.data[entry.where : entry.where + entry.count * struct.calcsize("<" + _LETTERS[entry.kind])]


def read_directory(data: bytes, order: str, offset: int, *, big: bool = False) -> Directory:
    """The directory at `offset`; entries of unknown type or that point outside the data are left out."""
    entries: dict[int, Entry] = {}
    size, counter, inline = (20, "Q", 8) if big else (12, "H", 4)
    first = offset + struct.calcsize(order + counter)
    if offset < 0 or first > len(data):
        return Directory(data, order, entries, whole=False)
    (count,) = struct.unpack_from(order + counter, data, offset)
    for start in range(first, min(first + size * min(count, _MAX_ENTRIES), len(data) - size + 1), size):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, start)
        if kind not in _LETTERS:
            continue
        where, length = start + size - inline, number * struct.calcsize("<" + _LETTERS[kind])
        if length > inline:
            (where,) = struct.unpack_from(order + ("Q" if big else "I"), data, where)
        if where + length <= len(data) and number:
            entries[tag] = Entry(kind, number, where)
    return Directory(data, order, entries, whole=first + size * count <= len(data))


def first_directory(data: bytes) -> Directory | None:
    """The first directory of a TIFF structure, None for other data."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    if big and len(data) < 16:
        return None
    offset = struct.unpack_from(order + "Q", data, 8)[0] if big else struct.unpack_from(order + "I", data, 4)[0]
    return read_directory(data, order, offset, big=big)


def read_header(data: bytes) -> Header | None:
    """Size, channels, and whether all pixels are there, of a TIFF file's first picture."""
    tags = first_directory(data)
    if tags is None:
        return None
    width, height = tags.number(_WIDTH), tags.number(_HEIGHT)
    if not tags.whole:
        return Header("TIFF", None, complete=False)
    if not width or not height:
        return None
    bits = max(tags.numbers(_BITS) or (8.0,))
    # A tile is decoded as a whole, however much of it lies outside the picture.
    width, height = max(width, tags.number(_TILE_WIDTH) or 0), max(height, tags.number(_TILE_HEIGHT) or 0)
    return Header(
        "TIFF",
        (int(width), int(height)),
        pixel_bytes=max(3, int(tags.number(_SAMPLES) or 1)) * max(1, int(bits) // 8),
        exif=data,
        xmp=tags.content(_XMP),
        complete=_is_complete(tags),
    )


def _is_complete(tags: Directory) -> bool:
    for offsets, lengths in ((_STRIPS, _STRIP_LENGTHS), (_TILES, _TILE_LENGTHS)):
        pieces = zip(tags.numbers(offsets), tags.numbers(lengths), strict=False)
        if any(start + length > len(tags.data) for start, length in pieces):
            return False
    return True


def without_turn(data: bytes) -> bytes:
    """The same TIFF with its orientation tag set to 1, so that decoders leave the pixels as they are stored."""
    tags = first_directory(data)
    entry = tags.entries.get(_ORIENTATION) if tags else None
    if tags is None or entry is None or entry.kind != 3 or tags.number(_ORIENTATION) == 1:
        return data
    return data[: entry.where] + struct.pack(tags.order + "H", 1) + data[entry.where + 2 :]
