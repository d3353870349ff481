# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures that poses are carried to, and the body that they come from, as arrays."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import bpy
import numpy as np

from ..errors import SourceError
from ..retarget.rest import RestBody
from ..retarget.roles import LIMB_PARTS, SIDES, Skeleton, joint
from ..retarget.transfer import Placement, SourceMotion
from .body import body_mesh, shape_sliders
from .keyed_values import keyed_values, restore_values
from .keying import pose_bones
from .timeline import rate_of

_SAME_SCALE = 1e-3


def skeleton_of(armature: bpy.types.Object) -> Skeleton:
    """An armature object's bones at rest."""
    bones = armature.data.bones
    places = {bone.name: index for index, bone in enumerate(bones)}
    return Skeleton(
        tuple(bone.name for bone in bones),
        np.array([places[bone.parent.name] if bone.parent else -1 for bone in bones], int),
        np.array([bone.head_local for bone in bones]).reshape(-1, 3),
        np.array([bone.tail_local for bone in bones]).reshape(-1, 3),
        np.array([bone.matrix_local.to_3x3() for bone in bones]).reshape(-1, 3, 3),
    )


def placement_of(armature: bpy.types.Object, world: np.ndarray | None = None) -> Placement:
    """How an armature object stands in the world now, or with another world matrix [4,4] of its.

    Raises SourceError where it is mirrored or stretched.
    """
    matrix = np.array(armature.matrix_world) if world is None else world
    sizes = np.linalg.norm(matrix[:3, :3], axis=0)
    scale = float(sizes.mean())
    axes = matrix[:3, :3] / max(scale, 1e-12)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=_SAME_SCALE) or np.linalg.det(axes) < 0:
        raise SourceError(f"“{armature.name}” is stretched or mirrored by its scale: apply that first (Ctrl A, Scale).")
    return Placement(axes, matrix[:3, 3], scale)


def keyed_frames(rig: bpy.types.Object) -> np.ndarray:
    """The whole frames of a body's action, from the first to the last. Raises SourceError where it has none."""
    action = rig.animation_data and rig.animation_data.action
    if not action:
        raise SourceError(f"“{rig.name}” has no action: carry its pose over instead.")
    first, last = action.frame_range
    return np.arange(int(np.floor(first)), int(np.ceil(last)) + 1)


def read_pose(scene: bpy.types.Scene, rig: bpy.types.Object) -> SourceMotion:
    """The pose that a body is in now, as a motion of one frame. Raises SourceError."""
    bpy.context.view_layer.update()
    return _motion(scene, rig, [_world_pose(rig)], [scene.frame_current])


def read_motion(
    scene: bpy.types.Scene, rig: bpy.types.Object, frames: Sequence[int] | np.ndarray
) -> Generator[int, None, SourceMotion]:
    """A body's motion at frames of the scene; goes to each of them, and back. Yields how many are read.

    Poses without keys stay as they are.
    """
    current, subframe = scene.frame_current, scene.frame_subframe
    values, poses = keyed_values(scene), []
    try:
        for frame in frames:
            scene.frame_set(int(frame))
            poses.append(_world_pose(rig))
            yield len(poses)
    finally:
        scene.frame_set(current, subframe=subframe)
        restore_values(values)
        bpy.context.view_layer.update()
    return _motion(scene, rig, poses, frames)


def _motion(
    scene: bpy.types.Scene,
    rig: bpy.types.Object,
    poses: Sequence[tuple[np.ndarray, np.ndarray]],
    frames: Sequence[int] | np.ndarray,
) -> SourceMotion:
    turns, joints = (np.stack(arrays) for arrays in zip(*poses, strict=True))
    floor = rig.matrix_world.translation.z
    return SourceMotion(_rest_of(rig), turns, joints, floor, np.asarray(frames), rate_of(scene))


def _world_pose(rig: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """How each of the 24 joints is turned from rest into the world [24,3,3], and its place there [24,3]."""
    bones = pose_bones(rig)
    place = placement_of(rig)
    matrices = np.array([bone.matrix for bone in bones])
    rests = np.array([bone.bone.matrix_local.to_3x3() for bone in bones])
    turns = matrices[:, :3, :3] / np.linalg.norm(matrices[:, :3, :3], axis=1, keepdims=True)
    joints = matrices[:, :3, 3] @ place.axes.T * place.scale + place.origin
    return place.axes @ turns @ rests.transpose(0, 2, 1), joints


def _rest_of(rig: bpy.types.Object) -> RestBody:
    """The body at rest, in the scene's units and the rig's axes."""
    scale = placement_of(rig).scale
    places = np.array([bone.bone.head_local for bone in pose_bones(rig)]) * scale
    roles = [f"{part}.{side}" for part in LIMB_PARTS for side in SIDES]
    heads = {"pelvis": places[0]} | {role: places[joint(role)] for role in roles}
    ends = {}
    for side in SIDES:
        ends[f"hand.{side}"] = places[joint(f"hand.{side}") + 2]  # SMPL has a joint in each hand
        ends[f"toe.{side}"] = heads[f"toe.{side}"]
    rest = RestBody(heads, ends)
    return RestBody(heads, ends, _sole(rig, rest.axes[:, 2]) * scale)


def _sole(rig: bpy.types.Object, up: np.ndarray) -> float:
    """How high the lowest point of a body's skin is at rest, in the rig's space; without a mesh of its lowest joint."""
    mesh = body_mesh(rig)
    if mesh is None:
        return min(float(np.array(bone.bone.head_local) @ up) for bone in pose_bones(rig))
    places = _coordinates(mesh.data.vertices)
    basis = places.copy()
    for key in shape_sliders(mesh).values():
        places += key.value * (_coordinates(key.data) - basis)
    matrix = np.array(rig.matrix_world.inverted() @ mesh.matrix_world)
    return float((places @ matrix[:3, :3].T @ up).min() + matrix[:3, 3] @ up)


def _coordinates(points: bpy.types.bpy_prop_collection) -> np.ndarray:
    flat = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", flat.data)
    return flat.reshape(-1, 3).astype(np.float64)
