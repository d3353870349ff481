# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures in the scene as files that the engine can read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import imbuf
import numpy as np

from ..errors import SourceError
from .cameras import Placement

_SUFFIXES = {
    "BMP": ".bmp",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "PNG": ".png",
    "TIFF": ".tif",
    "WEBP": ".webp",
}


@dataclass(frozen=True)
class Background:
    """The picture behind a camera and how it lies there."""

    image: bpy.types.Image
    placement: Placement


def camera_background(camera: bpy.types.Object) -> Background:
    """The first visible background image of a camera. Raises SourceError where there is none."""
    shown = [background for background in camera.data.background_images if background.show_background_image]
    for background in shown:
        if background.source == "IMAGE" and background.image:
            placement = Placement(
                method=background.frame_method,
                scale=background.scale,
                offset=tuple(background.offset),
                rotation=background.rotation,
                flip_x=background.use_flip_x,
                flip_y=background.use_flip_y,
            )
            return Background(background.image, placement)
    if any(background.source == "MOVIE_CLIP" and background.clip for background in shown):
        raise SourceError(f"The background of camera “{camera.name}” is a movie clip: a still image is needed.")
    raise SourceError(f"Camera “{camera.name}” has no background image.")


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a picture file as Blender reads it; None for a file that it cannot read."""
    try:
        picture = imbuf.load(str(path))
    except OSError:
        return None
    try:
        return picture.size[0], picture.size[1]
    finally:
        picture.free()


def image_file(image: bpy.types.Image, folder: Path) -> Path:
    """A file with the pixels of a still image: its own, or a copy in `folder` where it is packed, painted or generated.

    Raises SourceError for movies, sequences and tiles, and for an image without pixels.
    """
    if image.source in {"MOVIE", "SEQUENCE", "TILED"}:
        kind = {"MOVIE": "a movie", "SEQUENCE": "a sequence", "TILED": "a set of tiles"}[image.source]
        raise SourceError(f"Image “{image.name}” is {kind}: a still image is needed.")
    if image.source == "FILE" and not image.is_dirty:
        path = Path(bpy.path.abspath(image.filepath_raw, library=image.library))
        if image.packed_file is None:
            if not path.is_file():
                raise SourceError(f"The file of image “{image.name}” is missing: {path}.")
            return path
        copy = folder / f"packed{_SUFFIXES.get(image.file_format, path.suffix or '.png')}"
        copy.write_bytes(image.packed_file.data)
        return copy
    return _write_pixels(_pixels(image), folder)


def mirrored_file(image: bpy.types.Image, folder: Path, flip_x: bool, flip_y: bool) -> Path:
    """A file in `folder` with the image mirrored. Raises SourceError for an image without pixels."""
    pixels = _pixels(image)
    return _write_pixels(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1], folder)


def _pixels(image: bpy.types.Image) -> np.ndarray:
    """[H,W,4] float32, bottom row first, encoded as in the file."""
    width, height = image.size
    if not width or not height:
        raise SourceError(f"Image “{image.name}” has no pixels: its file is missing or damaged.")
    pixels = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(height, width, 4)


def _write_pixels(pixels: np.ndarray, folder: Path) -> Path:
    height, width = pixels.shape[:2]
    path = folder / "pixels.png"
    copy = bpy.data.images.new("refit-copy", width, height, alpha=True)
    try:
        copy.pixels.foreach_set(np.ascontiguousarray(pixels).ravel())
        copy.filepath_raw = str(path)
        copy.file_format = "PNG"
        copy.save()
    finally:
        bpy.data.images.remove(copy)
    return path


def show_behind(camera: bpy.types.Object, picture: Path, name: str, *, pack: bool) -> None:
    """Put a picture of the frame's own aspect behind a camera. `pack`: the file will not stay."""
    image = bpy.data.images.load(str(picture), check_existing=not pack)
    if pack:
        image.name = name
        image.pack()
    background = camera.data.background_images.new()
    background.image = image
    background.frame_method = "STRETCH"
    background.alpha = 1.0
    camera.data.show_background_images = True
