# SPDX-License-Identifier: GPL-3.0-or-later
"""The world's up as a phone or a drone has noted it in its photo.

Frame: the OpenCV camera of the stored pixels (X right, Y down, Z forward).
"""

from __future__ import annotations

import math
import re
import struct

import numpy as np

from .exif import Exif
from .formats import Turn
from .formats.tiff import read_directory

_APPLE = b"Apple iOS\0"
_APPLE_ORDER, _APPLE_DIRECTORY, _APPLE_ACCELERATION = 12, 14, 8
# In g. A phone that was moved while the picture was taken felt more, or less, than gravity.
_PLAUSIBLE_G = (0.9, 1.1)
# Of gravity's part in the picture's plane: below it the picture looks up or down, and no turn is the upright one.
_CLEAR_TURN = 0.5
_GIMBAL = re.compile(
    rb"drone-dji:Gimbal(Pitch|Roll)Degree\s{0,9}(?:=\s{0,9}[\"']|>)\s{0,9}([+-]?\d{1,3}(?:\.\d{0,9})?)"
)
_MAX_ROLL = 45.0  # degrees: a gimbal that takes portraits may count its roll from there


def turned_up(up: np.ndarray, turn: Turn) -> np.ndarray:
    """A direction [3] in the camera of the turned picture."""
    x, y, z = up
    for _ in range(turn.quarters):
        x, y = -y, x
    return np.array([-x if turn.mirrored else x, y, z])


def noted_up(exif: Exif, xmp: bytes, size: tuple[int, int], turn: Turn) -> np.ndarray | None:
    """The world's up, a unit vector [3], or None where the file does not say.

    size: (width, height) of the stored pixels; turn: what makes them upright.
    """
    try:
        up = _apple_up(exif)
        if up is not None:
            return turned_up(up, _made_turn(up, size)) if turn == Turn() else up
    except struct.error:
        return None
    return _gimbal_up(xmp) if turn == Turn() and size[0] >= size[1] else None


def _apple_up(exif: Exif) -> np.ndarray | None:
    """From the accelerometer of an iPhone's rear camera, for pixels as the sensor gives them (landscape).

    Layout: `Apple iOS`, a version, the byte order, and a TIFF directory whose offsets count from the note's start; tag
    8 has gravity in g along the phone's right, its top, and out of its screen. The front camera's pictures may be
    mirrored, which no tag says: they are left out.
    """
    note = exif.maker_note
    order = {b"II": "<", b"MM": ">"}.get(note[_APPLE_ORDER : _APPLE_ORDER + 2])
    if not note.startswith(_APPLE) or order is None or "front" in exif.lens.lower():
        return None
    values = read_directory(note, order, _APPLE_DIRECTORY).numbers(_APPLE_ACCELERATION)
    if len(values) != 3:
        return None
    ax, ay, az = values
    length = math.hypot(ax, ay, az)
    if not _PLAUSIBLE_G[0] < length < _PLAUSIBLE_G[1]:
        return None
    return np.array([ay, ax, az]) / length


def _made_turn(up: np.ndarray, size: tuple[int, int]) -> Turn:
    """The turn that a program had made where it says that none is needed: the one after which up is up in the picture.

    up: for pixels as the sensor gave them. Where gravity does not tell, a standing picture was turned once.
    """
    if math.hypot(up[0], up[1]) < _CLEAR_TURN:
        return Turn(1 if size[1] > size[0] else 0)
    return min((Turn(quarters) for quarters in range(4)), key=lambda turn: turned_up(up, turn)[1])


def _gimbal_up(xmp: bytes) -> np.ndarray | None:
    """From pitch and roll of a DJI drone's gimbal, which DJI writes into XMP in degrees; level is 0, 0."""
    angles = {name: float(value) for name, value in _GIMBAL.findall(xmp)}
    if b"Pitch" not in angles:
        return None
    pitch, roll = angles[b"Pitch"], angles.get(b"Roll", 0.0)
    if abs(pitch) > 90 or abs(roll) > _MAX_ROLL:
        return None
    pitch, roll = math.radians(pitch), math.radians(roll)
    return np.array([-math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), math.sin(pitch)])
