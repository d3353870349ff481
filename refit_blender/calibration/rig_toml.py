# SPDX-License-Identifier: GPL-3.0-or-later
"""The TOML files of Pose2Sim, Anipose and FreeMoCap: one table a camera, written by the same rules.

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
world_position and world_orientation, which say the same again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import CalibrationError
from .model import CENTRE_TO_CORNER, CalibratedCamera, Calibration, make_camera, numbers, rotation_from_vector

_OTHER_TABLES = {"metadata"}


def read_rig_toml(path: Path, text: str) -> Calibration:
    """Raises CalibrationError, naming the file and the line or the key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CalibrationError(f"{path.name} is no proper TOML: {error}.") from None
    metadata = tables.get("metadata", {})
    cameras = [
        _camera(path, key, table)
        for key, table in tables.items()
        if key not in _OTHER_TABLES and isinstance(table, dict)
    ]
    if not cameras:
        raise CalibrationError(f"{path.name} has no camera: no table with a matrix, a rotation and a translation.")
    freemocap = isinstance(metadata, dict) and any(key.startswith(("charuco", "groundplane")) for key in metadata)
    return Calibration("FreeMoCap" if freemocap else "Pose2Sim or Anipose", tuple(cameras))


def _camera(path: Path, key: str, table: dict[str, Any]) -> CalibratedCamera:
    where = f"{path.name}, [{key}]"

    def values(name: str, count: int | None):
        if name not in table:
            raise CalibrationError(f"{where} has no “{name}”.")
        return numbers(table[name], count, f"{where} {name}")

    if table.get("fisheye"):
        raise CalibrationError(f"{where}: fisheye lenses are not supported.")
    width, height = values("size", 2)
    return make_camera(
        str(table.get("name", key)),
        where,
        K=values("matrix", 9).reshape(3, 3) + CENTRE_TO_CORNER,
        R=rotation_from_vector(values("rotation", 3)),
        t=values("translation", 3),
        size=(round(width), round(height)),
        distortion=values("distortions", None) if "distortions" in table else (),
    )
