# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of one image on disk: `result.npz`, arrays and plain strings only, never a pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import __version__
from .camera import FocalSource
from .contract import IMAGE_RESULT, ResultFormat
from .errors import RefitError
from .files import write_npz
from .npz import NpzError, read_npz

ConfidenceKind = Literal["calibrated", "uncalibrated", "off"]
"""Whether standard deviations are what one can expect, too small and good for comparing joints only, or NaN."""

UpSource = Literal["camera", "sensor", "lines", "bodies", "lines and bodies", "level"]
"""Where the world's up comes from: the given camera, the accelerometer's note in the file, straight lines in the picture,
the bodies, both of the last two, or the assumption that the camera was held level."""


class ResultFileError(RefitError):
    """The file is no result of this engine."""


@dataclass(frozen=True)
class ImageResult:
    """The people of one image.

    Camera frame: X right, Y down, Z forward, metres. Pixels: origin at the corner of the first pixel.
    `vertices_cam = LBS(betas, rotmats) + transl`, the root turning about the pelvis joint.

    image: the picture that the pixels refer to; image_size: (width, height).
    K: [3,3]; focal_source: where the focal length comes from.
    boxes_xywh: [N,4] pixels; scores: [N] detector's score, NaN for a given box.
    betas: [N,10]; rotmats: [N,24,3,3], the first in the camera frame; transl: [N,3].
    joints_cam: [N,24,3]; joints2d: [N,24,2] pixels, NaN where behind the camera; vertices_cam: [N,V,3].
    joint_std_mm: [N,24] root mean square error to expect of each joint's position relative to the pelvis, in the camera's
    orientation, millimetres; joint_std_deg: [N,24] of each joint's rotation relative to its parent (of the pelvis:
    relative to the camera), degrees. confidence: what they are worth; NaN where it is "off".
    guessed: [N,24] joints that the picture does not show (outside of it, or behind something): their limbs are likely, not seen.
    up_cam: [3] unit vector, the world's up in the camera frame; up_source: where it comes from; up_std_deg: the angle that
    it may be off by (root mean square), degrees; up_sure: whether to take it as known rather than as a guess.
    camera_height: metres from the floor up to the camera's centre; the floor is `X @ up_cam = -camera_height`.
    on_floor: [N] whether a person touches the floor.
    body_file: the file that the body can be built from; weights_name; iterations: updates after the first estimate.
    """

    image: str
    image_size: np.ndarray
    K: np.ndarray
    focal_source: FocalSource
    boxes_xywh: np.ndarray
    scores: np.ndarray
    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints_cam: np.ndarray
    joints2d: np.ndarray
    vertices_cam: np.ndarray
    joint_std_mm: np.ndarray
    joint_std_deg: np.ndarray
    guessed: np.ndarray
    confidence: ConfidenceKind
    up_cam: np.ndarray
    up_source: UpSource
    up_std_deg: float
    up_sure: bool
    camera_height: float
    on_floor: np.ndarray
    joint_names: tuple[str, ...]
    body_name: str
    body_kind: str
    body_file: str
    weights_name: str
    iterations: int
    engine_version: str = __version__

    @property
    def people(self) -> int:
        return len(self.betas)


def write_result(path: Path, result: ImageResult) -> None:
    """Write a result; the file appears complete or not at all. Raises OSError, e.g. when the disk is full."""
    write_arrays(path, result, IMAGE_RESULT, exact=frozenset({"K", "up_cam"}))


def read_result(path: Path) -> ImageResult:
    """Read a result. Raises ResultFileError where the file is missing, damaged, or of another format."""
    values = read_arrays(path, IMAGE_RESULT)
    values["joint_names"] = texts(path, values, "joint_names")
    return ImageResult(**values)


def write_arrays(path: Path, record: Any, file: ResultFormat, exact: frozenset[str]) -> None:
    """Write a dataclass of arrays, strings and numbers; float64 becomes float32 but for the fields in `exact`."""
    arrays = {"format": np.array(file.name), "version": np.array(file.version)}
    for name in sorted(file.arrays):
        value = np.asarray(getattr(record, name))
        arrays[name] = value.astype(np.float32) if value.dtype == np.float64 and name not in exact else value
    write_npz(path, arrays)


def read_arrays(path: Path, file: ResultFormat) -> dict[str, Any]:
    """The arrays of a file, those without dimensions as plain values. Raises ResultFileError."""
    path = Path(path)
    names = {"format", "version", *file.arrays}
    try:
        arrays = read_npz(path, names)
    except NpzError as error:
        raise ResultFileError(f"{path.name} cannot be read as a ReFit result: {error}.") from error
    if missing := names - arrays.keys():
        raise ResultFileError(f"{path.name} cannot be read as a ReFit result: it has no {min(missing)}.")
    try:
        values = {name: array if array.ndim else array.item() for name, array in arrays.items()}
    except ValueError as error:  # text of impossible characters
        raise ResultFileError(f"{path.name} cannot be read as a ReFit result: it is damaged.") from error
    found = values.pop("format"), values.pop("version")
    if not isinstance(found[0], str) or not isinstance(found[1], int) or found != (file.name, file.version):
        raise ResultFileError(f"{path.name} is not a ReFit result of version {file.version}.")
    return values


def texts(path: Path, values: dict[str, Any], name: str) -> tuple[str, ...]:
    """A field's strings. Raises ResultFileError."""
    array = values[name]
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "U":
        raise ResultFileError(f"{Path(path).name} is damaged: {name} is no list of names.")
    return tuple(array.tolist())
