# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera of the scene sees: its background image as a file, and the K, R, t and lens distortion of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..errors import SourceError
from . import cameras, frames, images

# On a camera's data: {"model": "opencv", "coefficients": k1, k2, p1, p2[, k3[, k4, k5, k6]]} of the lens that took its
# background.
LENS_PROPERTY = "refit_distortion"
# Of the longer side of the picture: how far a clip's optical centre may lie from the camera's.
CENTRE_TOLERANCE = 0.02


@dataclass(frozen=True)
class LensDistortion:
    """How the lens bent a picture, by the engine's names: opencv, polynomial, division, nuke, brown."""

    model: str
    coefficients: tuple[float, ...]

    def parameters(self) -> dict[str, object]:
        """As the engine wants it."""
        return {"model": self.model, "coefficients": list(self.coefficients)}


@dataclass(frozen=True)
class CameraView:
    """A camera at the current frame and the picture it took.

    name: of the camera; size: (width, height) of the picture; K [3,3] in the picture's pixels, from the corner of the
    first one; R [3,3], t [3]: world to OpenCV camera, metres. Where the background is turned, R is the turned camera's.
    """

    name: str
    picture: Path
    size: tuple[int, int]
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    distortion: LensDistortion | None = None


def camera_view(
    camera: bpy.types.Object, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, folder: Path
) -> CameraView:
    """What the camera sees at the current frame; pictures that have no file of their own are written into `folder`.

    Raises SourceError, naming the camera, where it has no picture or is no pinhole.
    """
    evaluated = camera.evaluated_get(depsgraph)
    if not evaluated.is_evaluated:
        raise SourceError(f"Camera “{camera.name}” is switched off in this view layer, so that nothing moves it.")
    lens = cameras.lens_of(evaluated, scene)
    background = images.camera_background(camera)
    folder.mkdir(parents=True, exist_ok=True)
    picture = frames.background_file(background, scene.frame_current, folder)
    width, height = frames.background_size(background, picture)
    if not width or not height:
        raise SourceError(
            f"The background “{background.picture.name}” of camera “{camera.name}” has no pixels: "
            "its file is missing, damaged, or of an unknown format."
        )
    seen, R, t = seen_through(camera, scene, depsgraph, lens, background, (width, height))
    distortion = lens_distortion(camera, background, (width, height), seen.K)
    if seen.flip_x or seen.flip_y:
        picture = images.mirrored_file(picture, folder, seen.flip_x, seen.flip_y)
    return CameraView(
        name=camera.name,
        picture=picture,
        size=(width, height),
        K=seen.K,
        R=R,
        t=t,
        distortion=distortion,
    )


def seen_through(
    camera: bpy.types.Object,
    scene: bpy.types.Scene,
    depsgraph: bpy.types.Depsgraph,
    lens: cameras.Lens,
    background: images.Background,
    size: tuple[int, int],
) -> tuple[cameras.ImageCamera, np.ndarray, np.ndarray]:
    """How a camera sees its background, and R [3,3], t [3] of that, world to OpenCV camera, metres. Raises SourceError."""
    frame = cameras.frame_of(scene)
    if (frame.width, frame.height) != size:
        frame = cameras.drawn_frame(scene)
    seen = cameras.image_camera(lens, frame, background.placement, *size, background.display_aspect)
    R, t = cameras.extrinsics(cameras.world_matrix(camera, depsgraph), camera.name)
    return seen, seen.turn @ R, seen.turn @ t * cameras.metres_per_unit(scene)


def lens_distortion(
    camera: bpy.types.Object, background: images.Background, size: tuple[int, int], K: np.ndarray
) -> LensDistortion | None:
    """The distortion that bent the picture, for normalised coordinates of this K [3,3]. Raises SourceError."""
    flips = background.placement.flip_x, background.placement.flip_y
    if LENS_PROPERTY in cameras.data_of(camera):
        coefficients = _opencv_coefficients(camera)
        model = "opencv"
    elif isinstance(background.picture, bpy.types.MovieClip):
        lens = background.picture.tracking.camera
        model = lens.distortion_model.lower()
        coefficients = _clip_coefficients(lens)
        if any(coefficients):
            coefficients = _for_focal(model, coefficients, K[0, 0] / lens.focal_length_pixels)
            _check_centre(camera, background, size, K)
    else:
        return None
    if not any(coefficients):
        return None
    return LensDistortion(model, _mirrored(model, coefficients, *flips))


def _opencv_coefficients(camera: bpy.types.Object) -> tuple[float, ...]:
    try:
        noted = camera.data[LENS_PROPERTY]
        coefficients = tuple(float(value) for value in noted["coefficients"]) if noted["model"] == "opencv" else ()
    except (KeyError, TypeError, ValueError):
        coefficients = ()
    if len(coefficients) not in (4, 5, 8) or not all(math.isfinite(value) for value in coefficients):
        raise SourceError(
            f"Camera “{camera.name}”: its property {LENS_PROPERTY} must hold the model opencv and 4, 5 or 8 coefficients."
        )
    return coefficients


def _clip_coefficients(lens: bpy.types.MovieTrackingCamera) -> tuple[float, ...]:
    """In the engine's order and with Y down."""
    names = {
        "POLYNOMIAL": ("k1", "k2", "k3"),
        "DIVISION": ("division_k1", "division_k2"),
        "NUKE": ("nuke_k1", "nuke_k2"),
        "BROWN": ("brown_k1", "brown_k2", "brown_k3", "brown_k4", "brown_p1", "brown_p2"),
    }
    # Brown's p2 belongs to Y, which points up in Blender's clips.
    return tuple(
        -getattr(lens, name) if name == "brown_p2" else getattr(lens, name) for name in names[lens.distortion_model]
    )


def _for_focal(model: str, coefficients: tuple[float, ...], ratio: float) -> tuple[float, ...]:
    """Coefficients for coordinates divided by a focal length that is `ratio` times the one they were made for."""
    if model == "nuke":  # measured in the picture's size
        return coefficients
    powers = (2, 4, 6, 8, 1, 1) if model == "brown" else (2, 4, 6)
    return tuple(value * ratio**power for value, power in zip(coefficients, powers, strict=False))


def _check_centre(
    camera: bpy.types.Object, background: images.Background, size: tuple[int, int], K: np.ndarray
) -> None:
    """A lens bends around its optical centre, so the camera's must be there, too."""
    lens = background.picture.tracking.camera
    width, height = size
    x, y = lens.principal_point_pixels
    x = width - x if background.placement.flip_x else x
    y = y if background.placement.flip_y else height - y
    if max(abs(K[0, 2] - x), abs(K[1, 2] - y)) > CENTRE_TOLERANCE * max(width, height):
        raise SourceError(
            f"Camera “{camera.name}” looks at pixel ({K[0, 2]:.0f}, {K[1, 2]:.0f}) of its clip, whose optical centre is "
            f"({x:.0f}, {y:.0f}): set the camera's shift, or the clip's optical centre."
        )


def _mirrored(model: str, coefficients: tuple[float, ...], flip_x: bool, flip_y: bool) -> tuple[float, ...]:
    """The lens that bends the mirrored picture: the tangential terms along a mirrored axis change their sign."""
    along_x, along_y = {"opencv": (3, 2), "brown": (4, 5)}.get(model, (None, None))
    changed = {along_x} if flip_x else set()
    changed |= {along_y} if flip_y else set()
    return tuple(-value if index in changed else value for index, value in enumerate(coefficients))
