# SPDX-License-Identifier: GPL-3.0-or-later
"""nerfstudio's transforms.json: a lens for all frames, or one for each, and where every frame was taken.

Poses are camera to world, with the camera's Y up and Z backwards; pixels have their origin at the corner of the first
one, as in COLMAP, from which the numbers mostly come. The world's scale is arbitrary.
Source: nerfstudio's documentation, "Data conventions".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .colmap import picture_stem, with_distinct_names
from .colmap_models import MAX_RECORDS
from .files import shown
from .model import CalibratedCamera, Calibration, make_camera, numbers
from .opencv import Entries, read_lens, said_of_cameras
from .tree import Value, flat_numbers

_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


def is_transforms(tree: dict[str, Value]) -> bool:
    """Whether it has frames with poses."""
    frames = tree.get("frames")
    return isinstance(frames, list) and any(isinstance(item, dict) and "transform_matrix" in item for item in frames)


def read_transforms(path: Path, tree: dict[str, Value]) -> Calibration:
    """Each frame becomes a camera. Raises CalibrationError, naming the frame."""
    frames = tree["frames"]
    if len(frames) > MAX_RECORDS:
        raise CalibrationError(f"{path.name} has more than {MAX_RECORDS} frames.")
    common = said_of_cameras({key: value for key, value in tree.items() if key != "frames"}).get("", {})
    cameras = [_camera(path, index, frame, common) for index, frame in enumerate(frames)]
    return Calibration("nerfstudio", with_distinct_names(cameras), metric=False)


def _camera(path: Path, index: int, frame: Value, common: Entries) -> CalibratedCamera:
    where = f"{path.name}, frame {index}"
    picture = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(frame, dict) or not isinstance(picture, str):
        raise CalibrationError(f"{where} has no file_path.")
    where = f"{where} “{shown(picture)}”"
    label = f"{where}: transform_matrix"
    pose = numbers(flat_numbers(frame.get("transform_matrix", ""), label), 16, label).reshape(4, 4)
    K, size, distortion = read_lens(common | said_of_cameras(frame).get("", {}), where)
    R = _OPENGL_TO_OPENCV @ pose[:3, :3].T
    return make_camera(
        picture_stem(picture.removeprefix("./")),
        where,
        K=K,
        R=R,
        t=-R @ pose[:3, 3],
        size=size,
        distortion=distortion,
        picture=picture,
    )
