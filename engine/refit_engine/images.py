# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing of pictures, with one clear sentence for each way in which a file can be bad."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from .errors import ImageError
from .exif import focal_in_pixels, read_exif
from .formats import Header, Turn, is_raw, name_of, read_header
from .formats.tiff import without_turn
from .heic import read_heic
from .salvage import nearly_complete
from .sensor import noted_up, turned_up

MAX_PIXELS = 300_000_000
MAX_BYTES = 1 << 30
"""Of a file, and of its pixels as they are decoded."""
MIN_SIDE = 16

_IN_BLENDER = frozenset(("JPEG", "PNG", "TIFF", "BMP", "WebP"))


@dataclass(frozen=True)
class Photo:
    """A picture, at first as it is stored in its file: Blender too ignores EXIF's orientation.

    HEIC and AVIF say in the container itself how they are turned, every reader obeys that, and it is part of reading.

    pixels: [H,W,3] uint8 RGB.
    quarter_turns: clockwise quarter turns that still have to be made until it stands upright, from EXIF.
    mirrored: whether left and right have to change places after that.
    exif_focal: focal length in pixels, or None.
    turned: whether the pixels are no longer in the file's order.
    foreign: whether Blender cannot show the file.
    up_sensor: [3] the world's up in the OpenCV camera (X right, Y down, Z forward) of these pixels, from the phone's or
        drone's sensor, or None.
    remark: a sentence for the user about the file, or nothing.
    """

    path: Path
    pixels: np.ndarray
    quarter_turns: int = 0
    exif_focal: float | None = None
    turned: bool = False
    mirrored: bool = False
    foreign: bool = False
    up_sensor: np.ndarray | None = None
    remark: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def upright(self) -> Photo:
        """The same photo with its EXIF turn carried out."""
        return self._after(Turn(self.quarter_turns, self.mirrored))

    def standing(self) -> Photo:
        """The photo turned by its quarter turns, but left mirrored: its pixels are those stored, in another order."""
        return self._after(Turn(self.quarter_turns))

    def _after(self, turn: Turn) -> Photo:
        if turn == Turn():
            return self
        return replace(
            self,
            pixels=_turn_pixels(self.pixels, turn),
            quarter_turns=0,
            mirrored=self.mirrored and not turn.mirrored,
            turned=True,
            up_sensor=None if self.up_sensor is None else turned_up(self.up_sensor, turn),
        )


def read_photo(path: Path | str) -> Photo:
    """Read a picture of 8 or 16 bits (HEIC and AVIF: to 12), grey or coloured, with or without alpha (laid over black).

    Of an animation the first picture. Raises ImageError for a file that is missing, empty, no regular file, no picture,
    truncated, too small, or absurdly large; sizes are checked before memory is taken.
    """
    path = Path(path)
    data = _read_bytes(path)
    if is_raw(data, path.suffix):
        raise ImageError(f"{path.name} is a raw camera file: export it as JPEG or PNG first.")
    header = read_header(data)
    if header is None:
        raise ImageError(f"{path.name} is not an image that can be read ({name_of(data)}).")
    _check_size(path, header)
    pixels, remark = _decode(path, data, header)
    exif = read_exif(header.exif)
    turn = header.turn or exif.turn
    up = noted_up(exif, header.xmp, (pixels.shape[1], pixels.shape[0]), turn)
    if header.turn:  # the decoder has carried it out
        up, turn = None if up is None else turned_up(up, turn), Turn()
    height, width = pixels.shape[:2]
    return Photo(
        path=path,
        pixels=pixels,
        quarter_turns=turn.quarters,
        mirrored=turn.mirrored,
        exif_focal=focal_in_pixels(exif.tags, width, height),
        foreign=header.kind not in _IN_BLENDER or (header.kind == "WebP" and header.animated),
        up_sensor=up,
        remark=remark,
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
    """Write `data` to `path` through a temporary file beside it.

    Raises OSError, e.g. when the disk is full, or where `path` is a folder, a pipe or a device: those are not replaced.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "It is not a regular file", str(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_bytes(path: Path) -> bytes:
    """The content of a regular file; a pipe or a device is not even waited for."""
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image.")
        # Opened without waiting, then looked at: what a name stands for may change in between.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as stream:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise ImageError(f"{path} is not a regular file.")
            if about.st_size > MAX_BYTES:
                raise ImageError(f"{path.name} is too large: {about.st_size / 1e9:.1f} GB.")
            data = stream.read(MAX_BYTES)
    except FileNotFoundError:
        raise ImageError(f"There is no image at {path}.") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}.") from error
    except ValueError:  # a character that no name of a file may have
        raise ImageError(f"There is no image at {str(path)!r}.") from None
    if not data:
        raise ImageError(f"{path.name} is empty.")
    return data


def _check_size(path: Path, header: Header) -> None:
    """What the header promises, before any memory is spent on pixels."""
    if header.size is None:
        raise ImageError(f"{path.name} is truncated: the end of the image is missing.")
    width, height = header.size
    if width * height > MAX_PIXELS or width * height * header.pixel_bytes > MAX_BYTES:
        raise ImageError(f"{path.name} is too large: {width}x{height} pixels.")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{path.name} is too small to show a person: {width}x{height} pixels.")


def _decode(path: Path, data: bytes, header: Header) -> tuple[np.ndarray, str]:
    """Pixels [H,W,3] uint8 RGB, and a remark about the file."""
    without_end = f"{path.name} has no end mark; its pixels are complete, or nearly so."
    if not header.complete:
        found = nearly_complete(data, header)
        if found is None:
            raise ImageError(f"{path.name} is truncated: the end of the image is missing.")
        return _to_rgb8(path, found), without_end
    if header.kind == "HEIC":
        return read_heic(path, data), ""
    try:
        stored = without_turn(data) if header.kind == "TIFF" else data
        pixels = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"{path.name} cannot be read as an image: {getattr(error, 'err', error)}.") from error
    if pixels is None and header.kind == "GIF" and (found := nearly_complete(data, header)) is not None:
        return _to_rgb8(path, found), without_end
    if pixels is None:
        raise ImageError(
            f"{path.name} is not an image that can be read: its {header.kind} data are damaged or unknown."
        )
    pixels = _to_rgb8(path, pixels)
    return _turn_pixels(pixels, header.turn) if header.turn else pixels, ""


def _turn_pixels(pixels: np.ndarray, turn: Turn) -> np.ndarray:
    turned = np.rot90(pixels, -turn.quarters)
    return np.ascontiguousarray(turned[:, ::-1] if turn.mirrored else turned)


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
