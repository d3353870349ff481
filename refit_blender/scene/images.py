# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures in the scene as files that the engine can read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
import imbuf
import numpy as np

from ..errors import SourceError
from .cameras import Placement

# What both Blender and the engine read; a TIFF of 32 bits is Blender's alone.
_SUFFIXES = {
    "BMP": ".bmp",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "PNG": ".png",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
# What Blender reads and the engine does not: Targa, OpenEXR, DPX, Cineon, Radiance, IRIS, Photoshop, DirectDraw.
_BLENDERS_OWN = frozenset(".tga .exr .dpx .cin .hdr .rgb .rgba .sgi .psd .dds".split())
# Larger pictures are not converted: Blender keeps 16 bytes for a pixel, and so does the copy.
_MAX_PIXELS = 150_000_000
FOOTAGE_PROPERTY = "refit_footage"  # on an image that is a copy: what it was made from
LONGEST_SEQUENCE = 1048574  # the most frames that Blender counts
_FORMATS = {".png": "PNG", ".bmp": "BMP"}


@dataclass(frozen=True)
class Background:
    """The picture behind a camera, as Blender shows it at a frame of the scene, and how it lies there.

    image_user: which frame of a movie or sequence an image shows; a movie clip says that itself.
    """

    picture: bpy.types.Image | bpy.types.MovieClip
    image_user: bpy.types.ImageUser | None
    placement: Placement

    @property
    def display_aspect(self) -> float:
        """How wide a pixel is shown, in its height; a clip's pixel aspect for tracking does not count."""
        return self.picture.display_aspect[0] / self.picture.display_aspect[1]


def camera_background(camera: bpy.types.Object) -> Background:
    """The first visible background image or movie clip of a camera; the scene's may be any object.

    Raises SourceError where there is none.
    """
    if camera.type != "CAMERA":
        raise SourceError(f"“{camera.name}” is no camera.")
    for background in camera.data.background_images:
        is_clip = background.source == "MOVIE_CLIP"
        picture = background.clip if is_clip else background.image
        if background.show_background_image and picture:
            placement = Placement(
                method=background.frame_method,
                scale=background.scale,
                offset=(background.offset[0], background.offset[1]),
                rotation=background.rotation,
                flip_x=background.use_flip_x,
                flip_y=background.use_flip_y,
            )
            return Background(picture, None if is_clip else background.image_user, placement)
    raise SourceError(f"Camera “{camera.name}” has no background image.")


def footage_of(picture: bpy.types.Image | bpy.types.MovieClip) -> str:
    """What a picture is known by: its file, also where that is packed, or its name where it has none."""
    if noted := picture.get(FOOTAGE_PROPERTY):
        return noted
    return bpy.path.abspath(picture.filepath, library=picture.library) or picture.name


def is_file(path: Path) -> bool:
    """Whether there is a regular file, whatever the name; Blender would wait for a pipe."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or the folder may not be looked into
        return False


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a picture file as Blender reads it; None for a file that it cannot read."""
    if not is_file(path):
        return None
    try:
        picture = imbuf.load(str(path))
    except (OSError, ValueError):  # which of them depends on Blender's version
        return None
    try:
        return picture.size[0], picture.size[1]
    finally:
        picture.free()


def image_file(image: bpy.types.Image, folder: Path) -> Path:
    """A file with the pixels of a still image: its own, or a copy in `folder` where it is packed, painted or generated,
    or where its format is one that the engine does not read.

    Raises SourceError for movies, sequences and tiles, and for an image without pixels.
    """
    is_gif = image.source == "MOVIE" and image.filepath_raw.lower().endswith(".gif")
    if image.source in {"MOVIE", "SEQUENCE", "TILED"} and not is_gif:
        kind = {"MOVIE": "a movie", "SEQUENCE": "a sequence", "TILED": "a set of tiles"}[image.source]
        raise SourceError(f"Image “{image.name}” is {kind}: a still image is needed.")
    if is_gif or (image.source == "FILE" and not image.is_dirty):
        path = Path(bpy.path.abspath(image.filepath_raw, library=image.library))
        if image.packed_file is None:
            if not is_file(path):
                raise SourceError(f"The file of image “{image.name}” is missing: {path}.")
            return write_shown(image, folder / f"{path.stem}.png") if _is_blenders_own(image) else path
        if _is_blenders_own(image):
            return write_shown(image, folder / f"{_file_stem(image)}.png")
        copy = folder / f"{_file_stem(image)}{_SUFFIXES.get(image.file_format, path.suffix or '.png')}"
        # The stubs call these bytes a str.
        copy.write_bytes(image.packed_file.data)  # pyright: ignore[reportArgumentType]
        return copy
    return write_shown(image, folder / f"{_file_stem(image)}.png")


def _file_stem(image: bpy.types.Image) -> str:
    """What to call a copy, so that messages name the picture and not the copy."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", Path(footage_of(image)).stem or image.name)[:100]


def _is_blenders_own(image: bpy.types.Image) -> bool:
    """Whether Blender reads an image's file and the engine does not."""
    if image.source == "MOVIE" or not all(image.size):  # a GIF; a file that Blender does not read either
        return False
    return image.file_format not in _SUFFIXES or (image.file_format == "TIFF" and image.is_float)


def engine_file(path: Path, folder: Path) -> Path:
    """A picture file that the engine reads: this one, or a copy in `folder`. Raises SourceError.

    Told from the name, so that no other picture need be opened.
    """
    if path.suffix.lower() not in _BLENDERS_OWN:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with loaded(path) as image:
        return write_shown(image, folder / f"{path.stem}.png")


def mirrored_file(path: Path, folder: Path, flip_x: bool, flip_y: bool) -> Path:
    """A file in `folder` with the picture mirrored. Raises SourceError for one that Blender cannot read."""
    name = f"{path.stem} mirrored.png"
    with loaded(path) as image:
        if image.is_float:
            path = write_shown(image, folder / "shown.png")
    with loaded(path) as image:
        pixels = pixels_of(image)
    return write_pixels(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1], folder / name)


