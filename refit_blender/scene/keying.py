# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses and their keys: 24 bones' rotations and the body's place, in whatever way this Blender keeps actions."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from ..motion_keys import continuous, quaternions_of
from ..quaternions import product
from .rig_space import Base, RigSpace
from .rigs import axes_of, bone_names, kind_of, root_bone, root_follows


def pose_bones(rig: bpy.types.Object) -> list[bpy.types.PoseBone]:
    """The 24 bones in SMPL's order of joints. Raises SourceError where one was renamed or deleted."""
    return [rig.pose.bones[name] for name in bone_names(rig)]


def set_pose(rig: bpy.types.Object, rotations: np.ndarray, pelvis: np.ndarray) -> None:
    """Pose a rig that stands anywhere.

    rotations [24,3,3]: the first to the world, the others relative to their parents, in the body file's axes; pelvis
    [3]: in the world, in the scene's units. Raises SourceError.
    """
    bones, space = pose_bones(rig), RigSpace.of(rig)
    channels = space.channels(quaternions_of(rotations)[None], pelvis[None], follows=root_follows(rig))
    for bone, rotation in zip(bones, channels.rotations[0], strict=True):
        set_rotation(bone, Quaternion(rotation.tolist()))
    bones[0].location = channels.location[0].tolist()
    root = root_bone(rig)
    if root is not None and channels.root_rotation is not None and channels.root_location is not None:
        set_rotation(root, Quaternion(channels.root_rotation[0].tolist()))
        root.location = channels.root_location[0].tolist()


def read_pose(rig: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """The pose that a rig is in, constraints included, as `set_pose` takes it. Raises SourceError."""
    bones = pose_bones(rig)
    numbers = {bone.name: index for index, bone in enumerate(bones)}
    axes, world = axes_of(kind_of(rig)), np.array(rig.matrix_world.to_quaternion().to_matrix())
    turns = [np.array((bone.matrix @ bone.bone.matrix_local.inverted()).to_quaternion().to_matrix()) for bone in bones]
    rotations = np.empty((len(bones), 3, 3))
    rotations[0] = world @ turns[0] @ axes
    for index, bone in enumerate(bones[1:], 1):
        above = next(numbers[parent.name] for parent in bone.parent_recursive if parent.name in numbers)
        rotations[index] = axes.T @ turns[above].T @ turns[index] @ axes
    return rotations, pelvis_of(rig)


def pelvis_of(rig: bpy.types.Object) -> np.ndarray:
    """The pelvis [3] in the world as the rig is posed now, in the scene's units. Raises SourceError."""
    return np.array(rig.matrix_world @ pose_bones(rig)[0].head)


def key_pose(rig: bpy.types.Object, frame: int) -> None:
    """Key the pose that the rig is in."""
    bones = pose_bones(rig)
    root = root_bone(rig)
    movers = [bones[0]] if root is None else [root, bones[0]]
    for bone in movers:
        bone.keyframe_insert("location", frame=frame, group=bone.name)
    for bone in (*movers[:-1], *bones):
        bone.keyframe_insert(rotation_property(bone), frame=frame, group=bone.name)


def key_changes(rig: bpy.types.Object) -> None:
    """Key what was changed by hand since the present frame was shown, which Blender forgets when curves change.

    At this frame, if it has keys; or at the only frame that has some. At other frames the curves count.
    """
    curves = [curve for curve in curves_of(rig) if curve.data_path.startswith("pose.bones")]
    frames = {round(key.co.x, 3) for curve in curves for key in curve.keyframe_points}
    current = round(bpy.context.scene.frame_current_final, 3)  # between two frames, none of their keys is meant
    at = current if current in frames else next(iter(frames), current)
    if current not in frames and len(frames) != 1:
        return
    known: dict[str, list[bpy.types.FCurve]] = {}
    for curve in curves:
        known.setdefault(curve.data_path, []).append(curve)
    for bone in rig.pose.bones:
        for name in ("location", rotation_property(bone), "scale"):
            own, shown = known.get(bone.path_from_id(name), []), getattr(bone, name)
            if any(abs(curve.evaluate(current) - shown[curve.array_index]) > 1e-5 for curve in own):
                bone.keyframe_insert(name, frame=at, group=bone.name)


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


def bone_scales(rig: bpy.types.Object) -> dict[str, np.ndarray]:
    """The scales [K,3] of bones that are scaled: now, and at their keys."""
    curves: dict[str, list[bpy.types.FCurve]] = {}
    for curve in curves_of(rig):
        curves.setdefault(curve.data_path, []).append(curve)
    found = {}
    for bone in rig.pose.bones:
        own = curves.get(bone.path_from_id("scale"), [])
        rows = [list(bone.scale[:])]
        for frame in {key.co.x for curve in own for key in curve.keyframe_points}:
            rows.append(list(bone.scale[:]))
            for curve in own:
                rows[-1][curve.array_index] = curve.evaluate(frame)
        if np.abs(np.array(rows) - 1).max() > 1e-4:
            found[bone.name] = np.array(rows)
    return found


def move_body(rig: bpy.types.Object, change: Matrix) -> None:
    """Move a body by `change` (4x4, in the rig's space) in the present pose and in every key that it has.

    A root bone that is keyed and follows the body goes with it over the floor; otherwise it stays. Raises SourceError.
    """
    space, pelvis, root = RigSpace.of(rig), pose_bones(rig)[0], root_bone(rig)
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}
    movers = [pelvis] if root is None else [pelvis, root]
    tracks = [_Track.of(bone, name, curves) for bone in movers for name in ("location", rotation_property(bone))]
    frames = sorted({key.co.x for track in tracks for curve in track.curves.values() for key in curve.keyframe_points})
    values = [track.read(frames) for track in tracks]
    follows = root_follows(rig) and bool(tracks[-1].curves)
    moved = _moved(space, values, np.array(change, dtype=np.float64), follows=follows)
    for track, now in zip(tracks if follows else tracks[:2], moved, strict=False):
        track.write(frames, now)


