# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration files of other programs, read with numpy and the standard library only; nothing here knows Blender."""

from .model import CalibratedCamera, Calibration
from .pictures import Picture, find_pictures
from .reading import read_calibration
from .world import AXES, UNITS, World, world_of

__all__ = [
    "AXES",
    "UNITS",
    "CalibratedCamera",
    "Calibration",
    "Picture",
    "World",
    "find_pictures",
    "read_calibration",
    "world_of",
]
