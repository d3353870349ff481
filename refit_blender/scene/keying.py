# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses and their keys: 24 bones' rotations and the root's place, in whatever way this Blender keeps actions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion, Vector

from ..errors import SourceError
from ..results import JOINT_NAMES

ROOT = JOINT_NAMES[0]


def pose_bones(rig: bpy.types.Object) -> list[bpy.types.PoseBone]:
    """The 24 bones in SMPL's order. Raises SourceError where one was renamed or deleted."""
    bones: list[bpy.types.PoseBone] = []
    for name in JOINT_NAMES:
        bone = rig.pose.bones.get(name)
        if bone is None:
            raise SourceError(f"Body “{rig.name}” has no bone “{name}”: it was renamed or deleted.")
        bones.append(bone)
    return bones


def set_pose(rig: bpy.types.Object, rotations: np.ndarray, pelvis: np.ndarray) -> None:
    """Pose a rig that stands anywhere.

    rotations [24,3,3]: the first to the world, the others relative to their parents; pelvis [3]: in the world, in the
    scene's units. Raises SourceError.
    """
    bones = pose_bones(rig)
    axes = rig.matrix_world.to_quaternion().to_matrix()
    root = (axes.transposed() @ Matrix(rotations[0].tolist())).to_4x4()
    root.translation = rig.matrix_world.inverted() @ Vector(pelvis.tolist())
    _set_basis(bones[0], bones[0].bone.matrix_local.inverted() @ root)
    for bone, rotation in zip(bones[1:], rotations[1:], strict=True):
        # A rotation may be a matrix [3,3], too, which the stubs do not know.
        turn = Matrix(rotation.tolist())
        _set_basis(bone, Matrix.LocRotScale(bone.location, turn, bone.scale))  # pyright: ignore[reportArgumentType]


def pelvis_of(rig: bpy.types.Object) -> np.ndarray:
    """The pelvis [3] in the world as the rig is posed now, in the scene's units. Raises SourceError."""
    return np.array(rig.matrix_world @ pose_bones(rig)[0].head)


def key_pose(rig: bpy.types.Object, frame: int) -> None:
    """Key the pose that the rig is in."""
    bones = pose_bones(rig)
    bones[0].keyframe_insert("location", frame=frame, group=ROOT)
    for bone in bones:
        bone.keyframe_insert(_rotation_property(bone), frame=frame, group=bone.name)


@contextlib.contextmanager
def at_frame(scene: bpy.types.Scene, frame: int) -> Generator[None, None, None]:
    """Be at a frame for a while: the user may have gone to another one."""
    current = scene.frame_current
    if current != frame:
        scene.frame_set(frame)
    try:
        yield
    finally:
        if current != frame:
            scene.frame_set(current)


def curves_of(owner: bpy.types.ID) -> list[bpy.types.FCurve]:
    """The f-curves that animate an object or another data block."""
    animation = owner.animation_data
    action = animation.action if animation else None
    if action is None:
        return []
    if not hasattr(animation, "action_slot"):  # before 4.4
        return list(action.fcurves)
    if animation.action_slot is None:
        return []
    bags = (strip.channelbag(animation.action_slot) for layer in action.layers for strip in layer.strips)
    return [curve for bag in bags if bag for curve in bag.fcurves]


def move_root(rig: bpy.types.Object, change: Matrix) -> None:
    """Move the root bone by `change` (4x4, in the rig's space) in the present pose and in every key that it has."""
    bone = pose_bones(rig)[0]
    rest = bone.bone.matrix_local
    change = rest.inverted() @ change @ rest
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}
    turn = change.to_quaternion()
    _map_keys(curves, bone, "location", lambda values, _near: (change @ Vector(values))[:])
    mode = bone.rotation_mode

    def turned(values: list[float], near: list[float] | None) -> list[float]:
        return _from_quaternion(turn @ _to_quaternion(values, mode), mode, near)

    _map_keys(curves, bone, _rotation_property(bone), turned)
    _set_basis(bone, change @ bone.matrix_basis)


def _map_keys(
    curves: dict[tuple[str, int], bpy.types.FCurve],
    bone: bpy.types.PoseBone,
    name: str,
    mapping: Callable[[list[float], list[float] | None], Iterable[float]],
) -> None:
    """Replace the values of a bone's property at all of its keys; `mapping` gets all of them and the last result."""
    path = bone.path_from_id(name)
    static = list(getattr(bone, name))
    own = {index: curves[path, index] for index in range(len(static)) if (path, index) in curves}
    frames = sorted({key.co.x for curve in own.values() for key in curve.keyframe_points})
    before = [
        [own[index].evaluate(frame) if index in own else value for index, value in enumerate(static)]
        for frame in frames
    ]
    near = None
    for frame, values in zip(frames, before, strict=True):
        near = list(mapping(values, near))
        for index, curve in own.items():
            curve.keyframe_points.insert(frame, near[index], options={"FAST"})
    for curve in own.values():
        curve.update()


def _set_basis(bone: bpy.types.PoseBone, basis: Matrix) -> None:
    """Set location and rotation, by the shorter way from the present one; the scale stays."""
    bone.location = basis.to_translation()
    name = _rotation_property(bone)
    setattr(bone, name, _from_quaternion(basis.to_quaternion(), bone.rotation_mode, list(getattr(bone, name))))


def _rotation_property(bone: bpy.types.PoseBone) -> str:
    names = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    return names.get(bone.rotation_mode, "rotation_euler")


def _to_quaternion(values: list[float], mode: str) -> Quaternion:
    if mode == "QUATERNION":
        return Quaternion(values).normalized()
    if mode == "AXIS_ANGLE":
        return Quaternion(values[1:], values[0])
    return Euler(values, mode).to_quaternion()


def _from_quaternion(rotation: Quaternion, mode: str, near: list[float] | None) -> list[float]:
    if mode == "QUATERNION":
        if near and rotation.dot(Quaternion(near)) < 0:
            rotation = -rotation  # pyright: ignore[reportOperatorIssue]  # the stubs forget that this is there
        return list(rotation[:])
    if mode == "AXIS_ANGLE":
        axis, angle = rotation.to_axis_angle()
        return [angle, *axis]
    euler = rotation.to_euler(mode, Euler(near, mode)) if near else rotation.to_euler(mode)
    return list(euler[:])
