# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes around people, kept with the scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
from bpy.props import IntProperty


class RefitBox(bpy.types.PropertyGroup):
    """A box in pixels of the picture from its top left corner."""

    left: IntProperty(name="Left", description="From the picture's left side, in pixels", min=0, default=0)
    top: IntProperty(name="Top", description="From the picture's top, in pixels", min=0, default=0)
    width: IntProperty(name="Width", description="In pixels of the picture", min=1, default=100)
    height: IntProperty(name="Height", description="In pixels of the picture", min=1, default=200)

    def numbers(self) -> list[int]:
        """Left, top, width and height."""
        return [self.left, self.top, self.width, self.height]


def set_boxes(settings: bpy.types.PropertyGroup, boxes: Iterable[Sequence[int]]) -> None:
    """Replace the boxes of the panel's settings by these (left, top, width, height); the last one is chosen."""
    settings.boxes.clear()
    for left, top, width, height in boxes:
        added = settings.boxes.add()
        added.left, added.top, added.width, added.height = left, top, width, height
    settings.box_index = max(0, len(settings.boxes) - 1)
