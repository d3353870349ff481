# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrated views of one instant: what the caller gives, checked and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...camera import Intrinsics, choose_intrinsics
from ...detect import Detection
from ...distortion import Distortion
from ...errors import ImageError, ViewsError
from ...images import Photo, read_photo
from ..boxes import checked_boxes, turn_boxes
from ..undistort import without_distortion

MAX_VIEWS = 64
_ROTATION_TOLERANCE = 1e-3
_FARTHEST = 1e9  # metres from the world's origin


@dataclass(frozen=True)
class ViewRequest:
    """One calibrated picture. Pixels as stored in the file, origin at the corner of the first one.

    K: [3,3]; R: [3,3] and t: [3], camera from world, metres: x_cam = R x + t, X right, Y down, Z forward.
    distortion: the lens's, None for none. boxes_xywh: [N,4] people in pixels of the taken picture, None to detect them.
    size: (width, height) that K belongs to, None where that is not known.
    """

    name: str
    image: Path
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    distortion: Distortion | None = None
    boxes_xywh: np.ndarray | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class View:
    """A calibrated picture without distortion.

    pixels: [H,W,3] uint8 RGB; R: [3,3], t: [3] camera from world, metres; roll: the turn in radians, clockwise, that
    makes the picture upright.
    """

    name: str
    pixels: np.ndarray
    intrinsics: Intrinsics
    R: np.ndarray
    t: np.ndarray
    roll: float = 0.0


def check_requests(requests: Sequence[ViewRequest]) -> None:
    """Raises ViewsError for what is wrong before any picture is read."""
    if not 2 <= len(requests) <= MAX_VIEWS:
        raise ViewsError(f"Give two to {MAX_VIEWS} views, not {len(requests)}.")
    names = [request.name for request in requests]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ViewsError(f"Two views are called {doubled[0]}.")
    for request in requests:
        R, t = np.asarray(request.R, dtype=np.float64), np.asarray(request.t, dtype=np.float64)
        if R.shape != (3, 3) or t.shape != (3,) or not (np.isfinite(R).all() and np.isfinite(t).all()):
            raise ViewsError(f"The view {request.name} needs a rotation of 3x3 and a translation of 3 finite numbers.")
        if np.abs(t).max() > _FARTHEST:
            raise ViewsError(
                f"The view {request.name} is {np.abs(t).max():.0e} metres from the origin: check its unit."
            )
        if not is_rotation(R):
            raise ViewsError(f"The rotation of the view {request.name} is no rotation: it scales, skews or mirrors.")


def is_rotation(R: np.ndarray) -> bool:
    """Whether a matrix [3,3] turns, and neither scales nor skews nor mirrors, but for few digits."""
    return bool(np.abs(R @ R.T - np.eye(3)).max() <= _ROTATION_TOLERANCE and np.linalg.det(R) > 0)


def load_view(request: ViewRequest) -> tuple[View, Photo, np.ndarray | None]:
    """Read a view's picture and take the distortion out.

    Returns the view, its photo without distortion, and the given boxes [N,4] in that. Raises ImageError.
    """
    photo = read_photo(request.image)
    if request.size is not None and photo.size != tuple(request.size):
        raise ImageError(
            f"{photo.path.name} has {photo.size[0]}x{photo.size[1]} pixels, but the camera {request.name} is for "
            f"{request.size[0]}x{request.size[1]}."
        )
    intrinsics = choose_intrinsics(*photo.size, K=request.K)
    boxes = None if request.boxes_xywh is None else checked_boxes(request.boxes_xywh, photo)
    photo, intrinsics, boxes = without_distortion(photo, intrinsics, boxes, request.distortion)
    # The nearest true rotation, for matrices that were written with few digits.
    u, _, vt = np.linalg.svd(np.asarray(request.R, dtype=np.float64))
    t, roll = np.asarray(request.t, dtype=np.float64), photo.quarter_turns * np.pi / 2
    return View(request.name, photo.pixels, intrinsics, u @ vt, t, roll), photo, boxes


def turn_detection(found: Detection, photo: Photo) -> Detection:
    """A person found in the upright picture, in the pixels as stored."""
    if not photo.quarter_turns:
        return found
    points = np.column_stack([found.joints[:, :2], np.zeros((len(found.joints), 2))])
    points = turn_boxes(points, photo.quarter_turns, photo.size)[:, :2]
    (box,) = turn_boxes(np.array([found.bbox_xywh]), photo.quarter_turns, photo.size)
    return Detection(four(box), found.score, np.column_stack([points, found.joints[:, 2]]))


def four(box: np.ndarray) -> tuple[float, float, float, float]:
    """A box [4] as a detection has it."""
    x, y, width, height = map(float, box)
    return x, y, width, height
