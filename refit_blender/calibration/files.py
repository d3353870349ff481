# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening files that strangers made: regular files only, of a bounded size, in the encodings that editors write."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import CalibrationError

# Calibrations with the corners of hundreds of boards have some megabytes.
_MAX_TEXT_BYTES = 4_000_000
# COLMAP's models hold the points of all images.
_MAX_MODEL_BYTES = 2_000_000_000
_MAX_LINE = 10_000_000
_MAX_LINES = 50_000
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def check_file(path: Path, most_bytes: int = _MAX_MODEL_BYTES) -> None:
    """Raises CalibrationError unless `path` is a regular file of at most so many bytes."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CalibrationError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{shown(str(path))} cannot be opened: {_reason(error)}.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise CalibrationError(f"{path} is no regular file.")
    if facts.st_size > most_bytes:
        raise CalibrationError(f"{path.name} is too large for a calibration file.")


def is_file(path: Path) -> bool:
    """Whether there is a regular file that may be looked at, whatever the name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path) -> str:
    """What a text file says, lines ending in \\n: UTF-8, or what its byte order mark says, else Latin-1.

    Raises CalibrationError where there is none, for files that are too large, and for those that are no text.
    """
    check_file(path, _MAX_TEXT_BYTES)
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be opened: {_reason(error)}.") from error
    encoding = _marked_encoding(data)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        # OpenCV writes the date in the language of the system, with the system's encoding.
        text = "\0" if encoding else data.decode("latin-1")
    if "\0" in text or len(data) > _MAX_TEXT_BYTES:
        raise CalibrationError(f"{path.name} is no text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line of a file that may be large. Raises CalibrationError."""
    check_file(path)
    try:
        with path.open("rb") as stream:
            encoding = _marked_encoding(stream.read(4)) or "utf-8"
        with path.open(encoding=encoding, errors="replace") as stream:
            number = 0
            while line := stream.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE or number > _MAX_LINES:
                    raise CalibrationError(f"{path.name}, line {number}: the file is too large.")
                yield number, line.strip()
    except (OSError, UnicodeError) as error:
        raise CalibrationError(f"{path} cannot be read: {_reason(error)}.") from error


def shown(text: str, most: int = 60) -> str:
    """A file's own words for a message: one line, not too long."""
    line = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[: most + 1]
    )
    return line if len(text) <= most else f"{line[:most]}…"


def _marked_encoding(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or shown(str(error))