def _moved(space: RigSpace, values: list[np.ndarray], change: np.ndarray, *, follows: bool) -> list[np.ndarray]:
    """Locations [K,3] and rotations [K,4] of the pelvis, and of the root bone where there is one, moved by a matrix."""
    count = len(values[0])
    root = space.root_of(*(values[3], values[2]) if len(values) > 2 else (None, None), count)
    base = space.pelvis_base(values[1], values[0], root)
    turned = product(quaternions_of(change[:3, :3]), base.rotation)
    base = Base(turned, base.place @ change[:3, :3].T + change[:3, 3])
    if follows:
        root = space.root_under(base)
    rotation, location = space.pelvis_channels(base, root)
    if len(values) == 2:
        return [location, rotation]
    root_rotation, root_location = space.root_channels(root)
    return [location, rotation, root_location, root_rotation]


@dataclass(frozen=True)
class _Track:
    """A bone's location or rotation, whatever its mode, with its curves by their index."""

    bone: bpy.types.PoseBone
    name: str
    curves: dict[int, bpy.types.FCurve]

    @classmethod
    def of(cls, bone: bpy.types.PoseBone, name: str, curves: dict[tuple[str, int], bpy.types.FCurve]) -> _Track:
        path = bone.path_from_id(name)
        count = len(getattr(bone, name))
        return cls(bone, name, {index: curves[path, index] for index in range(count) if (path, index) in curves})

    def read(self, frames: list[float]) -> np.ndarray:
        """The present value, then those at frames: [1+K,3], or quaternions [1+K,4]."""
        static = list(getattr(self.bone, self.name))
        rows = [static] + [
            [
                self.curves[index].evaluate(frame) if index in self.curves else value
                for index, value in enumerate(static)
            ]
            for frame in frames
        ]
        if self.name == "location":
            return np.array(rows)
        return np.array([to_quaternion(row, self.bone.rotation_mode)[:] for row in rows])

    def write(self, frames: list[float], values: np.ndarray) -> None:
        """Set the present value, and keys at frames where the property has curves."""
        if self.name == "location":
            self.bone.location = values[0].tolist()
            rows = values[1:].tolist()
        else:
            set_rotation(self.bone, Quaternion(values[0].tolist()))
            rows, near = [], None
            for value in continuous(values[1:]).tolist():
                near = _from_quaternion(Quaternion(value), self.bone.rotation_mode, near)
                rows.append(near)
        for index, curve in self.curves.items():
            for frame, row in zip(frames, rows, strict=True):
                curve.keyframe_points.insert(frame, row[index], options={"FAST"})
            curve.update()


def set_rotation(bone: bpy.types.PoseBone, rotation: Quaternion) -> None:
    """Set a rotation, by the shorter way from the present one."""
    name = rotation_property(bone)
    setattr(bone, name, _from_quaternion(rotation, bone.rotation_mode, list(getattr(bone, name))))


def rotation_property(bone: bpy.types.PoseBone) -> str:
    """The property that a bone's rotation is keyed with."""
    names = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    return names.get(bone.rotation_mode, "rotation_euler")


def to_quaternion(values: list[float], mode: str) -> Quaternion:
    """The rotation that a bone's property of this rotation mode says."""
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
