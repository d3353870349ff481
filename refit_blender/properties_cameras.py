# SPDX-License-Identifier: GPL-3.0-or-later
"""What is set for each camera, kept with its data."""

from __future__ import annotations

import bpy
from bpy.props import FloatProperty


class RefitCamera(bpy.types.PropertyGroup):
    """On `bpy.types.Camera`."""

    delay: FloatProperty(
        name="Delay",
        description="Seconds by which this camera took its pictures later than the scene shows them; negative: earlier."
        " Parts of a frame count. Only Fit Motion from Cameras uses it",
        default=0.0,
        soft_min=-1.0,
        soft_max=1.0,
        step=1,
        precision=4,
        unit="TIME_ABSOLUTE",
    )
