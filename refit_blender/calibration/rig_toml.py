# SPDX-License-Identifier: GPL-3.0-or-later
"""The TOML files of Pose2Sim, Anipose, FreeMoCap and Caliscope: one table a camera, written by the same rules.

    [cam_01]
    name = "cam_01"
    size = [1920, 1080]
    matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    distortions = [k1, k2, p1, p2]            k3 where Anipose wrote it
    rotation = [x, y, z]                      rotation vector, world to camera
    translation = [x, y, z]                   metres in Pose2Sim, the board's unit (millimetres) elsewhere
    fisheye = false
    [metadata] ...

Sources: Pose2Sim's `calibration.py` (toml_write); aniposelib's `cameras.py` (Camera.get_dict); FreeMoCap adds
world_position and world_orientation, which say the same again; Caliscope's `camera_array.toml` has the tables one level
deeper, as [cameras.0], and other tables beside them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from .tree import is_true

_GROUPS = ("cameras", "camera")
_CAMERAS_KEYS = {"matrix", "rotation", "translation", "distortions", "size"}
_MAX_CHARACTERS = 1_000_000
# The library's time grows with the square of a dotted key's parts.
_MANY_PARTS = re.compile(r"(?<![\w-])[\w-]+(?:\s*\.\s*[\w-]+){20}")


def read_rig_toml(path: Path, text: str) -> Calibration:
    """Raises CalibrationError, naming the file and the line or the key."""
    if len(text) > _MAX_CHARACTERS:
        raise CalibrationError(f"{path.name} is too large for a calibration file.")
    if _MANY_PARTS.search(text):
        raise CalibrationError(f"{path.name} has keys of more than 20 parts, which no calibration needs.")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CalibrationError(f"{path.name} is no proper TOML: {shown(str(error), 100)}.") from None
    except ValueError:
        raise CalibrationError(f"{path.name} holds a number with too many digits.") from None
    except RecursionError:
        raise CalibrationError(f"{path.name} is nested too deeply.") from None
    cameras = [_camera(path, key, table) for key, table in _tables(content)]
    if not cameras:
        raise CalibrationError(f"{path.name} has no camera: no table with a matrix, a rotation and a translation.")
    return Calibration(_program(content), tuple(cameras))


def _program(content: dict[str, Any]) -> str:
    metadata = content.get("metadata")
    if isinstance(metadata, dict) and any(key.startswith(("charuco", "groundplane")) for key in metadata):
        return "FreeMoCap"
    return "Caliscope" if any(isinstance(content.get(group), dict) for group in _GROUPS) else "Pose2Sim or Anipose"


def _tables(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, table) of each camera, those of [cameras.NAME] too."""
    for key, table in content.items():
        if not isinstance(table, dict):
            continue
        if _CAMERAS_KEYS & table.keys():
            yield key, table
        elif key in _GROUPS:
            yield from _tables(table)


def _camera(path: Path, key: str, table: dict[str, Any]) -> CalibratedCamera:
    where = f"{path.name}, [{shown(key)}]"

    def values(name: str, count: int | None) -> np.ndarray:
        if name not in table:
            raise CalibrationError(f"{where} has no “{name}”.")
        return numbers(table[name], count, f"{where} {name}")

    if is_true(table.get("fisheye", False)):
        raise CalibrationError(f"{where}: fisheye lenses are not supported.")
    for word in ("model", "distortion_model", "camera_model"):
        check_lens(str(table.get(word, "")), where, must_be_known=word == "distortion_model")
    size = values("size", 2)
    K = values("matrix", 9).reshape(3, 3)
    return make_camera(
        str(table.get("name", key)),
        where,
        K=K + CENTRE_TO_CORNER,
        R=rotation_from_vector(values("rotation", 3)),
        t=values("translation", 3),
        size=size_of_list(size, K),
        distortion=values("distortions", None) if "distortions" in table else (),
    )
