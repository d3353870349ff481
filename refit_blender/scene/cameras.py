# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender cameras to OpenCV's matrices and back.

OpenCV camera frame: X right, Y down, Z forward; `x = K (R X + t)`, world to camera, metres. Pixel coordinates have
their origin at the corner of the first pixel, top left, so that the first pixel's centre is at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from ..errors import SourceError

# Blender's camera looks along -Z with Y up.
BLENDER_TO_OPENCV = np.diag([1.0, -1.0, -1.0])
DEFAULT_SENSOR_MM = 36.0
# Scene units: rounding alone moves things by kilometres of metres there.
FARTHEST = 1e12
# Cosine of the angle between a camera's axes that still counts as rounding.
MAX_SHEAR = 1e-4


@dataclass(frozen=True)
class Frame:
    """A render frame: width and height in pixels, and how much higher than wide a pixel is."""

    width: int
    height: int
    pixel_aspect: float = 1.0  # pixel_aspect_y / pixel_aspect_x


@dataclass(frozen=True)
class Lens:
    """What a perspective camera's data block says of its projection."""

    focal_mm: float
    sensor_width: float = DEFAULT_SENSOR_MM
    sensor_height: float = 24.0
    sensor_fit: Literal["AUTO", "HORIZONTAL", "VERTICAL"] = "AUTO"
    shift_x: float = 0.0
    shift_y: float = 0.0


def view_size(lens: Lens, frame: Frame) -> float:
    """Length, in pixel widths, of the frame's side that the sensor is fitted to."""
    fit = lens.sensor_fit
    if fit == "AUTO":
        fit = "HORIZONTAL" if frame.width >= frame.height * frame.pixel_aspect else "VERTICAL"
    return frame.width if fit == "HORIZONTAL" else frame.height * frame.pixel_aspect


def intrinsics(lens: Lens, frame: Frame) -> np.ndarray:
    """K [3,3] in pixels of the render frame."""
    # AUTO measures the sensor's width even where it fits the height.
    sensor = lens.sensor_height if lens.sensor_fit == "VERTICAL" else lens.sensor_width
    view = view_size(lens, frame)
    fx = lens.focal_mm * view / sensor
    cx = frame.width / 2 - lens.shift_x * view
    cy = frame.height / 2 + lens.shift_y * view / frame.pixel_aspect
    return np.array([[fx, 0, cx], [0, fx / frame.pixel_aspect, cy], [0, 0, 1]])


def lens_from_intrinsics(K: np.ndarray, width: int, height: int) -> tuple[Lens, Frame]:
    """The inverse of `intrinsics` for an image of width x height pixels; K [3,3] without skew.

    The frame's pixel aspect is fx/fy.
    """
    frame = Frame(width, height, float(K[0, 0] / K[1, 1]))
    view = view_size(Lens(1.0), frame)
    lens = Lens(
        focal_mm=float(K[0, 0]) * DEFAULT_SENSOR_MM / view,
        shift_x=(width / 2 - float(K[0, 2])) / view,
        shift_y=(float(K[1, 2]) - height / 2) * frame.pixel_aspect / view,
    )
    return lens, frame


def extrinsics(matrix_world: np.ndarray, name: str = "") -> tuple[np.ndarray, np.ndarray]:
    """R [3,3], t [3] (world to OpenCV camera) of a camera object with this matrix [4,4]; its scale does not count.

    Raises SourceError, with the camera's name, where parents mirror or shear the camera, so that it has no rotation, and
    where it has no place.
    """
    lengths = np.linalg.norm(matrix_world[:3, :3], axis=0)
    if not (np.abs(matrix_world) < FARTHEST).all():
        raise SourceError(f"Camera “{name}” is nowhere: its place or its axes are not finite, or far too large.")
    if not lengths.all():
        raise SourceError(f"Camera “{name}” is scaled to nothing.")
    axes = matrix_world[:3, :3] / lengths
    if np.linalg.det(axes) < 0:
        raise SourceError(f"Camera “{name}” is mirrored by a negative scale.")
    if not np.abs(axes.T @ axes - np.eye(3)).max() < MAX_SHEAR:
        raise SourceError(f"Camera “{name}” is sheared: its parents have different scales on their axes.")
    R = BLENDER_TO_OPENCV @ axes.T
    return R, -R @ matrix_world[:3, 3]


