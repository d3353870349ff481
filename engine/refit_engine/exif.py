# SPDX-License-Identifier: GPL-3.0-or-later
"""The few facts that a JPEG's header tells: size, orientation, focal length (CIPA DC-008, "Exif 2.32")."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

# Diagonal of the 36 x 24 mm frame: "35 mm equivalent" is defined by equal diagonals.
_FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
_RESOLUTION_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PIXELS_X, _PIXELS_Y = 0xA002, 0xA003
_PLANE_RESOLUTION_X, _PLANE_RESOLUTION_UNIT = 0xA20E, 0xA210
_FORMATS = {3: "H", 4: "I", 5: "II"}  # SHORT, LONG, RATIONAL: all that these tags use

# Clockwise quarter turns that make the stored pixels upright. The mirrored orientations (2, 4, 5, 7) come from
# software, not from cameras: they are turned and left mirrored.
_QUARTER_TURNS = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}


@dataclass(frozen=True)
class JpegHeader:
    """size: (width, height) as stored, or None; tags: EXIF tag -> number; scan: offset of the compressed data."""

    size: tuple[int, int] | None = None
    tags: dict[int, float] = field(default_factory=dict)
    scan: int = 0

    @property
    def quarter_turns(self) -> int:
        """Clockwise quarter turns (0 to 3) after which the picture stands upright."""
        return _QUARTER_TURNS.get(int(self.tags.get(_ORIENTATION, 1)), 0)


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk a JPEG's segments up to the first scan. Damaged or foreign data give an empty or partial header."""
    size, tags, position = None, {}, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xDA:
            return JpegHeader(size, tags, position)
        if marker == 0xE1 and segment.startswith(b"Exif\0\0") and not tags:
            tags = _read_tags(segment[6:])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) >= 5:
            height, width = struct.unpack_from(">HH", segment, 1)
            size = (width, height)
        position += 2 + length
    return JpegHeader(size, tags, 0)


def _read_tags(tiff: bytes) -> dict[int, float]:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return {}
    tags = _read_directory(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
    if _EXIF_IFD in tags:
        tags |= _read_directory(tiff, order, int(tags[_EXIF_IFD]))
    return tags


def _read_directory(tiff: bytes, order: str, offset: int) -> dict[int, float]:
    """The single numbers of one TIFF directory; entries that point outside the data are left out."""
    tags: dict[int, float] = {}
    if offset + 2 > len(tiff):
        return tags
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    for entry in range(offset + 2, min(offset + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, entry)
        if kind not in _FORMATS or number != 1:
            continue
        where = entry + 8 if kind != 5 else struct.unpack_from(order + "I", tiff, entry + 8)[0]
        if where + struct.calcsize(order + _FORMATS[kind]) > len(tiff):
            continue
        values = struct.unpack_from(order + _FORMATS[kind], tiff, where)
        if len(values) == 1:
            tags[tag] = float(values[0])
        elif values[1]:
            tags[tag] = values[0] / values[1]
    return tags


def focal_in_pixels(tags: dict[int, float], width: int, height: int) -> float | None:
    """Focal length in pixels of a width x height photo with these EXIF tags, or None where they do not tell.

    A photo whose aspect is not the one that its EXIF records was cropped: what is left of the frame is unknown.
    """
    long_side, short_side = max(width, height), min(width, height)
    recorded = sorted((tags.get(_PIXELS_X, 0.0), tags.get(_PIXELS_Y, 0.0)))
    if recorded[0] > 0 and abs(recorded[1] / recorded[0] - long_side / short_side) > 0.02 * long_side / short_side:
        return None
    focal = None
    if tags.get(_FOCAL_LENGTH_35MM, 0) > 0:
        focal = tags[_FOCAL_LENGTH_35MM] * math.hypot(width, height) / _FULL_FRAME_DIAGONAL_MM
    elif recorded[0] > 0 and {_FOCAL_LENGTH, _PLANE_RESOLUTION_X} <= tags.keys():
        unit = _RESOLUTION_UNIT_MM.get(int(tags.get(_PLANE_RESOLUTION_UNIT, 2)), 25.4)
        focal = tags[_FOCAL_LENGTH] * tags[_PLANE_RESOLUTION_X] / unit * long_side / recorded[1]
    # Beyond a fisheye or a telescope the tags are wrong, not the lens strange.
    if focal is None or not 0.2 < focal / math.hypot(width, height) < 50:
        return None
    return focal