@contextlib.contextmanager
def loaded(path: Path) -> Generator[bpy.types.Image, None, None]:
    """A picture or movie as an image that nobody else sees, for a moment. Raises SourceError."""
    if not is_file(path):
        raise SourceError(f"There is no picture at {path}.")
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError as error:
        raise SourceError(f"{path} cannot be read.") from error
    try:
        yield image
    finally:
        bpy.data.images.remove(image)


def pixels_of(image: bpy.types.Image) -> np.ndarray:
    """[H,W,4] float32, bottom row first, encoded as in the file; linear where Blender keeps more than 8 bits.

    Raises SourceError for an image without pixels, and for one that is too large.
    """
    width, height = _checked_size(image)
    pixels = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(height, width, 4)


def write_pixels(pixels: np.ndarray, path: Path) -> Path:
    """Write [H,W,4] float32, bottom row first, as a PNG or BMP file."""
    height, width = pixels.shape[:2]
    copy = bpy.data.images.new("refit-copy", width, height, alpha=True)
    try:
        copy.pixels.foreach_set(np.ascontiguousarray(pixels).ravel())
        copy.filepath_raw = str(path)
        copy.file_format = _FORMATS[path.suffix]
        copy.save()
    finally:
        bpy.data.images.remove(copy)
    return path


def write_shown(image: bpy.types.Image, path: Path) -> Path:
    """Write an image as a PNG of 8 bits with the colours that the viewport shows behind a camera.

    Raises SourceError for an image without pixels, and for one that is too large.
    """
    _checked_size(image)
    # Its settings alone say how an image is written, and nobody else's shall change.
    scene = bpy.data.scenes.new("refit-copy")
    try:
        view, file = scene.view_settings, scene.render.image_settings
        view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0
        file.file_format, file.color_mode, file.color_depth, file.compression = "PNG", "RGBA", "8", 15
        image.save_render(str(path), scene=scene)
    except RuntimeError as error:
        raise SourceError(f"Image “{image.name}” could not be copied: {str(error).strip()}.") from error
    finally:
        bpy.data.scenes.remove(scene)
    return path


def _checked_size(image: bpy.types.Image) -> tuple[int, int]:
    width, height = image.size
    if not width or not height:
        raise SourceError(f"Image “{image.name}” has no pixels: its file is missing, damaged, or of an unknown format.")
    if width * height > _MAX_PIXELS:
        raise SourceError(f"Image “{image.name}” is too large: {width}x{height} pixels.")
    return width, height


def show_behind(camera: bpy.types.Object, picture: Path, footage: str, *, pack: bool) -> None:
    """Put a picture of the frame's own aspect behind a camera. Raises SourceError.

    footage: what it is, or is a copy of; pack: keep it in the blend file, as the file will not stay.
    """
    if not is_file(picture):
        raise SourceError(f"The picture {picture} is no longer there.")
    image = _packed(picture, footage) if pack else bpy.data.images.load(str(picture), check_existing=True)
    background = camera.data.background_images.new()
    background.image = image
    background.frame_method = "STRETCH"
    background.alpha = 1.0
    camera.data.show_background_images = True


def _packed(picture: Path, footage: str) -> bpy.types.Image:
    image = bpy.data.images.load(str(picture), check_existing=False)
    image.name = Path(footage).name
    image.pack()
    image[FOOTAGE_PROPERTY] = footage
    return image


def show_instead(camera: bpy.types.Object, picture: Path, footage: str, offset: int | None) -> None:
    """Show a picture in place of the still that is a camera's first background; a copy of the footage is packed.

    offset: what a frame of the scene lacks to its picture's number, where pictures are a sequence that is shown in step.
    """
    background = camera.data.background_images[0] if camera.data.background_images else None
    if not background or background.source != "IMAGE" or (background.image and background.image.source != "FILE"):
        return
    if str(picture) != footage:
        background.image = _packed(picture, footage)
        return
    background.image = bpy.data.images.load(str(picture), check_existing=offset is None)
    if offset is not None:
        background.image.source = "SEQUENCE"
        user = background.image_user
        user.frame_start, user.frame_offset, user.frame_duration = 1, offset, LONGEST_SEQUENCE
        user.use_auto_refresh = True
