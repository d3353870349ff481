# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig that is made to be exported: the same bones, skin and motion as a body, laid out as a file wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
from mathutils import Matrix

from ..motion_keys import continuous, quaternions_of
from ..scene.animation import Curves
from ..scene.body import CORRECTIVE_KEY
from ..scene.rigs import REST_TO_WORLD, ROOT, axes_of, kind_of
from .formats import Layout, Shape
from .skeleton import Posed, Skeleton, basis, moved, with_root
from .stage import Stage, sample

_LEAST_MOVE = 1e-6
"""Of the file's units: bones that stay nearer to their place than this need no keys for it."""
_PLAIN = bpy.types.Keyframe.bl_rna.properties["type"].enum_items["KEYFRAME"].value


@dataclass(frozen=True)
class Source:
    """A body to export: its name, its rig, the meshes on it, its skeleton, and where that is at all frames.

    unit: metres of the scene's.
    """

    name: str
    rig: bpy.types.Object
    meshes: tuple[bpy.types.Object, ...]
    skeleton: Skeleton
    posed: Posed
    unit: float


def read_source(place: Stage, rig: bpy.types.Object, frames: Sequence[int], unit: float) -> Source:
    """Read a body at frames. Raises SourceError where a joint's bone is missing."""
    skeleton, posed = sample(place, rig, frames, unit)
    skins = tuple(
        child
        for child in rig.children
        if child.type == "MESH" and any(one.type == "ARMATURE" and one.object == rig for one in child.modifiers)
    )
    return Source(rig.name, rig, skins, skeleton, posed, unit)


def build(place: Stage, source: Source, start: int, layout: Layout, shape: Shape) -> bpy.types.Object:
    """Make the stand-in of a body in the stage's scene: an armature with its motion, and its meshes.

    start: the frame at which its first pose is keyed.
    """
    axes = np.eye(4)
    axes[:3, :3] = REST_TO_WORLD.T if layout.y_up else np.eye(3)
    to_file = axes @ np.diag([*[layout.units_per_metre] * 3, 1.0])
    scale = source.rig.matrix_world.median_scale * source.unit
    standing = standing_axes(source.rig)
    upright = np.eye(4)
    upright[:3, :3] = standing * scale
    skins = [_skin(place, mesh, source.rig, shape) for mesh in source.meshes]
    skeleton, posed = source.skeleton, source.posed
    if ROOT not in skeleton.names:
        upright[2, 3] = -_lowest(skins, skeleton, upright)
    skeleton = replace(skeleton, rest=moved(skeleton.rest, upright), lengths=skeleton.lengths * scale)
    if layout.root and ROOT not in skeleton.names:
        skeleton, posed = with_root(ROOT, skeleton, posed, standing)
    elif not layout.root:
        skeleton, posed = _without_root(skeleton, posed)
    for mesh in skins:
        mesh.transform(Matrix((to_file @ upright).tolist()), shape_keys=True)
    size = layout.units_per_metre
    skeleton = replace(skeleton, rest=moved(skeleton.rest, to_file), lengths=skeleton.lengths * size)
    rig = _armature(place, source.rig, layout.node or source.name, skeleton)
    rig.matrix_world = Matrix(axes.T.tolist())
    keys = basis(skeleton, moved(posed.world, to_file))
    if layout.rest_before:
        keys, start = np.concatenate([np.broadcast_to(np.eye(4), keys[:1].shape), keys]), start - 1
    action = _key(rig, skeleton, keys, start)
    place.call_it(place.keep(action), bpy.data.actions, source.name)
    for mesh, original in zip(skins, source.meshes, strict=True):
        item = place.add(original.name, mesh)
        place.call_it(item, bpy.data.objects, original.name)
        item.parent = rig
        item.modifiers.new("Armature", "ARMATURE").object = rig
    return rig


def standing_axes(rig: bpy.types.Object) -> np.ndarray:
    """[3,3]: turns the armature's axes so that its rest pose stands."""
    return REST_TO_WORLD @ axes_of(kind_of(rig)).T


def _lowest(skins: Sequence[bpy.types.Mesh], skeleton: Skeleton, upright: np.ndarray) -> float:
    """How high the lowest point of a standing rest pose lies."""
    points = [skeleton.rest[:, :3, 3], *(_positions(mesh.vertices) for mesh in skins)]
    return float(min((one @ upright[2, :3]).min() for one in points if len(one)))


def _without_root(skeleton: Skeleton, posed: Posed) -> tuple[Skeleton, Posed]:
    """Without the root bone: what hung on it has no parent."""
    kept = [index for index, name in enumerate(skeleton.names) if name != ROOT]
    places = {-1: -1, **{index: -1 for index, name in enumerate(skeleton.names) if name == ROOT}}
    places |= {index: place for place, index in enumerate(kept)}
    rest = Skeleton(
        names=tuple(skeleton.names[index] for index in kept),
        parents=tuple(places[skeleton.parents[index]] for index in kept),
        rest=skeleton.rest[kept],
        lengths=skeleton.lengths[kept],
    )
    return rest, replace(posed, world=posed.world[:, kept])


