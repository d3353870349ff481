# SPDX-License-Identifier: GPL-3.0-or-later
"""JPEG's segments up to the first scan (ITU-T T.81, annex B)."""

from __future__ import annotations

from .header import Header

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_END = b"\xff\xd9"


def read_header(data: bytes) -> Header:
    """Size, EXIF, XMP, and whether there is an end. Damaged data give what stands before the damage.

    In compressed data every FF byte is followed by 00 or a restart mark, so FF D9 can only be the end; a thumbnail
    has its own, but before the scan.
    """
    size, exif, xmp, position = None, b"", b"", 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xDA:
            return Header("JPEG", size, exif=exif, xmp=xmp, complete=data.find(_END, position) >= 0)
        if marker == 0xE1 and segment.startswith(_EXIF) and not exif:
            exif = segment[len(_EXIF) :]
        elif marker == 0xE1 and segment.startswith(_XMP) and not xmp:
            xmp = segment[len(_XMP) :]
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) >= 5:
            size = (int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big"))
        position += 2 + length
    return Header("JPEG", None, exif=exif, xmp=xmp, complete=False)
