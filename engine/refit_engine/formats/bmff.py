# SPDX-License-Identifier: GPL-3.0-or-later
"""HEIC's and AVIF's boxes (ISO/IEC 14496-12, 23008-12): the primary picture's size and turn, EXIF, XMP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from .header import Header, Kind, Turn

_AVIF, _HEIC = {b"avif", b"avis"}, {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_XMP_TYPE = b"application/rdf+xml"
_MAX_EXTENTS = 64
_MAX_METADATA = 1 << 24


@dataclass
class _Items:
    """What a meta box says. names: item -> type; places: item -> (in idat?, [(start, length), …])."""

    primary: int = 0
    names: dict[int, bytes] = field(default_factory=dict[int, bytes])
    places: dict[int, tuple[bool, list[tuple[int, int]]]] = field(
        default_factory=dict[int, tuple[bool, list[tuple[int, int]]]]
    )
    properties: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    owned: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    idat: bytes = b""


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each box; the end may lie beyond the data."""
    while start + 8 <= min(end, len(data)):
        length, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif length == 0:
            length = end - start
        if length < head:
            return
        yield name, start + head, start + length
        start += length


def read_header(data: bytes) -> Header | None:
    """The primary picture of a HEIC or AVIF file; None for videos and for damaged files."""
    brands: set[bytes] = set()
    items, complete = None, True
    for name, start, end in boxes(data, 0, len(data)):
        complete &= end <= len(data)
        if name == b"ftyp":
            content = data[start:end]
            brands = {content[at : at + 4] for at in (0, *range(8, min(len(content), 256), 4))}
        elif name == b"meta" and items is None:
            items = _read_items(data, start + 4, end)
    kind: Kind | None = "AVIF" if brands & _AVIF else "HEIC" if brands & _HEIC else None
    if kind is None:
        return None
    if items is None:
        return Header(kind, None, complete=False) if not complete else None
    size, turn = _appearance(items)
    exif = _metadata(data, items, b"Exif")
    # The first four bytes say how many bytes are between them and the TIFF structure.
    skip = int.from_bytes(exif[:4], "big")
    return Header(
        kind,
        size,
        pixel_bytes=4 if kind == "HEIC" else 8,
        exif=exif[4 + skip :],
        xmp=_metadata(data, items, b"mime"),
        turn=turn,
        complete=complete,
    )


def _read_items(data: bytes, start: int, end: int) -> _Items:
    items = _Items()
    for name, at, stop in boxes(data, start, end):
        if name == b"pitm":
            items.primary = int.from_bytes(data[at + 4 : at + (8 if data[at] else 6)], "big")
        elif name == b"iinf":
            _read_names(data, at, stop, items)
        elif name == b"iloc":
            _read_places(data, at, items)
        elif name == b"idat":
            items.idat = data[at:stop]
        elif name == b"iprp":
            for inner, inner_at, inner_stop in boxes(data, at, stop):
                if inner == b"ipco":
                    items.properties = [(kind, data[a:b]) for kind, a, b in boxes(data, inner_at, inner_stop)]
                elif inner == b"ipma":
                    _read_owned(data, inner_at, items)
    return items


def _read_names(data: bytes, at: int, stop: int, items: _Items) -> None:
    for name, start, end in boxes(data, at + (8 if data[at] else 6), stop):
        if name == b"infe" and data[start] >= 2:
            wide = data[start] > 2
            number = int.from_bytes(data[start + 4 : start + (8 if wide else 6)], "big")
            kind = data[start + (10 if wide else 8) : start + (14 if wide else 12)]
            if kind != b"mime" or _XMP_TYPE in data[start:end]:
                items.names[number] = kind


def _read_places(data: bytes, at: int, items: _Items) -> None:
    version = data[at]
    sizes = data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    wide = 4 if version > 1 else 2
    position = at + 6 + wide
    for _ in range(int.from_bytes(data[at + 6 : position], "big")):
        number = int.from_bytes(data[position : position + wide], "big")
        position += wide
        inside = bool(version and data[position + 1] & 15 == 1)
        position += 4 if version else 2
        base = int.from_bytes(data[position : position + sizes[2]], "big")
        position += sizes[2]
        (count,) = struct.unpack_from(">H", data, position)
        position += 2
        extents: list[tuple[int, int]] = []
        step = sizes[3] + sizes[0] + sizes[1]
        for at_extent in (position + step * index for index in range(min(count, _MAX_EXTENTS))):
            middle = at_extent + sizes[3] + sizes[0]
            start = base + int.from_bytes(data[at_extent + sizes[3] : middle], "big")
            extents.append((start, int.from_bytes(data[middle : middle + sizes[1]], "big")))
        position += step * count
        if position > len(data):
            raise ValueError("iloc ends beyond the data")
        items.places[number] = inside, extents


def _read_owned(data: bytes, at: int, items: _Items) -> None:
    """Which properties (counted from 1) belong to which item."""
    wide_item, wide_index = data[at] > 0, bool(data[at + 3] & 1)
    (count,) = struct.unpack_from(">I", data, at + 4)
    position = at + 8
    for _ in range(count):
        (number,) = struct.unpack_from(">I" if wide_item else ">H", data, position)
        position += 4 if wide_item else 2
        length = data[position]
        format_ = f">{length}{'H' if wide_index else 'B'}"
        values = struct.unpack_from(format_, data, position + 1)
        position += 1 + struct.calcsize(format_)
        items.owned[number] = [value & (0x7FFF if wide_index else 0x7F) for value in values]


def _appearance(items: _Items) -> tuple[tuple[int, int] | None, Turn]:
    """Size as stored, and the turn that `irot` and `imir` make together, in the order in which they are given."""
    size, quarters, mirrored = None, 0, False
    for index in items.owned.get(items.primary, []):
        if not 0 < index <= len(items.properties):
            continue
        name, content = items.properties[index - 1]
        if name == b"ispe":
            size = struct.unpack_from(">II", content, 4)
        elif name == b"irot":  # counter-clockwise
            turn = -(content[0] & 3)
            quarters += -turn if mirrored else turn
        elif name == b"imir":
            # 1: left and right change places; 0: top and bottom, which is the same after half a turn.
            quarters += 0 if content[0] & 1 else 2
            mirrored = not mirrored
    return size, Turn(quarters % 4, mirrored)


def _metadata(data: bytes, items: _Items, kind: bytes) -> bytes:
    """The content of the first item of a type."""
    number = next((number for number, name in items.names.items() if name == kind), None)
    inside, extents = items.places.get(number, (False, [])) if number is not None else (False, [])
    source = items.idat if inside else data
    if sum(length for _, length in extents) > _MAX_METADATA:  # they may all name the same bytes
        return b""
    return b"".join(source[start : start + length] for start, length in extents)
