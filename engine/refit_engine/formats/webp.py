# SPDX-License-Identifier: GPL-3.0-or-later
"""WebP's chunks (RFC 9649)."""

from __future__ import annotations

import struct

from .header import Header

_ANIMATION = 0x02


def read_header(data: bytes) -> Header | None:
    """Size, EXIF and XMP; None for other RIFF files."""
    announced, form = struct.unpack_from("<I4s", data, 4)
    if form != b"WEBP":
        return None
    size, exif, xmp, animated, position = None, b"", b"", False, 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        content = data[position + 8 : position + 8 + length]
        if name == b"VP8X":
            animated = bool(content[0] & _ANIMATION)
            size = (1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little"))
        elif name == b"VP8 " and size is None:
            width, height = struct.unpack_from("<HH", content, 6)
            size = (width & 0x3FFF, height & 0x3FFF)
        elif name == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", content, 1)
            size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif name == b"EXIF" and not exif:
            exif = content.removeprefix(b"Exif\0\0")
        elif name == b"XMP " and not xmp:
            xmp = content
        position += 8 + length + length % 2
    # The last chunk's filling byte is often left out.
    complete = len(data) + 1 >= announced + 8
    return Header("WebP", size, pixel_bytes=4, exif=exif, xmp=xmp, complete=complete, animated=animated)
