# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files of every format, made at run time."""

import io
import struct

import cv2
import numpy as np
import pillow_heif
from PIL import Image, PngImagePlugin

KINDS = {"B": 7, "H": 3, "I": 4, "R": 5}
EXIF_IFD = 0x8769
ORIENTATION = 0x0112


def picture(width=120, height=80):
    """RGB, smooth, and red in its upper left quarter."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = (230, 20, 30)
    return image


def encoded(suffix=".jpg", image=None):
    image = picture() if image is None else image
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def exif_block(tags, order="<"):
    """EXIF's TIFF structure. tags: {tag: ("H" | "I" | "R" | "B", number or bytes)}; above 0x8000 in the Exif IFD."""
    main = {tag: value for tag, value in tags.items() if tag < 0x8000}
    camera = {tag: value for tag, value in tags.items() if tag >= 0x8000}
    starts = [8, 8 + 2 + 12 * (len(main) + bool(camera)) + 4]
    extra_at = starts[1] + (2 + 12 * len(camera) + 4 if camera else 0)
    if camera:
        main[EXIF_IFD] = ("I", starts[1])
    body, extra = b"", b""
    for directory in (main, camera):
        if not directory:
            continue
        body += struct.pack(order + "H", len(directory))
        for tag, (kind, content) in sorted(directory.items()):
            count = len(content) if kind == "B" else 1
            packed = {
                "B": lambda value: value,
                "H": lambda value: struct.pack(order + "HH", value, 0),
                "I": lambda value: struct.pack(order + "I", value),
                "R": lambda value: struct.pack(order + "II", round(value * 1000), 1000),
            }[kind](content)
            if len(packed) > 4:
                packed, extra = (
                    struct.pack(order + "I", extra_at + len(extra)),
                    extra + packed + b"\0" * (len(packed) % 2),
                )
            body += struct.pack(order + "HHI", tag, KINDS[kind], count) + packed.ljust(4, b"\0")
        body += struct.pack(order + "I", 0)
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8) + body + extra


def with_exif(jpeg, tags, order="<"):
    """The JPEG with an Exif segment, see `exif_block`."""
    segment = b"Exif\0\0" + exif_block(tags, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def saved(kind, image=None, tags=None, xmp=b""):
    """A file's bytes with EXIF (see `exif_block`) and XMP. kind: a key of `WRITERS`."""
    image = Image.fromarray(picture() if image is None else image)
    stream = io.BytesIO()
    WRITERS[kind](image, stream, exif_block(tags) if tags else b"", xmp)
    return stream.getvalue()


def _png(image, stream, exif, xmp):
    info = PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    image.save(stream, "PNG", exif=exif, pnginfo=info)


def _png_text(image, stream, exif, xmp):
    """As ImageMagick writes EXIF."""
    block = b"Exif\0\0" + exif
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8d}\n{block.hex()}\n", zip=True)
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    image.save(stream, "PNG", pnginfo=info)


def _tiff(image, stream, exif, xmp):
    tags = Image.Exif()
    tags.load(exif)
    if xmp:
        tags[700] = xmp
    image.save(stream, "TIFF", exif=tags)


def _heic(image, stream, exif, xmp):
    pillow_heif.from_pillow(image).save(stream, quality=90, chroma=444, exif=exif or None, xmp=xmp or None)


def _avif(image, stream, exif, _xmp):
    bgr = np.asarray(image)[..., ::-1]
    given = ([cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif, np.uint8)]) if exif else ([], [])
    stream.write(cv2.imencodeWithMetadata(".avif", np.ascontiguousarray(bgr), *given)[1].tobytes())


WRITERS = {
    "jpg": lambda image, stream, exif, xmp: image.save(
        stream, "JPEG", exif=b"Exif\0\0" + exif if exif else b"", xmp=xmp, quality=95
    ),
    "webp": lambda image, stream, exif, xmp: image.save(stream, "WEBP", exif=exif, xmp=xmp, quality=95),
    "png": _png,
    "png with text": _png_text,
    "tif": _tiff,
    "heic": _heic,
    "avif": _avif,
}
