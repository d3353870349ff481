# SPDX-License-Identifier: GPL-3.0-or-later
"""The armature of a body: its bones at rest, at the joints of a shape, with the feet at the armature's origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..errors import SourceError
from ..results import Body
from . import ownership
from .bone_layout import BonePlace, place_bones
from .keying import bone_scales
from .rigs import BONES, KIND, REST_SHIFT, ROOT, ROOT_MOTION, RigKind, RigStyle, axes_of, bone_names, kind_of

_COLLECTIONS = {"Root": "THEME09", "Middle": "THEME03", "Left": "THEME04", "Right": "THEME01"}
"""Bone collections of an animation rig, and their bones' colours: yellow, green, blue and red, as themes have them."""

_SAME_SCALE = 1e-4


@dataclass(frozen=True)
class Rest:
    """A body's rest pose in an armature, metres: a point of the body file is at `axes @ (point + shift)`.

    joints [24,3] and top, the height of the highest point, in the armature.
    """

    axes: np.ndarray
    shift: np.ndarray
    joints: np.ndarray
    top: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points [N,3] of the body file in the armature."""
        return (points + self.shift) @ self.axes.T


def rest_of(kind: RigKind, body: Body, betas: np.ndarray, shift: np.ndarray | None = None) -> Rest:
    """The rest pose of a shape [10]: its lowest point at the origin's height, its pelvis above it, or with this shift."""
    joints, vertices = body.joints(betas), body.vertices(betas)
    if shift is None:
        shift = -np.array([joints[0, 0], vertices[:, 1].min(), joints[0, 2]], dtype=np.float64)
    axes = axes_of(kind)
    return Rest(axes, shift, (joints + shift) @ axes.T, float(vertices[:, 1].max() + shift[1]))


def build_armature(
    name: str, body: Body, rest: Rest, style: RigStyle, collection: bpy.types.Collection
) -> bpy.types.Object:
    """An armature in `collection`, which must be in the active view layer, in Object mode."""
    data = bpy.data.armatures.new(name)
    data.display_type = "STICK"
    rig = bpy.data.objects.new(name, data)
    rig.show_in_front = True
    collection.objects.link(rig)
    rig[KIND], rig[REST_SHIFT] = style.kind, rest.shift.tolist()
    if style.kind == "animation":
        rig[ROOT_MOTION] = style.root_motion
    places = place_bones(style.kind, rest.joints, body.parents, rest.top)
    edit_bones(rig, lambda bones: put_bones(bones, places))
    if style.kind == "animation":
        sort_bones(data)
    for bone in rig.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return rig


def put_bones(bones: bpy.types.ArmatureEditBones, places: list[BonePlace]) -> None:
    """Put bones where they belong, and make those that are not there yet."""
    for place in places:
        bone = bones.get(place.name)
        if bone is None:
            bone = bones.new(place.name)
            bone.parent = bones[place.parent] if place.parent else None
        bone.use_connect = False  # its head would take its parent's tail along
        bone.head, bone.tail, bone.roll = place.head, place.tail, 0.0
        if place.z_axis is not None:
            bone.align_roll(Vector(place.z_axis))
    for place in places:
        bones[place.name].use_connect = place.connected


def sort_bones(data: bpy.types.Armature) -> None:
    """Collect and colour the bones of an animation rig by their sides."""
    for title, palette in _COLLECTIONS.items():
        collection = data.collections.get(title) or data.collections.new(title)
        for bone in data.bones:
            if bone.name in (ROOT, *BONES["animation"]) and _side(bone.name) == title:
                collection.assign(bone)
                bone.color.palette = palette


def unsort_bones(data: bpy.types.Armature) -> None:
    """Take collections and colours away again."""
    for title in _COLLECTIONS:
        if collection := data.collections.get(title):
            data.collections.remove(collection)
    for bone in data.bones:
        if bone.color.palette in _COLLECTIONS.values():
            bone.color.palette = "DEFAULT"


