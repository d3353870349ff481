# SPDX-License-Identifier: GPL-3.0-or-later
"""COLMAP's sparse models: cameras and images, as text (.txt) or binary (.bin), side by side in one folder.

A camera is a lens; every image has a pose, X_camera = R(q) X_world + t, and a camera. Here each image becomes a camera.
Pixels have their origin at the corner of the first one. The world's scale and direction are arbitrary. Newer versions
write rigs and frames beside them, which say the same poses once more.
Source: COLMAP's documentation, "Output Format" and "Camera Models".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .colmap_binary import binary_cameras, binary_images
from .colmap_models import PARAMETER_COUNTS, ImageRecord, LensRecord
from .colmap_text import text_cameras, text_images
from .files import check_file, is_file, shown
from .model import CalibratedCamera, Calibration, make_camera, rotation_from_quaternion

_STEMS = ("cameras", "images", "points3d", "rigs", "frames")


@dataclass(frozen=True)
class _Lens:
    size: tuple[int, int]
    K: np.ndarray
    distortion: tuple[float, ...]


def is_colmap(path: Path) -> bool:
    """Whether a file is one of a model's by its name; their contents do not tell."""
    return path.suffix.lower() in (".txt", ".bin") and path.stem.lower() in _STEMS


def read_colmap(path: Path) -> Calibration:
    """The model that any of its files belongs to. Raises CalibrationError, naming the line or what is missing.

    Images of lenses that are no pinholes are left out with a remark, where there are others.
    """
    cameras, images = (path.with_name(f"{stem}{path.suffix}") for stem in ("cameras", "images"))
    for file in (cameras, images):
        if not is_file(file):
            raise CalibrationError(f"{file.name} is not beside {path.name}: COLMAP's model needs both.")
        check_file(file)
    binary = path.suffix.lower() == ".bin"
    records = {record.number: record for record in (binary_cameras if binary else text_cameras)(cameras)}
    views = list((binary_images if binary else text_images)(images))
    if not views:
        raise CalibrationError(f"{images.name} holds no image.")
    lenses, unsupported = _lenses(records)
    read, left_out = [], []
    for view in views:
        where = f"{images.name}, image “{shown(view.name)}”"
        if view.lens not in records:
            raise CalibrationError(f"{where} was taken by camera {view.lens}, which is not in {cameras.name}.")
        if view.lens in unsupported:
            left_out.append(view)
        else:
            read.append(_camera(where, view, lenses[view.lens]))
    if not read:
        raise unsupported[left_out[0].lens]
    remarks = ()
    if left_out:
        models = ", ".join(sorted({records[view.lens].model for view in left_out}))
        remarks = (f"{len(left_out)} of {len(views)} images were left out: their lens model is {models}.",)
    return Calibration("COLMAP", with_distinct_names(read), metric=False, remarks=remarks)


def _lenses(records: dict[int, LensRecord]) -> tuple[dict[int, _Lens], dict[int, CalibrationError]]:
    """The pinholes by their numbers, and what is to be said of the others."""
    lenses, unsupported = {}, {}
    for number, record in records.items():
        if record.model not in PARAMETER_COUNTS:
            raise CalibrationError(f"{record.where}: “{shown(record.model)}” is no camera model that is known.")
        count = PARAMETER_COUNTS[record.model]
        if len(record.values) != count:
            raise CalibrationError(f"{record.where}: {record.model} has {count} parameters, not {len(record.values)}.")
        lens = _lens(record)
        if lens:
            lenses[number] = lens
        else:
            unsupported[number] = CalibrationError(
                f"{record.where}: the camera model {record.model} is not supported; "
                "undistort the images with COLMAP first."
            )
    return lenses, unsupported


def _lens(record: LensRecord) -> _Lens | None:
    """The lens, or None where it is no pinhole with OpenCV's distortion."""
    distortion: Sequence[float] = ()
    match record.model:
        case "SIMPLE_PINHOLE" | "SIMPLE_RADIAL" | "RADIAL":
            fx, cx, cy, *radial = record.values
            fy, distortion = fx, (*radial, 0.0, 0.0, 0.0)[:2] + (0.0, 0.0)
        case "PINHOLE":
            fx, fy, cx, cy = record.values
        case "OPENCV" | "FULL_OPENCV":
            fx, fy, cx, cy, *distortion = record.values
        case _:
            return None
    return _Lens(record.size, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), tuple(distortion))


def _camera(where: str, view: ImageRecord, lens: _Lens) -> CalibratedCamera:
    if not view.name.replace("\\", "/").rpartition("/")[2].strip(". "):
        raise CalibrationError(f"{where} has a name that no picture can have.")
    quaternion = np.array(view.pose[:4])
    if not 0 < np.linalg.norm(quaternion) < np.inf:
        raise CalibrationError(f"{where} has no rotation: its quaternion is 0 or not finite.")
    return make_camera(
        picture_stem(view.name),
        where,
        K=lens.K,
        R=rotation_from_quaternion(quaternion),
        t=np.array(view.pose[4:]),
        size=lens.size,
        distortion=lens.distortion,
        picture=view.name,
    )


def picture_stem(name: str) -> str:
    """An image's name without the suffix of its file."""
    folder, slash, file = name.rpartition("/")
    stem, dot, _ = file.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else name


def with_distinct_names(cameras: Sequence[CalibratedCamera]) -> tuple[CalibratedCamera, ...]:
    """Cameras are called after their images: with the suffix where a.jpg and a.png are two of them."""
    counts = Counter(camera.name for camera in cameras)
    return tuple(
        replace(camera, name=camera.picture) if counts[camera.name] > 1 and camera.picture else camera
        for camera in cameras
    )