def _armature(place: Stage, original: bpy.types.Object, name: str, skeleton: Skeleton) -> bpy.types.Object:
    data = place.keep(bpy.data.armatures.new(name))
    place.call_it(data, bpy.data.armatures, name)
    rig = place.add(name, data)
    place.call_it(rig, bpy.data.objects, name)
    place.call("object.mode_set", rig, {"mode": "EDIT"})
    made: list[bpy.types.EditBone] = []
    for index, bone_name in enumerate(skeleton.names):
        bone = data.edit_bones.new(bone_name)
        bone.tail = (0.0, float(skeleton.lengths[index]), 0.0)
        bone.matrix = Matrix(skeleton.rest[index].tolist())
        if skeleton.parents[index] >= 0:
            bone.parent = made[skeleton.parents[index]]
        made.append(bone)
    place.call("object.mode_set", rig, {"mode": "OBJECT"})
    for bone in data.bones:
        known = original.data.bones.get(bone.name)
        bone.use_deform = known is not None and known.use_deform
    return rig


def _key(rig: bpy.types.Object, skeleton: Skeleton, keys: np.ndarray, start: int) -> bpy.types.Action:
    """Key all bones with [K,J,4,4] at all frames from `start` on; the new action."""
    span = start, start - 1 + len(keys)
    times, turns = np.arange(span[0], span[1] + 1), continuous(quaternions_of(keys[..., :3, :3]))
    curves = Curves(rig)
    for index, name in enumerate(skeleton.names):
        bone = rig.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        curves.write(bone.path_from_id("rotation_quaternion"), turns[:, index], times, _PLAIN, span, group=name)
        places = keys[:, index, :3, 3]
        if np.abs(places).max() > _LEAST_MOVE or skeleton.parents[index] < 0:
            curves.write(bone.path_from_id("location"), places, times, _PLAIN, span, group=name)
    return curves.action


def key_object(place: Stage, item: bpy.types.Object, world: np.ndarray, start: int) -> None:
    """Key an object to be at [K,4,4] in the world, from frame `start` on."""
    item.rotation_mode = "QUATERNION"
    span = start, start - 1 + len(world)
    times, turns = np.arange(span[0], span[1] + 1), continuous(quaternions_of(world[:, :3, :3]))
    curves = Curves(item)
    curves.write("location", world[:, :3, 3], times, _PLAIN, span)
    curves.write("rotation_quaternion", turns, times, _PLAIN, span)
    place.keep(curves.action)


def _skin(place: Stage, mesh: bpy.types.Object, rig: bpy.types.Object, shape: Shape) -> bpy.types.Mesh:
    """A copy of a mesh at rest, in the armature's space, without pose correctives.

    The shape is baked into it, or stays as shape keys with their values.
    """
    assert isinstance(mesh.data, bpy.types.Mesh)  # of a mesh object
    data = place.keep(mesh.data.copy())
    place.call_it(data, bpy.data.meshes, mesh.data.name)
    own = rig.matrix_world.inverted() @ mesh.matrix_world
    if data.shape_keys is not None:
        holder = place.keep(bpy.data.objects.new(mesh.name, data))
        positions = _shaped(data.shape_keys)
        if shape == "keys":
            _drop_correctives(holder)
        else:
            holder.shape_key_clear()
            # Before 5.2 the keys stay in the file.
            bpy.data.batch_remove([keys for keys in bpy.data.shape_keys if keys.user == data])
            data.vertices.foreach_set("co", positions.ravel().data)
    data.transform(own, shape_keys=True)
    data.update()
    return data


def _shaped(keys: bpy.types.Key) -> np.ndarray:
    """Vertices [V,3] as the shape keys have them that are no pose correctives."""
    base = _positions(keys.reference_key.data)
    made = base.copy()
    for key in keys.key_blocks[1:]:
        if not key.mute and not _is_corrective(key):
            made += key.value * (_positions(key.data) - _positions(key.relative_key.data))
    return made


def _drop_correctives(holder: bpy.types.Object) -> None:
    keys = holder.data.shape_keys
    keys.animation_data_clear()
    for key in [one for one in keys.key_blocks if _is_corrective(one)]:
        holder.shape_key_remove(key)


def _is_corrective(key: bpy.types.ShapeKey) -> bool:
    return key.name.startswith(CORRECTIVE_KEY.format(""))


def _positions(points: bpy.types.bpy_prop_collection) -> np.ndarray:
    """Coordinates [V,3] of vertices or of a shape key's points."""
    flat = np.empty(len(points) * 3, dtype=np.float32)
    points.foreach_get("co", flat.data)
    return flat.reshape(-1, 3)
