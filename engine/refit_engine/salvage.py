# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures whose last bytes are missing: what can be seen, or nothing where too much is gone."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from .formats import Header
from .formats.png import SIGNATURE, chunks

# A picture is still whole for us if no more than this part of its rows is missing, or one row of JPEG's blocks.
_MISSING_PART = 0.02
_MISSING_ROWS = 16
_JPEG_END = b"\xff\xd9"
_PNG_BITS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples by colour type
_SOME_BYTES = 4096


def nearly_complete(data: bytes, header: Header) -> np.ndarray | None:
    """OpenCV's pixels of a JPEG, PNG or GIF without an end; None where more than the last rows are missing."""
    if header.kind == "JPEG":
        return _jpeg(data)
    if header.kind == "PNG" and header.size is not None:
        return _png(data, header.size)
    if header.kind == "GIF":
        return _decoded(data + b";")
    return None


def _jpeg(data: bytes) -> np.ndarray | None:
    """What a decoder makes up depends on what follows the end; rows that do not depend on it are in the file."""
    noise = np.random.default_rng(0).integers(1, 255, _SOME_BYTES, dtype=np.uint8).tobytes()  # FF would be a mark
    data = data.removesuffix(b"\xff")
    seen = [_decoded(data + end + _JPEG_END) for end in (b"", noise)]
    if seen[0] is None or seen[1] is None:
        return None
    height = len(seen[0])
    differs = (seen[0] != seen[1]).reshape(height, -1).any(axis=1)
    missing = height - int(differs.argmax()) if differs.any() else 0
    return seen[0] if missing <= max(_MISSING_ROWS, _MISSING_PART * height) else None


def _png(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """The same picture with the missing bytes of its compressed rows filled with 0, and an end."""
    before: list[bytes] = []
    packed: list[bytes] = []
    for name, content, whole in chunks(data):
        if name == b"IDAT":
            packed.append(content)
        elif whole and not packed:
            before.append(_chunk(name, content))
    width, height = size
    depth, colour = data[24], data[25]  # of the first chunk
    bits = depth * _PNG_BITS.get(colour, 4)
    wanted = height * ((width * bits + 7) // 8 + 1)
    try:
        # The rows of interlaced pictures are more, and each has a byte for its filter, and a filling.
        rows = zlib.decompressobj().decompress(b"".join(packed), wanted + 16 * height)
    except zlib.error:
        return None
    if wanted - len(rows) > _MISSING_PART * wanted:
        return None
    filled = zlib.compress(rows + bytes(max(0, wanted - len(rows))), 1)
    return _decoded(b"".join([SIGNATURE, *before, _chunk(b"IDAT", filled), _chunk(b"IEND", b"")]))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _decoded(data: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
