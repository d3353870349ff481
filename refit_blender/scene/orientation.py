# SPDX-License-Identifier: GPL-3.0-or-later
"""How a photo has to be turned to stand upright, as its EXIF data say. Blender shows pictures as they are stored."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_ORIENTATION = 0x0112
_PNG = b"\x89PNG\r\n\x1a\n"


class Turn(NamedTuple):
    """Clockwise quarter turns, after which the picture is mirrored left to right or not."""

    quarters: int = 0
    mirrored: bool = False


# By the values of the tag (CIPA DC-008, 4.6.4).
_TURNS = {
    2: Turn(0, True),
    3: Turn(2),
    4: Turn(2, True),
    5: Turn(1, True),
    6: Turn(1),
    7: Turn(3, True),
    8: Turn(3),
}


def turn_of(path: Path) -> Turn:
    """How a JPEG, PNG or WebP file has to be turned; other files, and damaged ones, stand as they are."""
    try:
        with path.open("rb") as stream:
            return _TURNS.get(_orientation(_exif(stream)), Turn())
    except (OSError, struct.error):
        return Turn()


def _exif(stream: BinaryIO) -> bytes:
    """The EXIF data of a picture, from their TIFF header on; empty where there are none. Raises struct.error."""
    head = stream.read(12)
    found = b""
    if head[:2] == b"\xff\xd8":
        stream.seek(2)
        found = _jpeg_segment(stream)
    elif head[:8] == _PNG:
        stream.seek(8)
        found = _png_chunk(stream)
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        found = _webp_chunk(stream)
    return found.removeprefix(b"Exif\0\0")


def _jpeg_segment(stream: BinaryIO) -> bytes:
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        segment = stream.read(struct.unpack(">H", head[2:])[0] - 2)
        if head[1] == 0xE1 and segment.startswith(b"Exif\0\0"):
            return segment
    return b""


def _png_chunk(stream: BinaryIO) -> bytes:
    while len(head := stream.read(8)) == 8:
        length = struct.unpack(">I", head[:4])[0]
        if head[4:] == b"eXIf":
            return stream.read(length)
        stream.seek(length + 4, 1)  # a checksum follows
    return b""


def _webp_chunk(stream: BinaryIO) -> bytes:
    while len(head := stream.read(8)) == 8:
        length = struct.unpack("<I", head[4:])[0]
        if head[:4] == b"EXIF":
            return stream.read(length)
        stream.seek(length + length % 2, 1)
    return b""


def _orientation(tiff: bytes) -> int:
    """The tag's value in the first directory of EXIF data; 1 where it is absent. Raises struct.error."""
    if not tiff:
        return 1
    order = "<" if tiff[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", tiff, 4)[0]
    for index in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * index)
        if tag == _ORIENTATION:
            return value
    return 1
