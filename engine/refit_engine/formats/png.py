# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG's chunks (W3C PNG, third edition), with EXIF as `eXIf` or as ImageMagick's and ExifTool's text."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator

from .header import Header

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # by colour type, as they are decoded
_RAW_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")
_XMP = b"XML:com.adobe.xmp"
MAX_TEXT = 1 << 20


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name, content, and whether all of it and its checksum are there, of each chunk up to the end mark."""
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        yield name, content, position + 12 + length <= len(data)
        if name == b"IEND":
            return
        position += 12 + length


def read_header(data: bytes) -> Header:
    """Size, EXIF, XMP, and whether there is an end. Raises ValueError where the first chunk is not as it has to be."""
    exif, xmp, complete, animated = b"", b"", False, False
    head = b""
    for name, content, whole in chunks(data):
        if not head:
            if name != b"IHDR" or len(content) != 13:
                raise ValueError("no IHDR")
            head = content
        elif name == b"IEND":
            complete = whole
        elif name == b"acTL":
            animated = True
        elif name == b"eXIf":
            exif = content
        elif name in (b"zTXt", b"tEXt", b"iTXt") and len(content) < MAX_TEXT:
            keyword, text = _text(name, content)
            if keyword in _RAW_PROFILES and not exif:
                exif = _raw_profile(text)
            elif keyword == _XMP:
                xmp = text
    width, height, depth, colour = struct.unpack_from(">IIBB", head)
    return Header(
        "PNG",
        (width, height),
        pixel_bytes=CHANNELS.get(colour, 4) * (2 if depth == 16 else 1),
        exif=exif,
        xmp=xmp,
        complete=complete,
        animated=animated,
    )


def _text(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Keyword and text of a text chunk; no text where it is damaged."""
    keyword, _, rest = content.partition(b"\0")
    packed = name == b"zTXt"
    if name == b"tEXt" or keyword not in (*_RAW_PROFILES, _XMP):
        return keyword, rest
    if name == b"zTXt":
        rest = rest[1:]
    else:
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not packed:
        return keyword, rest
    try:
        return keyword, zlib.decompressobj().decompress(rest, MAX_TEXT)
    except zlib.error:
        return keyword, b""


def _raw_profile(text: bytes) -> bytes:
    """EXIF from its hexadecimal text: a name, a length, then lines of digits."""
    try:
        profile = binascii.unhexlify(b"".join(text.split()[2:]))
    except (binascii.Error, ValueError):
        return b""
    return profile.removeprefix(b"Exif\0\0")
