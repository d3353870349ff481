# SPDX-License-Identifier: GPL-3.0-or-later
"""EasyMocap's pair of files, intri.yml and extri.yml: X_camera = R X_world + T, metres.

Both list the cameras as `names`. For each NAME the first has K_NAME, dist_NAME (D_NAME in some) and perhaps H_NAME and
W_NAME; the second R_NAME (rotation vector), Rot_NAME (matrix) and T_NAME.
Source: EasyMocap's `camera_utils.py` (write_camera) and its `data/examples/calibration`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import CalibrationError
from .files import shown
from .model import CENTRE_TO_CORNER, CalibratedCamera, Calibration, make_camera, numbers, rotation_from_vector
from .tree import Value, flat_numbers


def is_easymocap(tree: dict[str, Value]) -> bool:
    """Whether the mapping is one of the two files."""
    names = tree.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    return any(f"{key}_{name}" in tree for name in names for key in ("K", "T"))


def read_easymocap(path: Path, tree: dict[str, Value]) -> Calibration:
    """The cameras of both files in one mapping; `path` names them. Raises CalibrationError, naming the key."""
    return Calibration("EasyMocap", tuple(_camera(path, str(name), tree) for name in tree["names"]))


def _camera(path: Path, name: str, tree: dict[str, Value]) -> CalibratedCamera:
    where = f"{path.name}, camera “{shown(name)}”"

    def values(*keys: str, count: int | None) -> np.ndarray | None:
        for key in keys:
            if (value := tree.get(f"{key}_{name}")) not in (None, ""):
                return numbers(flat_numbers(value, f"{where}: {key}_{name}"), count, f"{where}: {key}_{name}")
        return None

    def needed(*keys: str, count: int) -> np.ndarray:
        found = values(*keys, count=count)
        if found is None:
            raise CalibrationError(f"{where} has no {' or '.join(f'{key}_{name}' for key in keys)}.")
        return found

    matrix = values("Rot", count=9)
    sides = [values("W", count=1), values("H", count=1)]
    # EasyMocap writes 0, or -1, for what it does not know.
    known = [round(side[0]) for side in sides if side is not None and side[0] > 0]
    distortion = values("dist", "D", count=None)
    return make_camera(
        name,
        where,
        K=needed("K", count=9).reshape(3, 3) + CENTRE_TO_CORNER,
        R=rotation_from_vector(needed("R", "Rot", count=3)) if matrix is None else matrix.reshape(3, 3),
        t=needed("T", count=3),
        size=(known[0], known[1]) if len(known) == 2 else None,
        distortion=() if distortion is None else distortion,
    )
