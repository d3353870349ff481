# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files with EXIF orientation and in formats of Blender's own, made with Blender and by hand."""

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

from refit_blender.scene.images import loaded, pixels_of

WIDTH, HEIGHT = 60, 40


def four_colours() -> np.ndarray:
    """[40,60,3] uint8, top row first: another colour in each quarter."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30] = (230, 20, 30), (20, 200, 30), (20, 30, 220)
    return image


def seen(path: Path) -> np.ndarray:
    """[H,W,3] uint8, top row first: a file as Blender loads it."""
    with loaded(path) as image:
        return (pixels_of(image)[::-1, :, :3] * 255).round().astype(np.uint8)


def save(path: Path, kind: str, rgb: np.ndarray | None = None) -> Path:
    """Write [H,W,3] uint8 with Blender. kind: its name of the format; colours as they are to be seen."""
    rgb = four_colours() if rgb is None else rgb
    rgba = np.ones((*rgb.shape[:2], 4), np.float32)
    rgba[..., :3] = rgb[::-1] / 255
    image = bpy.data.images.new("made", rgb.shape[1], rgb.shape[0])
    image.pixels.foreach_set(rgba.ravel())
    scene = bpy.data.scenes.new("made")
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = kind
    image.save_render(str(path), scene=scene)
    bpy.data.scenes.remove(scene)
    bpy.data.images.remove(image)
    return path


def _exif(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def oriented(path: Path, orientation: int) -> Path:
    """A file with the four colours and an orientation tag, in the format of its suffix."""
    if path.suffix == ".tif":
        path.write_bytes(_tiff(four_colours(), orientation))
        return path
    data = save(path, {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[path.suffix]).read_bytes()
    exif = _exif(orientation)
    if path.suffix == ".jpg":
        segment = b"Exif\0\0" + exif
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    elif path.suffix == ".png":
        data = data[:33] + _chunk(b"eXIf", exif) + data[33:]
    else:
        extended = struct.pack("<I", 0x08) + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
        chunks = [b"VP8X" + struct.pack("<I", 10) + extended, data[12:], b"EXIF" + struct.pack("<I", len(exif)) + exif]
        body = b"WEBP" + b"".join(chunks)
        data = b"RIFF" + struct.pack("<I", len(body)) + body
    path.write_bytes(data)
    return path


def _tiff(rgb: np.ndarray, orientation: int) -> bytes:
    height, width = rgb.shape[:2]
    numbers = (width, height, 8, 1, 2, 8, orientation, 3, height, rgb.size)
    tags = dict(zip((256, 257, 258, 259, 262, 273, 274, 277, 278, 279), numbers, strict=True))
    # In little endian a short value lies where a long one has its lower half.
    body = b"".join(
        struct.pack("<HHII", tag, 3 if tag in (258, 259, 262, 274, 277) else 4, 1, value) for tag, value in tags.items()
    )
    return b"II*\0" + struct.pack("<I", 8 + rgb.size) + rgb.tobytes() + struct.pack("<H", len(tags)) + body + bytes(4)
