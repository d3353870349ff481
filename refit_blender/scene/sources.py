# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job's picture and camera come from: a file, the active camera's background, an image empty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..errors import SourceError
from ..given_numbers import checked_number
from . import images
from .views import LensDistortion, camera_view


@dataclass(frozen=True)
class Source:
    """A picture and what is known of its camera.

    name: for the new objects; footage: the file of the picture, sequence or movie, or the name of an image without one,
    by which a reconstruction is found again; K [3,3] for the picture's pixels, or focal in pixels, or focal_mm on a
    sensor whose longer side is 36 mm, or neither; distortion of the lens.
    camera: name of the scene's camera that took it, with camera_to_world [4,4] (OpenCV axes, metres); without one, the
    job makes a camera that matches the picture. camera_height: metres of that camera above the floor on which people
    shall stand, None to leave them where the camera sees them.
    """

    picture: Path
    name: str
    footage: str
    K: np.ndarray | None = None
    focal: float | None = None
    focal_mm: float | None = None
    distortion: LensDistortion | None = None
    camera: str | None = None
    camera_to_world: np.ndarray | None = None
    camera_height: float | None = None

    @property
    def title(self) -> str:
        """The picture's name for messages."""
        return Path(self.footage).name


def file_source(path: Path, folder: Path, *, focal: float | None = None, focal_mm: float | None = None) -> Source:
    """A picture file; its focal length in pixels, or in millimetres on a sensor whose longer side is 36 mm.

    Formats that only Blender reads are copied into `folder`. Raises SourceError.
    """
    if not path.name:
        raise SourceError("No image is chosen.")
    _check_name(path)
    if focal is not None:
        focal = checked_number(focal, "The focal length")
    picture = images.engine_file(path.absolute(), folder)
    return Source(picture, path.stem, footage=str(path.absolute()), focal=focal, focal_mm=focal_mm)


def _check_name(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            f"The picture's name {ascii(path.name)} is no text that Blender can show: rename it."
        ) from None


def empty_source(empty: bpy.types.Object | None, folder: Path, *, focal_mm: float | None = None) -> Source:
    """The picture of an image empty. Raises SourceError where the object is none."""
    image = image_of(empty)
    picture, footage = images.image_file(image, folder), images.footage_of(image)
    return Source(picture, empty.name, footage, focal_mm=focal_mm)


def image_of(empty: bpy.types.Object | None) -> bpy.types.Image:
    """The image that an image empty shows. Raises SourceError where the object is none."""
    shows = empty is not None and empty.type == "EMPTY" and empty.empty_display_type == "IMAGE"
    image = empty.data if shows else None
    if not isinstance(image, bpy.types.Image):
        raise SourceError("The active object is no empty with an image.")
    return image


def camera_source(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, folder: Path, camera: bpy.types.Object | None = None
) -> Source:
    """The background image of a camera, by default the scene's, and that camera at the current frame. Raises SourceError."""
    camera = camera or scene.camera
    if camera is None:
        raise SourceError("The scene has no active camera.")
    view = camera_view(camera, scene, depsgraph, folder)
    camera_to_world = np.eye(4)
    camera_to_world[:3, :3] = view.R.T
    camera_to_world[:3, 3] = -view.R.T @ view.t
    return Source(
        picture=view.picture,
        name=camera.name,
        footage=images.footage_of(images.camera_background(camera).picture),
        K=view.K,
        distortion=view.distortion,
        camera=camera.name,
        camera_to_world=camera_to_world,
    )
