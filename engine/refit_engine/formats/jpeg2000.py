# SPDX-License-Identifier: GPL-3.0-or-later
"""JPEG 2000's size marker, bare or in a JP2 file (ITU-T T.800)."""

from __future__ import annotations

import struct

from .header import Header

_SIZE = b"\xff\x4f\xff\x51"  # start of the codestream, then SIZ
_END = b"\xff\xd9"


def read_header(data: bytes) -> Header | None:
    """Size and number of channels. The decoder keeps 32 bits for each."""
    start = data.find(_SIZE)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    if right <= left or bottom <= top:
        return None
    return Header("JPEG 2000", (right - left, bottom - top), pixel_bytes=4 * channels, complete=_END in data[-64:])