def _side(bone: str) -> str:
    if bone == ROOT:
        return "Root"
    return {".L": "Left", ".R": "Right"}.get(bone[-2:], "Middle")


def rest_shift(rig: bpy.types.Object) -> np.ndarray | None:
    """How far [3] a rig's rest pose is moved, in the body file's axes; None where it stands on its feet by itself."""
    kept = rig.get(REST_SHIFT)
    values = kept.to_list() if hasattr(kept, "to_list") else []
    return np.array(values) if len(values) == 3 and all(isinstance(value, float) for value in values) else None


def move_rest(rig: bpy.types.Object, mesh: bpy.types.Object | None, body: Body, betas: np.ndarray) -> None:
    """Put joints and skin of a rig where a shape [10] has them at rest, in Object mode. Raises SourceError.

    The pose relative to that stays. Rigs that were made before rests stood on the floor keep their place.
    """
    bone_names(rig)
    before = rest_shift(rig)
    kind = kind_of(rig)
    rest = rest_of(kind, body, betas, np.zeros(3) if before is None else None)
    places = [
        replace(place, connected=place.connected and rig.data.bones[place.name].use_connect)
        for place in place_bones(kind, rest.joints, body.parents, rest.top)
    ]
    edit_bones(rig, lambda bones: put_bones(bones, places))
    if before is None:
        return
    if mesh is not None:
        move_mesh(mesh, Matrix.Translation((rest.axes @ (rest.shift - before)).tolist()))
    rig[REST_SHIFT] = rest.shift.tolist()


def move_mesh(mesh: bpy.types.Object, change: Matrix) -> None:
    """Move a mesh with all of its shape keys."""
    assert isinstance(mesh.data, bpy.types.Mesh)
    mesh.data.transform(change, shape_keys=True)
    mesh.data.update()


def check_own(rig: bpy.types.Object, mesh: bpy.types.Object | None = None) -> None:
    """Raises SourceError where a rig, its mesh or its action is another file's or another object's, too; or where
    tracks of actions move the rig.
    """
    ownership.check_own(rig, mesh)
    animation = rig.animation_data
    if any(one.data and _users(one.data) > 1 for one in (rig, mesh) if one):
        raise SourceError(f"“{rig.name}” shares its data with another object: make it single user first.")
    if animation and animation.nla_tracks:
        raise SourceError(f"“{rig.name}” has tracks of actions: bake them to one action first.")
    if animation and animation.action and (animation.action.library or _users(animation.action) > 1):
        raise SourceError(f"The action of “{rig.name}” belongs to other objects, too: make it single user first.")


def check_unstretched(rig: bpy.types.Object) -> None:
    """Raises SourceError where a bone is, or ever gets, longer in one direction than in another."""
    for name, scales in bone_scales(rig).items():
        if np.ptp(scales, axis=1).max() > _SAME_SCALE:
            raise SourceError(f"Bone “{name}” is stretched by its scale: clear that first (Alt S in Pose mode).")


def check_free(rig: bpy.types.Object, names: Iterable[str], but: Iterable[str] = ()) -> None:
    """Raises SourceError where a bone has one of these names, except for those in `but`."""
    known = set(but)
    for name in names:
        if name in rig.data.bones and name not in known:
            raise SourceError(f"Bone “{name}” of yours has a name that is needed: rename it first.")


def _users(block: bpy.types.ID) -> int:
    return block.users - block.use_fake_user


def check_visible(rig: bpy.types.Object) -> None:
    """Raises SourceError where Blender could not enter Edit mode, so that joints cannot be moved."""
    if not rig.visible_get():
        raise SourceError(f"Body “{rig.name}” is hidden: show it, so that its joints can be moved.")


def edit_bones(rig: bpy.types.Object, change: Callable[[bpy.types.ArmatureEditBones], None]) -> None:
    """Edit bones exist in Edit mode only, and Edit mode for the active object only. Raises SourceError."""
    check_visible(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    try:
        change(rig.data.edit_bones)
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
