# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives: shape keys whose drivers read the bones' rotations, as SMPL's posedirs want them.

Each belongs to one joint; its value is a mix of the nine entries of `R - 1`, with `R` the joint's rotation against its
parent in the body file's axes. In a bone's own axes that is another mix of the same nine entries, so that the shapes
are the same for each kind of rig and only the drivers differ.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Quaternion

from ..results import JOINT_NAMES, Correctives, smpl_correctives
from .rig_space import RigSpace
from .rigs import BONES, kind_of

CORRECTIVE_KEY = "pose_{}"
MIX = "refit_pose_mix"
"""On a mesh's data where its correctives are not SMPL's 207: joint and mix of each, ten numbers in a row."""
REACH = 3.0
"""A mix is of length one at most, and `R - 1` of 2√2."""


def note_mix(mesh: bpy.types.Object, correctives: Correctives) -> None:
    """Keep on a mesh what drives its correctives."""
    mesh.data[MIX] = np.column_stack([correctives.joints, correctives.mix]).astype(np.float64).ravel().tolist()


def drive_correctives(mesh: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Make the drivers of a mesh's correctives anew, for the bones of a rig."""
    frames = RigSpace.of(rig).frames
    names = BONES[kind_of(rig)]
    joints, mixes = _mixes(mesh)
    for key in corrective_keys(mesh):
        number = int(key.name.removeprefix(CORRECTIVE_KEY.format("")))
        key.slider_min, key.slider_max = -REACH, REACH
        key.driver_remove("value")
        curve = key.driver_add("value")
        curve.mute, driver = key.mute, curve.driver
        driver.type = "SCRIPTED"
        joint = joints[number]
        expression = _polynomial(_in_bone_axes(mixes[number], frames[joint]))
        for component in sorted(set(expression) & set("wxyz")):
            variable = driver.variables.new()
            variable.name = component
            variable.type = "TRANSFORMS"
            target = variable.targets[0]
            target.id = rig
            target.bone_target = names[joint]
            target.transform_space = "LOCAL_SPACE"
            target.rotation_mode = "QUATERNION"
            target.transform_type = f"ROT_{component.upper()}"
        driver.expression = expression


def _mixes(mesh: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Joint [K] and mix [K,9] of each corrective of a mesh."""
    kept = mesh.data.get(MIX)
    values = np.array(kept.to_list() if hasattr(kept, "to_list") else [], dtype=np.float64)
    if not len(values) or len(values) % 10:
        return smpl_correctives()
    rows = values.reshape(-1, 10)
    return np.clip(rows[:, 0], 1, len(JOINT_NAMES) - 1).astype(int), rows[:, 1:]


def _in_bone_axes(mix: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The mix [3,3] of a rotation in a bone's axes that equals the mix [9] in the body file's; frame [4]: from these to those."""
    axes = np.array(Quaternion(frame.tolist()).to_matrix(), dtype=np.float64)
    return axes.T @ mix.reshape(3, 3) @ axes


def _polynomial(mix: np.ndarray) -> str:
    """A mix [3,3] of `R - 1` in the components of R's unit quaternion; without functions, Blender evaluates it natively."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = 2 * mix
    shares = {
        "x*x": -yy - zz,
        "y*y": -xx - zz,
        "z*z": -xx - yy,
        "x*y": xy + yx,
        "x*z": xz + zx,
        "y*z": yz + zy,
        "w*x": zy - yz,
        "w*y": xz - zx,
        "w*z": yx - xy,
    }
    terms = [f"{share:+.6f}*{product}" for product, share in shares.items() if abs(share) > 5e-7]
    return "".join(terms).removeprefix("+") or "0"


def corrective_keys(mesh: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """The pose correctives of a body's mesh; empty where the body has none."""
    keys = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys else {}
    names = (CORRECTIVE_KEY.format(number) for number in range(len(_mixes(mesh)[0])))
    return [keys[name] for name in names if name in keys]


def correctives_enabled(mesh: bpy.types.Object) -> bool:
    return any(not key.mute for key in corrective_keys(mesh))


def enable_correctives(mesh: bpy.types.Object, enabled: bool) -> None:
    """Switch all pose correctives, and the work for their drivers, on or off."""
    for key in corrective_keys(mesh):
        key.mute = not enabled
    animation = mesh.data.shape_keys.animation_data
    for curve in animation.drivers if animation else ():
        curve.mute = not enabled
