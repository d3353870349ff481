# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header of a picture file says, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["JPEG", "PNG", "WebP", "TIFF", "HEIC", "AVIF", "GIF", "BMP", "JPEG 2000", "PNM"]


@dataclass(frozen=True)
class Turn:
    """How stored pixels become upright: clockwise quarter turns (0 to 3), after them left and right change places."""

    quarters: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class Header:
    """What a picture's file says before its pixels are decoded.

    size: (width, height) of the stored pixels, None where the file ends before it is said.
    pixel_bytes: memory that one decoded pixel takes.
    exif: the TIFF structure with EXIF's tags; xmp: the XMP packet; empty where there is none.
    turn: the container's own, which replaces EXIF's; None where EXIF's counts.
    complete: whether the end of the file is there. animated: whether further pictures follow the first.
    """

    kind: Kind
    size: tuple[int, int] | None
    pixel_bytes: int = 3
    exif: bytes = b""
    xmp: bytes = b""
    turn: Turn | None = None
    complete: bool = True
    animated: bool = False