def camera_matrix_world(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """matrix_world [4,4] of a camera object with these extrinsics; the inverse of `extrinsics`."""
    matrix = np.eye(4)
    matrix[:3, :3] = R.T @ BLENDER_TO_OPENCV
    matrix[:3, 3] = -R.T @ t
    return matrix


def frame_of(scene: bpy.types.Scene) -> Frame:
    """The scene's render frame. Blender truncates the percentage."""
    render = scene.render
    percentage = render.resolution_percentage / 100
    return Frame(
        int(render.resolution_x * percentage),
        int(render.resolution_y * percentage),
        render.pixel_aspect_y / render.pixel_aspect_x,
    )


def drawn_frame(scene: bpy.types.Scene) -> Frame:
    """The frame in which Blender draws background images: the percentage does not count."""
    render = scene.render
    return Frame(render.resolution_x, render.resolution_y, render.pixel_aspect_y / render.pixel_aspect_x)


def metres_per_unit(scene: bpy.types.Scene) -> float:
    """How long one of the scene's units is."""
    units = scene.unit_settings
    return 1.0 if units.system == "NONE" else units.scale_length


def data_of(camera: bpy.types.Object) -> bpy.types.Camera:
    """The data of an object that is a camera."""
    assert isinstance(camera.data, bpy.types.Camera)
    return camera.data


def lens_of(camera: bpy.types.Object, scene: bpy.types.Scene) -> Lens:
    """The lens of a perspective camera. Raises SourceError for projections that have no K."""
    data = camera.data
    if camera.type != "CAMERA":  # the scene's may be any object
        raise SourceError(f"“{camera.name}” is no camera.")
    if data.type != "PERSP":
        kind = {"ORTHO": "orthographic", "PANO": "panoramic"}.get(data.type, "custom")
        raise SourceError(f"Camera “{camera.name}” is {kind}: a perspective camera is needed.")
    if scene.render.use_border:
        raise SourceError(
            f"Camera “{camera.name}” cannot be used while the scene renders a region only: switch Render Region off."
        )
    return Lens(data.lens, data.sensor_width, data.sensor_height, data.sensor_fit, data.shift_x, data.shift_y)


def world_matrix(camera: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    """matrix_world [4,4] at the current frame, parents, constraints and animation included."""
    return np.array(camera.evaluated_get(depsgraph).matrix_world, dtype=np.float64)


def create_camera(name: str, K: np.ndarray, width: int, height: int) -> tuple[bpy.types.Object, Frame]:
    """A camera object, linked nowhere yet, that sees a width x height image through K; and the frame it needs."""
    data = bpy.data.cameras.new(name)
    frame = set_lens(data, K, width, height)
    data.display_size = 0.3
    data.passepartout_alpha = 0.8
    return bpy.data.objects.new(name, data), frame


def set_lens(data: bpy.types.Camera, K: np.ndarray, width: int, height: int) -> Frame:
    """Make a camera see a width x height image through K; the frame that it needs."""
    lens, frame = lens_from_intrinsics(K, width, height)
    data.sensor_fit = lens.sensor_fit
    data.sensor_width = lens.sensor_width
    data.lens = lens.focal_mm
    data.shift_x = lens.shift_x
    data.shift_y = lens.shift_y
    return frame


def set_frame(scene: bpy.types.Scene, frame: Frame) -> None:
    """Make the scene render this frame."""
    render = scene.render
    render.resolution_x = frame.width
    render.resolution_y = frame.height
    render.resolution_percentage = 100
    # Blender takes 1 and more on both axes.
    render.pixel_aspect_x = max(1.0, 1.0 / frame.pixel_aspect)
    render.pixel_aspect_y = max(1.0, frame.pixel_aspect)


@dataclass(frozen=True)
class Placement:
    """How a camera's background image lies in the camera's view, as the data block says it."""

    method: Literal["STRETCH", "FIT", "CROP"] = "FIT"
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0  # radians, clockwise on screen
    flip_x: bool = False
    flip_y: bool = False


@dataclass(frozen=True)
class ImageCamera:
    """The camera that sees an image, rather than the render frame.

    K: [3,3] for the image's pixels; turn: [3,3], `x_image_camera = turn @ x_camera` (OpenCV axes), the roll of a
    rotated background. Where flip_x or flip_y is set, K holds for the image mirrored that way.
    """

    K: np.ndarray
    turn: np.ndarray
    flip_x: bool
    flip_y: bool


def image_camera(
    lens: Lens, frame: Frame, placement: Placement, width: int, height: int, display_aspect: float = 1.0
) -> ImageCamera:
    """The camera of a width x height background image.

    The image's plane is described as Blender draws it: the longer side of the view spans -1 to 1, the image is
    fitted to the view, scaled, turned about its centre, and moved. `display_aspect`: the image's own pixel aspect, x/y.
    """
    view = view_size(lens, frame)
    view_width, view_height = 2 * frame.width / view, 2 * frame.height * frame.pixel_aspect / view
    view_aspect = view_width / view_height
    image_aspect = width / height * display_aspect
    size = np.array([view_width, view_height])
    if placement.method != "STRETCH":
        # Crop fills the view, fit stays inside.
        by_height = (image_aspect > view_aspect) == (placement.method == "CROP")
        size = np.array(
            [view_height * image_aspect, view_height] if by_height else [view_width, view_width / image_aspect]
        )
    half = size / 2 * placement.scale
    # An offset of 1 is the whole side; the aspects keep the meaning that offsets had in 2.80.
    centre = np.array(placement.offset) * [min(1.0, view_aspect), view_aspect / (max(1.0, view_aspect) * image_aspect)]
    centre = 2 * (centre + [lens.shift_x, lens.shift_y])
    sensor = lens.sensor_height if lens.sensor_fit == "VERTICAL" else lens.sensor_width
    focal = 2 * lens.focal_mm / sensor
    # A point (x, y, 1) of the camera, Y up, is drawn at focal (x, y); in the image's turned axes it is
    # focal (x, y) turned back, less the turned centre. Turning that is clockwise with Y up is so with Y down, too.
    c, s = math.cos(placement.rotation), math.sin(placement.rotation)
    back = np.array([[c, -s], [s, c]])
    along = back @ centre
    scale = np.array([width, height]) / (2 * half)
    K = np.array(
        [
            [focal * scale[0], 0, width / 2 - along[0] * scale[0]],
            [0, focal * scale[1], height / 2 + along[1] * scale[1]],
            [0, 0, 1],
        ]
    )
    turn = np.eye(3)
    turn[:2, :2] = back.T  # the same turn, with Y down
    return ImageCamera(K, turn, placement.flip_x, placement.flip_y)
