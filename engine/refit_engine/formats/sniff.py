# SPDX-License-Identifier: GPL-3.0-or-later
"""Which format a file has, told from its first bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

from . import bmff, jpeg, jpeg2000, png, simple, tiff, webp
from .header import Header

_READERS: tuple[tuple[bytes, Callable[[bytes], Header | None]], ...] = (
    (b"\xff\xd8", jpeg.read_header),
    (png.SIGNATURE, png.read_header),
    (b"RIFF", webp.read_header),
    (b"II*\0", tiff.read_header),
    (b"MM\0*", tiff.read_header),
    (b"II+\0", tiff.read_header),
    (b"MM\0+", tiff.read_header),
    (b"GIF8", simple.read_gif),
    (b"BM", simple.read_bmp),
    (b"\0\0\0\x0cjP  ", jpeg2000.read_header),
    (b"\xff\x4f\xff\x51", jpeg2000.read_header),
    *((b"P%d" % number, simple.read_pnm) for number in range(1, 7)),
)


def read_header(data: bytes) -> Header | None:
    """The header of a picture file's content; None for other data, and where the header is damaged."""
    reader = next((reader for magic, reader in _READERS if data.startswith(magic)), None)
    if reader is None and data[4:8] == b"ftyp":
        reader = bmff.read_header
    try:
        return reader(data) if reader else None
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
