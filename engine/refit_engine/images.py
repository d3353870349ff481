# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing of pictures, with one clear sentence for each way in which a file can be bad."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from .errors import ImageError
from .exif import JpegHeader, focal_in_pixels, read_jpeg_header

MAX_PIXELS = 300_000_000
MIN_SIDE = 16


@dataclass(frozen=True)
class Photo:
    """A picture, at first as it is stored in its file: Blender too ignores EXIF's orientation.

    pixels: [H,W,3] uint8 RGB.
    quarter_turns: clockwise quarter turns that still have to be made until it stands upright, from EXIF.
    exif_focal: focal length in pixels, or None.
    turned: whether the pixels are no longer in the file's order.
    """

    path: Path
    pixels: np.ndarray
    quarter_turns: int = 0
    exif_focal: float | None = None
    turned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def upright(self) -> Photo:
        """The same photo with its EXIF turn carried out."""
        if not self.quarter_turns:
            return self
        turned = np.ascontiguousarray(np.rot90(self.pixels, -self.quarter_turns))
        return replace(self, pixels=turned, quarter_turns=0, turned=True)


def read_photo(path: Path | str) -> Photo:
    """Read a picture of 8 or 16 bits, grey or coloured, with or without alpha (laid over black).

    Raises ImageError for a file that is missing, empty, no picture, truncated, too small, or absurdly large.
    """
    path = Path(path)
    data = _read_bytes(path)
    header = read_jpeg_header(data) if data[:2] == b"\xff\xd8" else None
    _check_complete(path, data, header)
    _check_size(path, _announced_size(data, header))
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path.name} cannot be read as an image: {error.err}.") from error
    if pixels is None:
        raise ImageError(f"{path.name} is not an image that can be read ({_guess(data)}).")
    height, width = pixels.shape[:2]
    _check_size(path, (width, height))
    tags = header.tags if header else {}
    return Photo(
        path=path,
        pixels=_to_rgb8(path, pixels),
        quarter_turns=header.quarter_turns if header else 0,
        exif_focal=focal_in_pixels(tags, width, height),
    )


def write_image(path: Path, rgb: np.ndarray) -> None:
    """Write [H,W,3] uint8 RGB to `path`, format by its suffix; the file appears complete or not at all."""
    # PNG's default effort takes a second for a phone's photo and saves a tenth of the size.
    options = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options[path.suffix])
    if not ok:
        raise ImageError(f"{path.name} could not be encoded.")
    write_atomically(path, data.tobytes())


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file beside it. Raises OSError, e.g. when the disk is full."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no image at {path}.") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}.") from error
    if not data:
        raise ImageError(f"{path.name} is empty.")
    return data


def _check_complete(path: Path, data: bytes, header: JpegHeader | None) -> None:
    """OpenCV fills what is missing from a truncated JPEG or PNG with grey and says nothing: look for the end marks.

    In a JPEG's compressed data every FF byte is followed by 00 or a restart mark, so FF D9 can only be the end;
    a thumbnail has its own, but before the scan.
    """
    truncated_jpeg = header is not None and (header.scan == 0 or data.find(b"\xff\xd9", header.scan) < 0)
    truncated_png = data.startswith(b"\x89PNG\r\n\x1a\n") and data.rfind(b"IEND") < 0
    if truncated_jpeg or truncated_png:
        raise ImageError(f"{path.name} is truncated: the end of the image is missing.")


def _announced_size(data: bytes, header: JpegHeader | None) -> tuple[int, int] | None:
    """(width, height) that the header promises, known before any memory is spent on pixels."""
    if header is not None:
        return header.size
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return None


def _check_size(path: Path, size: tuple[int, int] | None) -> None:
    if size is None:
        return
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path.name} is too large: {width}x{height} pixels.")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{path.name} is too small to show a person: {width}x{height} pixels.")


def _to_rgb8(path: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{path.name} has {pixels.dtype} pixels; save it with 8 or 16 bits per channel.")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if channels == 4:
        rgb = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)
        alpha = cv2.cvtColor(pixels[..., 3], cv2.COLOR_GRAY2RGB)
        return cv2.multiply(rgb, alpha, scale=1 / 255)
    raise ImageError(f"{path.name} has {channels} channels; an image has 1, 3 or 4.")


def _guess(data: bytes) -> str:
    """What a file that is no picture seems to be, for the message."""
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "a HEIC photo: save it as JPEG or PNG"
    if data[4:8] == b"ftyp":
        return "a video: save one frame as JPEG or PNG"
    try:
        data[:512].decode("utf-8")
        return "it holds text"
    except UnicodeDecodeError as error:
        # A character cut at the end of the sample is still text.
        return "it holds text" if error.start > 500 else "unknown format, or damaged"
