# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML files with OpenCV's matrices, under the names that OpenCV's samples and their descendants give them.

One camera: camera_matrix, distortion_coefficients, image_width, image_height, and a pose as R or rvec and T or tvec (or
the two in one matrix). A pair: M1, D1, M2, D2, and R, T from the first to the second camera (`stereo_calib.cpp`), which
may be in two files, intrinsics.yml and extrinsics.yml. More: the same names with the camera's at the end (K_left,
rvec_1), or a mapping for each camera. X_camera = R X_world + T, in the unit of the calibration board.
Source: OpenCV's `samples/cpp/calibration.cpp` and `stereo_calib.cpp`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .model import CENTRE_TO_CORNER, CalibratedCamera, Calibration, make_camera, numbers, rotation_from_vector
from .opencv_yaml import Value, flat_numbers, is_matrix

_NAMES = {
    "K": ("cameramatrix", "intrinsicmatrix", "intrinsics", "intrinsic", "mtx", "k", "m"),
    "D": ("distortioncoefficients", "distcoeffs", "distcoeff", "distortions", "distortion", "dist", "d"),
    "R": ("rotationmatrix", "rotationvector", "rotation", "rvec", "rmat", "rot", "r"),
    "T": ("translationvector", "translation", "tvec", "t"),
    "RT": ("extrinsicmatrix", "extrinsics", "extrinsic", "rt"),
    "width": ("imagewidth", "width"),
    "height": ("imageheight", "height"),
    "size": ("imagesize", "resolution", "size"),
    "name": ("cameraname", "name"),
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names}
_KEY = re.compile(r"(.+?)(?:[_-]?(\d+|left|right)|[_-]([^_-]+))?", re.IGNORECASE)

Entries = dict[str, Value]


def is_opencv(tree: dict[str, Value]) -> bool:
    """Whether there is a camera matrix or a pose in it."""
    return any({"K", "RT"} & entries.keys() or {"R", "T"} <= entries.keys() for entries in _cameras(tree).values())


def has_poses(tree: dict[str, Value]) -> bool:
    """Whether any camera's pose is in it."""
    return any("RT" in entries or {"R", "T"} <= entries.keys() for entries in _cameras(tree).values())


def has_intrinsics(tree: dict[str, Value]) -> bool:
    """Whether any camera's matrix is in it."""
    return any("K" in entries for entries in _cameras(tree).values())


def read_opencv(path: Path, tree: dict[str, Value]) -> Calibration:
    """Raises CalibrationError, naming the camera and the key."""
    found = _cameras(tree)
    shared = found.pop("", {})
    if {"K"} & shared.keys() and not found:
        found = {"": shared}
        shared = {}
    cameras = {name: entries for name, entries in found.items() if "K" in entries}
    if len(cameras) == 2 and {"R", "T"} <= shared.keys():
        # A pair. What it has as R1 and R2 rectifies pictures and is no pose.
        first, second = cameras.values()
        for entries in (first, second):
            entries.pop("R", None)
        first |= {"R": ["0", "0", "0"], "T": ["0", "0", "0"]}
        second |= {"R": shared["R"], "T": shared["T"]}
    if not cameras:
        raise CalibrationError(f"{path.name} has no camera matrix.")
    sizes = {role: shared[role] for role in ("width", "height", "size") if role in shared}
    alone = len(cameras) == 1
    return Calibration(
        "OpenCV", tuple(_camera(path, name, sizes | entries, alone) for name, entries in cameras.items())
    )


def _cameras(tree: dict[str, Value]) -> dict[str, Entries]:
    """What is said of each camera, by role; under "" what no camera's name is attached to."""
    cameras: dict[str, Entries] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and not is_matrix(value):
            inner = _cameras(value)
            for name, entries in inner.items():
                cameras.setdefault(name or key, {}).update(entries)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                entries = _cameras(item).get("", {})
                name = entries.get("name")
                cameras.setdefault(name if isinstance(name, str) else str(index), {}).update(entries)
        else:
            role, name = _role(key)
            if role:
                cameras.setdefault(name, {})[role] = value
    return cameras


def _role(key: str) -> tuple[str | None, str]:
    """What a key stands for, and the camera's name at its end."""

    def role(text: str) -> str | None:
        return _ROLES.get(re.sub(r"[\s_-]", "", text).lower())

    if whole := role(key):
        return whole, ""
    match = _KEY.fullmatch(key)
    return (role(match[1]), match[2] or match[3] or "") if match else (None, "")


def _camera(path: Path, name: str, entries: Entries, alone: bool) -> CalibratedCamera:
    own = entries.get("name")
    name = name or (own if isinstance(own, str) and own else path.stem)
    where = f"{path.name}, camera “{name}”"

    def values(role: str, count: int | None) -> np.ndarray:
        label = f"{where}: {_NAMES[role][0]} ({role})" if role in ("K", "D", "R", "T", "RT") else f"{where}: {role}"
        return numbers(flat_numbers(entries[role], label), count, label)

    R, t = np.eye(3), np.zeros(3)
    if "RT" in entries:
        pose = values("RT", None)
        if pose.size not in (12, 16):
            raise CalibrationError(f"{where}: its extrinsic matrix is neither 3x4 nor 4x4.")
        R, t = pose[:12].reshape(3, 4)[:, :3], pose[:12].reshape(3, 4)[:, 3]
    elif "R" in entries and "T" in entries:
        turn = values("R", None)
        if turn.size not in (3, 9):
            raise CalibrationError(f"{where}: its rotation is neither a vector of 3 numbers nor a 3x3 matrix.")
        R, t = (rotation_from_vector(turn) if turn.size == 3 else turn.reshape(3, 3)), values("T", 3)
    elif not alone:
        raise CalibrationError(f"{where} has no pose: rotation (R) and translation (T), or an extrinsic matrix (RT).")
    size = None
    if "size" in entries:
        size = tuple(round(value) for value in values("size", 2))
    elif "width" in entries and "height" in entries:
        size = (round(values("width", 1)[0]), round(values("height", 1)[0]))
    return make_camera(
        name,
        where,
        K=values("K", 9).reshape(3, 3) + CENTRE_TO_CORNER,
        R=R,
        t=t,
        size=size,
        distortion=values("D", None) if "D" in entries else (),
    )
