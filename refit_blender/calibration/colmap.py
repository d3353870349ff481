# SPDX-License-Identifier: GPL-3.0-or-later
"""COLMAP's sparse models: cameras and images, as text (.txt) or binary (.bin), side by side in one folder.

A camera is a lens; every image has a pose, X_camera = R(q) X_world + t, and a camera. Here each image becomes a camera.
Pixels have their origin at the corner of the first one. The world's scale and direction are arbitrary.
Source: COLMAP's documentation, "Output Format" and "Camera Models".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import CalibrationError
from .model import CalibratedCamera, Calibration, make_camera, rotation_from_quaternion

# By COLMAP's numbers for the models: name, number of parameters.
_MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
)
_COUNTS = dict(_MODELS)
_POINT_BYTES = 24  # x, y, and the number of the point


@dataclass(frozen=True)
class _Lens:
    size: tuple[int, int]
    K: np.ndarray
    distortion: tuple[float, ...]


def is_colmap(path: Path) -> bool:
    """Whether a file is one of a model's by its name; their contents do not tell."""
    return path.suffix.lower() in (".txt", ".bin") and path.stem.lower() in ("cameras", "images", "points3d")


def read_colmap(path: Path) -> Calibration:
    """The model that any of its files belongs to. Raises CalibrationError, naming the line or what is missing."""
    suffix = path.suffix.lower()
    cameras, images = (path.with_name(f"{stem}{path.suffix}") for stem in ("cameras", "images"))
    for file in (cameras, images):
        if not file.is_file():
            raise CalibrationError(f"{file.name} is not beside {path.name}: COLMAP's model needs both.")
    if suffix == ".txt":
        lenses, views = dict(_text_cameras(cameras)), list(_text_images(images))
    else:
        lenses, views = dict(_binary_cameras(cameras)), list(_binary_images(images))
    if not views:
        raise CalibrationError(f"{images.name} holds no image.")
    return Calibration("COLMAP", tuple(_camera(images, lenses, *view) for view in views), metric=False)


def _camera(path: Path, lenses: dict[int, _Lens], name: str, lens: int, pose: Sequence[float]) -> CalibratedCamera:
    where = f"{path.name}, image “{name}”"
    if lens not in lenses:
        raise CalibrationError(f"{where} was taken by camera {lens}, which is not in cameras{path.suffix}.")
    quaternion, t = np.array(pose[:4]), np.array(pose[4:])
    if not np.linalg.norm(quaternion) > 0:
        raise CalibrationError(f"{where} has no rotation: its quaternion is 0.")
    return make_camera(
        str(PurePosixPath(name).with_suffix("")),
        where,
        K=lenses[lens].K,
        R=rotation_from_quaternion(quaternion),
        t=t,
        size=lenses[lens].size,
        distortion=lenses[lens].distortion,
        picture=name,
    )


def _lens(where: str, model: str, size: tuple[int, int], values: Sequence[float]) -> _Lens:
    if model not in _COUNTS:
        raise CalibrationError(f"{where}: “{model}” is no camera model that is known.")
    if len(values) != _COUNTS[model]:
        raise CalibrationError(f"{where}: {model} has {_COUNTS[model]} parameters, not {len(values)}.")
    match model:
        case "SIMPLE_PINHOLE" | "SIMPLE_RADIAL" | "RADIAL":
            fx, cx, cy, *radial = values
            fy, distortion = fx, (*radial, 0.0, 0.0, 0.0)[:2] + (0.0, 0.0)
        case "PINHOLE":
            fx, fy, cx, cy = values
            distortion = ()
        case "OPENCV" | "FULL_OPENCV":
            fx, fy, cx, cy, *distortion = values
        case _:
            raise CalibrationError(
                f"{where}: the camera model {model} is not supported; undistort the images with COLMAP first."
            )
    K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return _Lens(size, K, tuple(distortion))


def _text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, content) of each line, comments left out, empty lines not."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CalibrationError(f"{path.name} is no text.") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#"):
            yield f"{path.name}, line {number}", line.strip()


def _text_cameras(path: Path) -> Iterator[tuple[int, _Lens]]:
    """CAMERA_ID MODEL WIDTH HEIGHT PARAMS..."""
    for where, line in _text_lines(path):
        if not line:
            continue
        words = line.split()
        if len(words) < 5:
            raise CalibrationError(f"{where}: a camera is CAMERA_ID MODEL WIDTH HEIGHT PARAMS.")
        try:
            number, size = int(words[0]), (int(words[2]), int(words[3]))
            values = [float(word) for word in words[4:]]
        except ValueError as error:
            raise CalibrationError(f"{where}: {error}.") from None
        yield number, _lens(where, words[1], size, values)


def _text_images(path: Path) -> Iterator[tuple[str, int, list[float]]]:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and a line of points, which may be empty."""
    lines = _text_lines(path)
    for where, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise CalibrationError(f"{where}: an image is IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME.")
        try:
            pose, lens = [float(word) for word in words[1:8]], int(words[8])
        except ValueError as error:
            raise CalibrationError(f"{where}: {error}.") from None
        next(lines, None)
        yield words[9], lens, pose


class _Bytes:
    """A little-endian file that is read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.place = 0

    def take(self, layout: str) -> tuple:
        layout = "<" + layout
        end = self.place + struct.calcsize(layout)
        if end > len(self.data):
            raise CalibrationError(f"{self.path.name} ends too early, at byte {len(self.data)}; is it COLMAP's?")
        values = struct.unpack_from(layout, self.data, self.place)
        self.place = end
        return values

    def name(self) -> str:
        end = self.data.find(b"\0", self.place)
        if end < 0:
            raise CalibrationError(f"{self.path.name} ends too early, within an image's name; is it COLMAP's?")
        text = self.data[self.place : end].decode("utf-8", "replace")
        self.place = end + 1
        return text

    def skip(self, count: int) -> None:
        self.place += count


def _binary_cameras(path: Path) -> Iterator[tuple[int, _Lens]]:
    data = _Bytes(path)
    for _ in range(data.take("Q")[0]):
        number, model, width, height = data.take("iiQQ")
        if not 0 <= model < len(_MODELS):
            raise CalibrationError(f"{path.name}, camera {number}: the camera model number {model} is not supported.")
        name, count = _MODELS[model]
        yield number, _lens(f"{path.name}, camera {number}", name, (width, height), data.take(f"{count}d"))


def _binary_images(path: Path) -> Iterator[tuple[str, int, list[float]]]:
    data = _Bytes(path)
    for _ in range(data.take("Q")[0]):
        _, *pose, lens = data.take("i7di")
        name = data.name()
        data.skip(data.take("Q")[0] * _POINT_BYTES)
        yield name, lens, pose
