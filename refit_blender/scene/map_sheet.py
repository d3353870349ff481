# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheet of keypoint maps as an image of the file: one, that the next sheet takes the place of."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..errors import EngineProtocolError
from . import images

NAME = "Keypoint Maps"
PROPERTY = "refit_keypoint_maps"  # on the sheet: the picture that it is about


def load_sheet(file: Path, picture: str) -> bpy.types.Image:
    """Take a sheet into the file, in the place of the one that was there. Raises EngineProtocolError, nothing changed."""
    if images.picture_size(file) is None:
        raise EngineProtocolError("The engine's sheet of keypoint maps is no picture.")
    former = sheet()
    image = bpy.data.images.load(str(file), check_existing=False)
    image.pack()
    image.filepath_raw = "//keypoint_maps.png"  # where Blender offers to save it: the engine's file goes
    image[PROPERTY] = picture
    if former is not None:
        former.user_remap(image)  # editors that show it show the new one
        bpy.data.images.remove(former)
    image.name = NAME
    return image


def sheet() -> bpy.types.Image | None:
    """The file's sheet."""
    return next((image for image in bpy.data.images if PROPERTY in image and image.library is None), None)
