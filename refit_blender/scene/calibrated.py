# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrated cameras become Blender cameras with their pictures behind them: all of them, or none."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..calibration import CalibratedCamera, Calibration, Picture, World
from ..calibration.model import LARGEST_SIDE
from ..errors import CalibrationError
from . import cameras, clipping
from .assemble import leave_edit_mode, nothing_left_on_error
from .cameras import DEFAULT_SENSOR_MM, Frame, Lens, Placement
from .names import shorten, stem_of
from .views import LENS_PROPERTY

FILE_PROPERTY = "refit_calibration"
# Sizes of pictures that were scaled for storing are rounded.
_ASPECT_TOLERANCE = 0.01
# Blender renders no smaller pictures.
_SMALLEST_SIDE = 4
# Pixels: less bending than this cannot be seen.
_VISIBLE_BEND = 2.0


@dataclass(frozen=True)
class CameraRig:
    """What an import put into the scene, and remarks for the user."""

    collection: bpy.types.Collection
    cameras: tuple[bpy.types.Object, ...]
    world: World
    label: str
    messages: tuple[str, ...]

    def summary(self) -> str:
        """One sentence for the status line."""
        count = len(self.cameras)
        plural = "camera" if count == 1 else "cameras"
        return f"{count} {plural} from {self.label}: {self.world.up} up, 1 unit is {self.world.metres:g} m"


def build_camera_rig(
    context: bpy.types.Context,
    file: Path,
    calibration: Calibration,
    world: World,
    pictures: Sequence[Picture | None],
) -> CameraRig:
    """Make the cameras in a collection of their own, select them, and make the scene render their size.

    pictures: one for each camera, or None. On any error the scene is left as it was. Raises CalibrationError for a
    camera that Blender cannot hold.
    """
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    messages = list(calibration.remarks)
    with nothing_left_on_error():
        collection = bpy.data.collections.new(f"Cameras {stem_of(file.stem)}")
        collection[FILE_PROPERTY] = str(file)
        scene.collection.children.link(collection)
        loaded = [_load(picture, messages) if picture else None for picture in pictures]
        sizes = [_size(camera, block) for camera, block in zip(calibration.cameras, loaded, strict=True)]
        frame = Frame(*Counter(sizes).most_common(1)[0][0])
        made, bent = [], []
        for camera, picture, block, size in zip(calibration.cameras, pictures, loaded, sizes, strict=True):
            item = _make_camera(world.place(camera), size, frame, unit)
            collection.objects.link(item)
            made.append(item)
            if block is None:
                continue
            if not _same_shape((block.size[0], block.size[1]), size):
                messages.append(
                    f"{picture.path.name} has {block.size[0]} x {block.size[1]} pixels, but {camera.name} was "
                    f"calibrated for {size[0]} x {size[1]}: it is not used."
                )
                _remove(block)
                continue
            _show(item, block, camera, size)
            if isinstance(block, bpy.types.Image) and _largest_bend(camera, size) > _VISIBLE_BEND:
                bent.append(camera)
        cameras.set_frame(scene, frame)
    absent = [camera.name for camera, picture in zip(calibration.cameras, pictures, strict=True) if picture is None]
    if absent:
        messages.append(f"No picture was found for {_enumeration(absent)}: choose their folder, or add them by hand.")
    if bent:
        messages.append("Stills are shown as taken, bent by their lenses; Fit from Cameras takes that into account.")
    clipping.widen_viewports(context, max(item.matrix_world.translation.length for item in made) * unit, unit)
    scene.camera = made[0]
    _select(context, made)
    return CameraRig(collection, tuple(made), world, f"{file.name} ({calibration.label})", tuple(messages))


def _load(picture: Picture, messages: list[str]) -> bpy.types.Image | bpy.types.MovieClip | None:
    """The picture as Blender's data; where it cannot be read, a message."""
    block = None
    with contextlib.suppress(RuntimeError):
        # A still is no clip: Blender would take cam1.jpg, cam2.jpg ... for frames of one.
        if picture.kind == "still":
            block = bpy.data.images.load(str(picture.path), check_existing=False)
        else:
            block = bpy.data.movieclips.load(str(picture.path))
    if block is None or not all(block.size):
        messages.append(f"{picture.path.name} cannot be read.")
        if block is not None:
            _remove(block)
        return None
    return block


def _remove(block: bpy.types.Image | bpy.types.MovieClip) -> None:
    if isinstance(block, bpy.types.MovieClip):
        bpy.data.movieclips.remove(block)
    else:
        bpy.data.images.remove(block)


def _size(camera: CalibratedCamera, block: bpy.types.Image | bpy.types.MovieClip | None) -> tuple[int, int]:
    """The size that the camera was calibrated for; where none is said the picture's, or twice the principal point.

    Raises CalibrationError where Blender has no pictures of that size.
    """
    size = camera.size
    if not size and block is not None:
        size = block.size[0], block.size[1]
    elif not size:
        size = round(2 * camera.K[0, 2]), round(2 * camera.K[1, 2])
    if not _SMALLEST_SIDE <= min(size) <= max(size) <= LARGEST_SIDE:
        raise CalibrationError(
            f"Camera “{camera.name}” would have pictures of {size[0]} x {size[1]} pixels, which Blender does not have."
        )
    return size


def _same_shape(picture: tuple[int, int], size: tuple[int, int]) -> bool:
    return abs(picture[0] * size[1] / (picture[1] * size[0]) - 1) < _ASPECT_TOLERANCE


