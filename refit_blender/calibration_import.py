# SPDX-License-Identifier: GPL-3.0-or-later
"""A calibration file becomes cameras in the scene: one code path for the operator, scripts and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import bpy

from .calibration import find_pictures, read_calibration, world_of
from .calibration.world import Axis
from .errors import CalibrationError
from .scene.calibrated import CameraRig, build_camera_rig
from .scene.ownership import check_own_scene

_SHORTEST_UNIT, _LONGEST_UNIT = 1e-9, 1e6  # metres
_NO_SCALE = (
    "The file's world has no scale, but bodies are fitted in metres: measure something known, or see what factor "
    "Fit from Cameras names, and import the file again with the length of its unit (Unit: Other)."
)


def import_rig(
    context: bpy.types.Context,
    files: Sequence[Path],
    *,
    pictures: Path | None = None,
    up: Axis | None = None,
    metres: float | None = None,
) -> CameraRig:
    """Make the cameras of a calibration file, or of several with a camera each.

    pictures: folder of the pictures or videos (default: near the file). up: which axis of the file's world points up;
    metres: how long its unit is; both are guessed by default. Raises CalibrationError, or SourceError
    in a scene of another file; the scene is as before then.
    """
    check_own_scene(context.scene)
    if pictures is not None and not pictures.is_dir():
        raise CalibrationError(f"There is no folder {pictures}.")
    if metres is not None and not _SHORTEST_UNIT < metres < _LONGEST_UNIT:
        raise CalibrationError(f"A unit of {metres:g} metres is no length that a file can be measured in.")
    files = [path.absolute() for path in files]
    calibration = read_calibration(files)
    if metres is None and not calibration.metric:
        calibration = replace(calibration, remarks=(*calibration.remarks, _NO_SCALE))
    found = find_pictures(calibration.cameras, files[0], pictures)
    return build_camera_rig(context, files[0], calibration, world_of(calibration, up, metres), found)
