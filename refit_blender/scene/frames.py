# SPDX-License-Identifier: GPL-3.0-or-later
"""What a background shows at a frame of the scene, as a file: of a movie or a sequence, one still."""

from __future__ import annotations

import re
from pathlib import Path

import bpy

from ..errors import SourceError
from .images import Background, engine_file, image_file, is_file, loaded, picture_size, pixels_of, write_pixels


def background_file(background: Background, frame: int, folder: Path) -> Path:
    """A file with what a background shows at a frame of the scene: its own, or a copy in `folder`.

    Raises SourceError where there is nothing at that frame.
    """
    picture = background.picture
    if isinstance(picture, bpy.types.MovieClip):
        path = _existing(Path(bpy.path.abspath(picture.filepath, library=picture.library)), picture.name)
        # A clip's file names its first picture.
        position = frame - picture.frame_start + picture.frame_offset
        if picture.source == "MOVIE":
            return movie_still(path, position + 1, folder)
        return engine_file(_existing(_numbered(path, number_of(path) + position), picture.name), folder)
    if picture.source not in {"MOVIE", "SEQUENCE"}:
        return image_file(picture, folder)
    path = Path(bpy.path.abspath(picture.filepath_raw, library=picture.library))
    user = background.image_user
    assert user is not None  # of an image
    shown = shown_number(user, frame)
    if picture.source == "MOVIE":
        return movie_still(_existing(path, picture.name), shown, folder)
    if not (user.use_cyclic or user.frame_start <= frame < user.frame_start + user.frame_duration):
        raise SourceError(f"The image sequence “{picture.name}” shows nothing at frame {frame}.")
    return engine_file(_existing(_numbered(path, shown), picture.name), folder)


def background_size(background: Background, file: Path) -> tuple[int, int]:
    """(width, height) in pixels of what a background shows, which `background_file` gave; zeros where it is unreadable."""
    picture = background.picture
    if isinstance(picture, bpy.types.Image) and picture.source == "SEQUENCE":
        # Blender says here what the last shown picture was, or that of frame 0, which there seldom is.
        return picture_size(file) or (0, 0)
    return picture.size[0], picture.size[1]


def movie_still(movie: Path, number: int, folder: Path) -> Path:
    """Picture `number` of a movie, counted from 1, as a file in `folder`; beyond its ends the first or the last."""
    with loaded(movie) as image:
        if not all(image.size):
            raise SourceError(f"Movie {movie} cannot be read.")
        last = max(image.frame_duration, 1)
        # Scaling to its own size is how a script can load another frame than the first.
        image.scale(*image.size, frame=min(max(number, 1), last))
        pixels = pixels_of(image)
    # Quick to write, and a movie has no alpha.
    return write_pixels(pixels, folder / f"{movie.stem} picture {number}.bmp")


def shown_number(user: bpy.types.ImageUser, frame: int) -> int:
    """Number of the picture that Blender shows at a frame of the scene; its own `frame_current` may lag behind."""
    if user.frame_duration == 0:
        return 0
    position = frame - user.frame_start + 1
    if user.use_cyclic:
        position = position % user.frame_duration or user.frame_duration
    return min(max(position, 0), user.frame_duration) + user.frame_offset


def number_of(path: Path) -> int:
    """The number of a file in a sequence: the last digits of its name."""
    found = re.search(r"(\d+)\D*$", path.stem)
    return int(found[1]) if found else 0


def _numbered(path: Path, number: int) -> Path:
    """The file of a sequence with another number, with as many digits as the given one has."""
    found = re.search(r"(\d+)(\D*)$", path.stem)
    if not found:
        return path
    digits = f"{number:0{len(found[1])}d}"
    return path.with_name(f"{path.stem[: found.start()]}{digits}{found[2]}{path.suffix}")


def _existing(path: Path, name: str) -> Path:
    if not is_file(path):
        raise SourceError(f"The file of image “{name}” is missing: {path}.")
    return path
