# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving pictures as the scene shows them: a movie or numbered pictures, and which frame is seen when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import bpy
import numpy as np

from ..errors import SourceError
from . import animation, cameras, images
from .frames import number_of
from .images import Background, is_file

MOVIES = ".mp4;.mov;.m4v;.mkv;.avi;.webm;.mpg;.mpeg;.mts;.m2ts;.ts;.ogv;.wmv;.flv;.mxf;.3gp;.dv"
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".jp2"))


@dataclass(frozen=True)
class Footage:
    """A movie, or one of numbered pictures, in the scene.

    Its frames count from 0. start: the frame of the scene that shows frame 0; low, high: the first and the last of its
    frames that the scene shows, high None where its length is not known; rate: frames a second, None where not known;
    numbered: pictures, which have no rate of their own.
    """

    path: Path
    start: int
    low: int
    high: int | None
    rate: float | None
    numbered: bool = False
    size: tuple[int, int] | None = None

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Its frames, from and including which, at the scene's frames from `first` to `last`. Raises SourceError."""
        low = max(first - self.start, self.low)
        high = last - self.start if self.high is None else min(last - self.start, self.high)
        if low > high:
            raise SourceError(f"{self.path.name} shows nothing from frame {first} to {last} of the scene.")
        return low, high


def moves(path: str) -> bool:
    """Whether a file's name is that of a movie or of one of numbered pictures; quick enough for each redraw."""
    file = Path(path)
    return is_movie(file) or (file.suffix.lower() in PICTURES and bool(re.search(r"\d\D*$", file.stem)))


def is_movie(path: Path) -> bool:
    """Whether a file's name is that of a movie."""
    return path.suffix.lower() in MOVIES.split(";")


def file_footage(path: Path, start: int, scene_rate: float) -> Footage:
    """A movie, one of numbered pictures, or their folder; its frame 0 is shown at frame `start` of the scene.

    scene_rate: frames a second of the scene, at which pictures run. Raises SourceError.
    """
    if path.is_dir() or (is_file(path) and path.suffix.lower() in PICTURES):
        return Footage(path, start, 0, None, scene_rate, numbered=True, size=images.picture_size(_a_picture(path)))
    if not is_file(path):
        raise SourceError(f"There is no movie at {path}.")
    facts = movie_facts(path)
    return (
        Footage(path, start, 0, facts.count - 1, facts.rate, size=facts.size)
        if facts
        else Footage(path, start, 0, None, None)
    )


def background_footage(background: Background, camera: str, scene_rate: float) -> Footage:
    """What moves behind a camera. Raises SourceError, with the camera's name, for a still and for a missing file."""
    picture = background.picture
    path = Path(bpy.path.abspath(picture.filepath, library=picture.library))
    if picture.source not in {"MOVIE", "SEQUENCE"}:
        raise SourceError(f"The background “{picture.name}” of camera “{camera}” does not move: a movie is needed.")
    if not is_file(path):
        raise SourceError(f"The file of background “{picture.name}” of camera “{camera}” is missing: {path}.")
    if isinstance(picture, bpy.types.MovieClip):
        first, offset, count = picture.frame_start, picture.frame_offset, picture.frame_duration
        shown = None
    else:
        user = background.image_user
        first, offset, count = user.frame_start, user.frame_offset, picture.frame_duration
        shown = user.frame_duration
    if picture.source == "SEQUENCE":
        numbers = series_numbers(path)
        # An image shows the file with the frame's number, a clip begins with the file that it names.
        skipped = (1 if isinstance(picture, bpy.types.Image) else number_of(path)) - numbers[0]
        offset, count = offset + skipped, numbers[-1] - numbers[0] + 1
        rate = scene_rate
    else:
        facts = movie_facts(path)
        rate = facts.rate if facts else None
    high = count - 1 if shown is None else min(offset + shown, count) - 1
    if high < max(offset, 0):
        raise SourceError(f"The background “{picture.name}” of camera “{camera}” shows nothing at any frame.")
    return Footage(path, first - offset, max(offset, 0), high, rate, numbered=picture.source == "SEQUENCE")


class MovieFacts(NamedTuple):
    """Frames a second, number of frames, and (width, height) of a movie as Blender reads it."""

    rate: float
    count: int
    size: tuple[int, int]


def movie_facts(path: Path) -> MovieFacts | None:
    """What Blender knows of a movie; None for one that it cannot read."""
    try:
        clip = bpy.data.movieclips.load(str(path), check_existing=False)
    except RuntimeError:
        return None
    try:
        width, height = clip.size
        known = width and height and clip.fps > 0 and clip.frame_duration > 0
        return MovieFacts(clip.fps, clip.frame_duration, (width, height)) if known else None
    finally:
        bpy.data.movieclips.remove(clip)


def series_numbers(path: Path) -> list[int]:
    """The numbers, sorted, of the pictures that are called like this one."""
    found = re.search(r"(\d+)(\D*)$", path.stem)
    if not found:
        return [number_of(path)]
    prefix, rest = path.stem[: found.start()], found[2] + path.suffix
    pattern = re.compile(re.escape(prefix) + r"(\d+)" + re.escape(rest))
    names = (pattern.fullmatch(file.name) for file in path.parent.iterdir())
    return sorted(int(name[1]) for name in names if name)


def show_footage(
    camera: bpy.types.Object,
    footage: Footage,
    turns: int,
    size: tuple[int, int],
    in_step: tuple[float, np.ndarray] | None = None,
) -> bool:
    """Put moving pictures behind a camera with a view of their own shape; False where Blender cannot read them.

    turns: clockwise quarter turns that make stored frames upright; size: (width, height) of upright ones. in_step: where
    a movie has another rate than the scene, its frames for each of the scene's, and the scene's frames [F].
    """
    numbers = series_numbers(_a_picture(footage.path)) if footage.numbered else []
    try:
        image = bpy.data.images.load(str(_a_picture(footage.path)), check_existing=False)
    except RuntimeError:
        return False
    if not all(image.size):
        bpy.data.images.remove(image)
        return False
    background = camera.data.background_images.new()
    background.image = image
    background.alpha = 1.0
    background.frame_method = "STRETCH"
    user = background.image_user
    user.frame_start, user.frame_offset = footage.start, 0
    if footage.numbered:
        image.source = "SEQUENCE"
        user.frame_offset, user.frame_duration = numbers[0] - 1, numbers[-1] - numbers[0] + 1
    else:
        user.frame_duration = max(image.frame_duration, 1)
        if in_step is not None:
            user.frame_duration = images.LONGEST_SEQUENCE  # the offset alone says which picture is shown
            animation.key_footage(cameras.data_of(camera), footage.start, *in_step)
    user.use_auto_refresh = True
    if turns % 2 and tuple(image.size) != size:
        # This Blender shows frames as they are stored: fitted, then turned, they have to be enlarged.
        background.frame_method, background.rotation = "FIT", turns * 1.5707963267948966
        background.scale = max(size) / min(size)
    image[images.FOOTAGE_PROPERTY] = str(footage.path)
    camera.data.show_background_images = True
    return True


def _a_picture(path: Path) -> Path:
    """The file itself, or the first picture of a folder."""
    if not path.is_dir():
        return path
    pictures = sorted(
        file for file in path.iterdir() if file.suffix.lower() in PICTURES and re.search(r"\d", file.stem)
    )
    if not pictures:
        raise SourceError(f"The folder {path} holds no movies and no numbered pictures.")
    return pictures[0]
