# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrations in the words of OpenCV and its descendants, whether written as YAML, JSON or XML.

One camera: camera_matrix, distortion_coefficients, image_width, image_height, and a pose as R or rvec and T or tvec (or
the two in one matrix). A pair: M1, D1, M2, D2, and R, T from the first to the second camera (`stereo_calib.cpp`), which
may be in two files, intrinsics.yml and extrinsics.yml. More: the same names with the camera's at the end (K_left,
rvec_1), or a mapping for each camera. ROS and Kalibr add the lens's model; Kalibr chains poses (T_cn_cnm1, from the
camera before). X_camera = R X_world + T, in the unit of the calibration board. Only pinholes are read.
Sources: OpenCV's `samples/cpp/calibration.cpp` and `stereo_calib.cpp`; ROS' `sensor_msgs/CameraInfo`; Kalibr's wiki
page "YAML formats".
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .files import shown
from .model import (
    CENTRE_TO_CORNER,
    CalibratedCamera,
    Calibration,
    check_lens,
    make_camera,
    numbers,
    rotation_from_vector,
    size_of_list,
)
from .tree import Value, flat_numbers, is_matrix, is_true, number

# Of keys with lists or matrices.
_ARRAYS = {
    "K": ("cameramatrix", "intrinsicmatrix", "intrinsics", "intrinsic", "mtx", "k", "m"),
    "D": (
        *("distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoeff", "distcoef", "coeffs"),
        *("distortions", "distortion", "dist", "d"),
    ),
    "R": ("rotationmatrix", "rotationvector", "rotation", "rvec", "rmat", "rot", "r"),
    "T": ("translationvector", "translation", "tvec", "t"),
    "RT": ("extrinsicmatrix", "extrinsics", "extrinsic", "rt"),
    "chain": ("tcncnm1",),
    "size": ("imagesize", "resolution", "size"),
    "shape": ("imageshape", "imgshape", "shape"),
}
# Of keys with one number or word.
_SCALARS = {
    "width": ("imagewidth", "width", "w"),
    "height": ("imageheight", "height", "h"),
    "name": ("cameraname", "name"),
    "fisheye": ("fisheyemodel", "fisheye", "isfisheye"),
    "xi": ("xi",),
    "lens": ("distortionmodel", "distortiontype", "lensmodel", "lenstype"),
    "model": ("cameramodel", "cameratype", "modeltype", "projectionmodel", "projectiontype", "model", "type"),
    "fx": ("fx", "flx"),
    "fy": ("fy", "fly"),
    "cx": ("cx", "ppx"),
    "cy": ("cy", "ppy"),
    **{name: (name,) for name in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")},
}
_ROLES = {
    array: {name: role for role, names in table.items() for name in names}
    for array, table in ((True, _ARRAYS), (False, _SCALARS))
}
_COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
# Mappings that group what is said of one camera, and are none themselves.
_GROUPS = frozenset(
    "intrinsics intrinsic extrinsics extrinsic pose calibration camera parameters params lens distortion"
    " projectionparameters distortionparameters stereo".split()
)
# What holds for all cameras of a file where it is said once.
_COMMON = ("width", "height", "size", "shape", "fisheye", "xi", "lens", "model")
_SUFFIX = re.compile(r"(.+?)(?:[_-]?(\d+|left|right)|[_-]([^_-]+))?", re.IGNORECASE)

Entries = dict[str, Value]


def is_opencv(tree: dict[str, Value]) -> bool:
    """Whether there is a camera matrix or a pose in it."""
    return has_intrinsics(tree) or has_poses(tree)


def has_poses(tree: dict[str, Value]) -> bool:
    """Whether any camera's pose is in it."""
    return any("RT" in entries or {"R", "T"} <= entries.keys() for entries in said_of_cameras(tree).values())


def has_intrinsics(tree: dict[str, Value]) -> bool:
    """Whether any camera's matrix is in it."""
    return any(map(_has_matrix, said_of_cameras(tree).values()))


def read_opencv(path: Path, tree: dict[str, Value]) -> Calibration:
    """Raises CalibrationError, naming the camera and the key."""
    found = said_of_cameras(tree)
    shared = found.pop("", {})
    # A matrix without a camera's name is the only camera's: camera_matrix_std and the like are no cameras.
    cameras = {"": shared} if _has_matrix(shared) else {name: one for name, one in found.items() if _has_matrix(one)}
    if not cameras:
        raise CalibrationError(f"{path.name} has no camera matrix.")
    if len(cameras) == 2 and {"R", "T"} <= shared.keys():
        # A pair. What it has as R1 and R2 rectifies pictures and is no pose.
        first, second = cameras.values()
        first |= {"R": ["0", "0", "0"], "T": ["0", "0", "0"]}
        second |= {"R": shared["R"], "T": shared["T"]}
    _follow_chain(path, cameras)
    common = {role: shared[role] for role in _COMMON if role in shared}
    alone = len(cameras) == 1
    return Calibration("OpenCV", tuple(_camera(path, name, common | one, alone) for name, one in cameras.items()))


def _has_matrix(entries: Entries) -> bool:
    return "K" in entries or {"fx", "cx", "cy"} <= entries.keys()


def said_of_cameras(tree: dict[str, Value]) -> dict[str, Entries]:
    """What is said of each camera, by role; under "" what no camera's name is attached to."""
    cameras: dict[str, Entries] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and not is_matrix(value):
            own = "" if _plain(key) in _GROUPS else key
            for name, entries in said_of_cameras(value).items():
                cameras.setdefault(name or own, {}).update(entries)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(item for item in value if isinstance(item, dict)):
                entries = said_of_cameras(item).get("", {})
                name = entries.get("name")
                cameras.setdefault(name if isinstance(name, str) else str(index), {}).update(entries)
        else:
            role, name = _role(key, array=isinstance(value, (list, dict)))
            if role:
                cameras.setdefault(name, {})[role] = value
    return cameras


def _plain(key: str) -> str:
    return re.sub(r"[\s_-]", "", key).lower()


def _role(key: str, *, array: bool) -> tuple[str | None, str]:
    """What a key stands for, and the camera's name at its end (K_left), or before a dot (Camera1.fx)."""
    roles = _ROLES[array]
    if len(key) > 100:
        return None, ""
    if whole := roles.get(_plain(key)):
        return whole, ""
    name, dot, rest = key.rpartition(".")
    if dot:
        return roles.get(_plain(rest)), name
    match = _SUFFIX.fullmatch(key)
    return (roles.get(_plain(match[1])), match[2] or match[3] or "") if match else (None, "")


def _follow_chain(path: Path, cameras: dict[str, Entries]) -> None:
    """Give Kalibr's cameras their poses in the first one's frame."""
    if not any("chain" in entries for entries in cameras.values()):
        return
    pose = np.eye(4)
    for name, entries in cameras.items():
        if "chain" in entries:
            label = f"{path.name}, camera “{shown(name)}”: T_cn_cnm1"
            pose = numbers(flat_numbers(entries["chain"], label), 16, label).reshape(4, 4) @ pose
        entries["RT"] = [[str(value) for value in row] for row in pose.tolist()]


def _camera(path: Path, name: str, entries: Entries, alone: bool) -> CalibratedCamera:
    own = entries.get("name")
    name = name or (own if isinstance(own, str) and own else path.stem)
    where = f"{path.name}, camera “{shown(name)}”"
    K, size, distortion = read_lens(entries, where)
    R, t = _pose(entries, where, alone)
    return make_camera(name, where, K=K + CENTRE_TO_CORNER, R=R, t=t, size=size, distortion=distortion)


def read_lens(entries: Entries, where: str) -> tuple[np.ndarray, tuple[int, int] | None, np.ndarray]:
    """K [3,3] as it is written, (width, height) or None, and the distortion. Raises CalibrationError."""
    _check_model(entries, where)
    K = _matrix(entries, where)
    return K, _size(entries, where, K), _distortion(entries, where)


def _values(entries: Entries, role: str, count: int | None, where: str) -> np.ndarray:
    label = f"{where}: {_ARRAYS[role][0]} ({role})" if role in ("K", "D", "R", "T", "RT") else f"{where}: {role}"
    return numbers(flat_numbers(entries[role], label), count, label)


def _check_model(entries: Entries, where: str) -> None:
    """Raises CalibrationError for lenses that are no pinholes."""
    if is_true(entries.get("fisheye", "0")):
        raise CalibrationError(f"{where}: fisheye lenses are not supported.")
    if number(entries.get("xi")):
        raise CalibrationError(f"{where}: omnidirectional lenses are not supported (it has a mirror parameter xi).")
    for role in ("lens", "model"):
        check_lens(str(entries.get(role, "")), where, must_be_known=role == "lens")


def _matrix(entries: Entries, where: str) -> np.ndarray:
    """K [3,3], pixels from the centre of the first one."""
    if "K" in entries:
        values = _values(entries, "K", None, where)
        if values.size == 9:
            return values.reshape(3, 3)
        if values.size != 4:
            raise CalibrationError(f"{where}: its camera matrix must hold 9 numbers, or fx, fy, cx, cy.")
        fx, fy, cx, cy = values
    else:
        if not _has_matrix(entries):
            raise CalibrationError(f"{where} has no focal length and principal point.")
        fx, cx, cy = (_values(entries, role, 1, where)[0] for role in ("fx", "cx", "cy"))
        fy = _values(entries, "fy", 1, where)[0] if "fy" in entries else fx
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _distortion(entries: Entries, where: str) -> np.ndarray:
    """OpenCV's coefficients, as a list or one by one."""
    if "D" in entries:
        return _values(entries, "D", None, where)
    return np.array([_values(entries, role, 1, where)[0] if role in entries else 0.0 for role in _COEFFICIENTS])


def _pose(entries: Entries, where: str, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """R [3,3], t [3], world to camera; a camera alone needs none."""
    if "RT" in entries:
        pose = _values(entries, "RT", None, where)
        if pose.size not in (12, 16):
            raise CalibrationError(f"{where}: its extrinsic matrix is neither 3x4 nor 4x4.")
        pose = pose[:12].reshape(3, 4)
        return pose[:, :3], pose[:, 3]
    if "R" in entries and "T" in entries:
        turn = _values(entries, "R", None, where)
        if turn.size not in (3, 9):
            raise CalibrationError(f"{where}: its rotation is neither a vector of 3 numbers nor a 3x3 matrix.")
        R = rotation_from_vector(turn) if turn.size == 3 else turn.reshape(3, 3)
        return R, _values(entries, "T", 3, where)
    if not alone:
        raise CalibrationError(f"{where} has no pose: rotation (R) and translation (T), or an extrinsic matrix (RT).")
    return np.eye(3), np.zeros(3)


def _size(entries: Entries, where: str, K: np.ndarray) -> tuple[int, int] | None:
    """(width, height); None where it is not said, or as 0 or -1."""
    size = None
    if "width" in entries and "height" in entries:
        width, height = (round(_values(entries, role, 1, where)[0]) for role in ("width", "height"))
        size = (width, height)
    elif "size" in entries:
        size = size_of_list(_values(entries, "size", 2, where), K)
    elif "shape" in entries:
        shape = _values(entries, "shape", None, where)
        size = (round(shape[1]), round(shape[0])) if shape.size >= 2 else None
    return size if size and min(size) > 0 else None