def _display_aspect(K: np.ndarray) -> float:
    """How wide a pixel has to be drawn, in its height, so that both focal lengths are the same."""
    return float(K[1, 1] / K[0, 0])


def fitted_lens(K: np.ndarray, size: tuple[int, int], frame: Frame) -> Lens:
    """The lens with which a camera sees a picture of this size through K, where it is fitted into the frame.

    The picture is drawn with the aspect of pixels that makes K's focal lengths one.
    """
    unit_lens = Lens(focal_mm=DEFAULT_SENSOR_MM / 2)
    unit = cameras.image_camera(unit_lens, frame, Placement("FIT"), *size, _display_aspect(K)).K
    return Lens(
        focal_mm=float(K[0, 0] / unit[0, 0]) * unit_lens.focal_mm,
        shift_x=float((size[0] / 2 - K[0, 2]) / (2 * unit[0, 0])),
        shift_y=float((K[1, 2] - size[1] / 2) / (2 * unit[1, 1])),
    )


def _make_camera(camera: CalibratedCamera, size: tuple[int, int], frame: Frame, unit: float) -> bpy.types.Object:
    """A camera, linked nowhere yet; unit: metres per unit of the scene."""
    lens = fitted_lens(camera.K, size, frame)
    data = bpy.data.cameras.new(shorten(camera.name))
    data.sensor_fit, data.sensor_width = lens.sensor_fit, lens.sensor_width
    data.lens, data.shift_x, data.shift_y = lens.focal_mm, lens.shift_x, lens.shift_y
    if not np.allclose((data.lens, data.shift_x, data.shift_y), (lens.focal_mm, lens.shift_x, lens.shift_y), rtol=1e-4):
        raise CalibrationError(f"Camera “{camera.name}”: Blender has no lens of {lens.focal_mm:g} mm for its pictures.")
    clipping.suit_to_unit(data, unit, float(np.linalg.norm(camera.t)))
    data.passepartout_alpha = 0.8
    if camera.distortion:
        data[LENS_PROPERTY] = {"model": "opencv", "coefficients": list(camera.distortion)}
    made = bpy.data.objects.new(shorten(camera.name), data)
    made.matrix_world = Matrix(cameras.camera_matrix_world(camera.R, camera.t / unit).tolist())
    return made


def _show(
    item: bpy.types.Object,
    block: bpy.types.Image | bpy.types.MovieClip,
    camera: CalibratedCamera,
    size: tuple[int, int],
) -> None:
    """Put the picture behind the camera."""
    background = item.data.background_images.new()
    background.frame_method = "FIT"
    background.alpha = 1.0
    item.data.show_background_images = True
    block.display_aspect = (_display_aspect(camera.K), 1.0)
    if isinstance(block, bpy.types.MovieClip):
        background.source = "MOVIE_CLIP"
        background.clip = block
        background.clip_user.use_render_undistorted = _describe_lens(block, camera, size)
        return
    background.image = block


def _describe_lens(clip: bpy.types.MovieClip, camera: CalibratedCamera, size: tuple[int, int]) -> bool:
    """Tell a clip which lens took it, for drawing it undistorted; whether Blender has such a lens and there is need.

    Blender's Brown model holds OpenCV's k1, k2, k3, p1, p2, with y up and the tangential terms the other way round.
    """
    scale = clip.size[0] / size[0]
    lens = clip.tracking.camera
    lens.sensor_width = DEFAULT_SENSOR_MM
    lens.pixel_aspect = _display_aspect(camera.K)
    lens.focal_length_pixels = camera.K[0, 0] * scale
    lens.principal_point_pixels = (camera.K[0, 2] * scale, clip.size[1] - camera.K[1, 2] * scale)
    k1, k2, p1, p2, k3, *rational = (*camera.distortion, *[0.0] * (8 - len(camera.distortion)))
    if not camera.distortion or any(rational):
        return False
    lens.distortion_model = "BROWN"
    lens.brown_k1, lens.brown_k2, lens.brown_k3, lens.brown_k4 = k1, k2, k3, 0.0
    lens.brown_p1, lens.brown_p2 = p2, -p1
    return True


def _largest_bend(camera: CalibratedCamera, size: tuple[int, int]) -> float:
    """How many pixels the lens moves the corners and the middles of the sides, at most."""
    if not camera.distortion:
        return 0.0
    k1, k2, p1, p2, k3, k4, k5, k6 = (*camera.distortion, *[0.0] * (8 - len(camera.distortion)))
    focal = camera.K[[0, 1], [0, 1]]
    places = np.array([[x, y] for x in (0, 0.5, 1) for y in (0, 0.5, 1)]) * size
    x, y = ((places - camera.K[:2, 2]) / focal).T
    squared = x * x + y * y
    radial = (1 + squared * (k1 + squared * (k2 + squared * k3))) / (1 + squared * (k4 + squared * (k5 + squared * k6)))
    moved = np.stack(
        [
            x * (radial - 1) + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
            y * (radial - 1) + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=1,
    )
    return float(np.linalg.norm(moved * focal, axis=1).max())


def _enumeration(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _select(context: bpy.types.Context, made: Sequence[bpy.types.Object]) -> None:
    for selected in context.selected_objects:
        selected.select_set(False)
    for item in made:
        item.select_set(True)
    context.view_layer.objects.active = made[0]
