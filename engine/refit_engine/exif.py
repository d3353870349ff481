# SPDX-License-Identifier: GPL-3.0-or-later
"""What EXIF tells of a photo: how to turn it, and its focal length (CIPA DC-008, "Exif 2.32")."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

from .formats import Turn
from .formats.tiff import Directory, first_directory, read_directory

# Diagonal of the 36 x 24 mm frame: "35 mm equivalent" is defined by equal diagonals.
_FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
_RESOLUTION_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}

_ORIENTATION, _EXIF_IFD, _MAKER_NOTE, _LENS_MODEL = 0x0112, 0x8769, 0x927C, 0xA434
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PIXELS_X, _PIXELS_Y = 0xA002, 0xA003
_PLANE_RESOLUTION_X, _PLANE_RESOLUTION_UNIT = 0xA20E, 0xA210

_TURNS = {
    1: Turn(),
    2: Turn(0, True),
    3: Turn(2),
    4: Turn(2, True),
    5: Turn(1, True),
    6: Turn(1),
    7: Turn(3, True),
    8: Turn(3),
}


@dataclass(frozen=True)
class Exif:
    """tags: the tags that are single numbers; maker_note: the camera maker's own block; lens: the lens' name."""

    tags: dict[int, float] = field(default_factory=dict[int, float])
    maker_note: bytes = b""
    lens: str = ""

    @property
    def turn(self) -> Turn:
        """How the stored pixels become upright."""
        return _TURNS.get(int(self.tags.get(_ORIENTATION, 1)), Turn())


def read_exif(data: bytes) -> Exif:
    """EXIF from its TIFF structure, or from a TIFF file. Damaged or foreign data give nothing, or what is readable."""
    try:
        return _read(data)
    except struct.error:
        return Exif()


def _read(data: bytes) -> Exif:
    main = first_directory(data)
    if main is None:
        return Exif()
    tags = _numbers(main)
    if _EXIF_IFD not in tags:
        return Exif(tags)
    camera = read_directory(data, main.order, int(tags[_EXIF_IFD]))
    lens = camera.content(_LENS_MODEL)[:256].decode("utf-8", "replace").rstrip("\0")
    return Exif(tags | _numbers(camera), camera.content(_MAKER_NOTE), lens)


def _numbers(directory: Directory) -> dict[int, float]:
    found = ((tag, directory.number(tag)) for tag in directory.entries)
    return {tag: float(value) for tag, value in found if value is not None and math.isfinite(value)}


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
