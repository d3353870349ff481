# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening whatever moves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ..errors import ImageError
from .footage import MovingPictures
from .movie import Movie
from .sequence import PICTURE_SUFFIXES, ImageSequence

MOVIE_SUFFIXES = frozenset(
    ".mp4 .mov .m4v .mkv .webm .avi .mts .m2ts .ts .mpg .mpeg .wmv .flv .mxf .ogv .3gp .gif .dv".split()
)
AHEAD = 3
"""Frames that are decoded before they are asked for."""
Item = TypeVar("Item")


def open_footage(path: Path | str, rate: float | None = None) -> MovingPictures:
    """A movie, a folder of numbered pictures, or one of these pictures.

    rate: frames a second of pictures; a movie says its own. Raises ImageError.
    """
    path = Path(path)
    try:
        if path.is_dir() or (path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES):
            return ImageSequence(path, rate)
        if not path.exists():
            raise ImageError(f"There is no movie at {path}.")
        if not path.is_file():
            raise ImageError(f"{path} is not a regular file.")
        if not path.stat().st_size:
            raise ImageError(f"{path.name} is empty.")
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}.") from error
    except ValueError:  # a character that no name of a file may have
        raise ImageError(f"There is no movie at {str(path)!r}.") from None
    return Movie(path)


def movies_in(folder: Path) -> list[Path]:
    """The movies of a folder by name; of one that holds numbered pictures, none. Raises ImageError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise ImageError(f"{folder} cannot be opened: {error.strerror}.") from error
    return [path for path in files if path.suffix.lower() in MOVIE_SUFFIXES]


def read_ahead(items: Iterator[Item], count: int = AHEAD) -> Iterator[Item]:
    """The same items, made in a thread of their own, at most `count` before they are taken."""
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(count)
    stopped = threading.Event()

    def put(entry: tuple[Item] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            put(error)

    thread = threading.Thread(target=work, name="decoder", daemon=True)
    thread.start()
    try:
        while (entry := ready.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stopped.set()
        thread.join()
