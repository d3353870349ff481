# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives: shape keys whose drivers read the bones' rotations, as SMPL's posedirs want them."""

from __future__ import annotations

import re

import bpy
import numpy as np
from mathutils import Quaternion

from .rig_space import RigSpace
from .rigs import BONES, kind_of

CORRECTIVE_KEY = "pose_{}"
# R - 1 in the components of a unit quaternion (w, x, y, z); without functions, Blender evaluates these natively.
_ROTATION_MINUS_ONE = (
    ("-2*(y*y+z*z)", "2*(x*y-w*z)", "2*(x*z+w*y)"),
    ("2*(x*y+w*z)", "-2*(x*x+z*z)", "2*(y*z-w*x)"),
    ("2*(x*z-w*y)", "2*(y*z+w*x)", "-2*(x*x+y*y)"),
)


def drive_correctives(mesh: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Drive each entry of `R - 1` of the 23 joints below the root, as SMPL's posedirs have them, anew."""
    frames = RigSpace.of(rig).frames
    names = BONES[kind_of(rig)]
    for key in corrective_keys(mesh):
        joint, entry = divmod(int(key.name.removeprefix(CORRECTIVE_KEY.format(""))), 9)
        key.slider_min, key.slider_max = -2.0, 2.0
        key.driver_remove("value")
        curve = key.driver_add("value")
        curve.mute, driver = key.mute, curve.driver
        driver.type = "SCRIPTED"
        expression = _in_bone_axes(_ROTATION_MINUS_ONE[entry // 3][entry % 3], frames[joint + 1])
        for component in sorted(set(expression) & set("wxyz")):
            variable = driver.variables.new()
            variable.name = component
            variable.type = "TRANSFORMS"
            target = variable.targets[0]
            target.id = rig
            target.bone_target = names[joint + 1]
            target.transform_space = "LOCAL_SPACE"
            target.rotation_mode = "QUATERNION"
            target.transform_type = f"ROT_{component.upper()}"
        driver.expression = expression


def _in_bone_axes(expression: str, frame: np.ndarray) -> str:
    """An expression of a rotation in the body file's axes, by the one in a bone's axes; frame [4]: from these to those."""
    terms = {"w": "w"}
    for axis, row in zip("xyz", np.array(Quaternion(frame.tolist()).to_matrix()), strict=True):
        parts = [f"{share:+.6f}*{own}" for share, own in zip(row, "xyz", strict=True) if abs(share) > 5e-7]
        alone = len(parts) == 1 and parts[0].startswith("+1.000000*")
        terms[axis] = parts[0][-1] if alone else f"({''.join(parts).removeprefix('+')})"
    return re.sub("[wxyz]", lambda found: terms[found[0]], expression)


def corrective_keys(mesh: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """The pose correctives of a body's mesh; empty where the body has none."""
    prefix = CORRECTIVE_KEY.format("")
    keys = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys else ()
    return [key for key in keys if key.name.startswith(prefix) and key.name.removeprefix(prefix).isdecimal()]


def correctives_enabled(mesh: bpy.types.Object) -> bool:
    return any(not key.mute for key in corrective_keys(mesh))


def enable_correctives(mesh: bpy.types.Object, enabled: bool) -> None:
    """Switch all pose correctives, and the work for their drivers, on or off."""
    for key in corrective_keys(mesh):
        key.mute = not enabled
    animation = mesh.data.shape_keys.animation_data
    for curve in animation.drivers if animation else ():
        curve.mute = not enabled
