# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's rig becomes one of the other kind, or its motion goes over to the root bone or back: the body stays as it is.

Names, rests and axes of the bones change, and with them pose and action, skin, and whatever hangs on the bones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import SourceError
from ..motion_keys import quaternions_of
from .armature import (
    check_free,
    check_own,
    check_unstretched,
    edit_bones,
    move_mesh,
    put_bones,
    rest_shift,
    sort_bones,
    unsort_bones,
)
from .body import body_mesh
from .bone_layout import place_bones
from .confidence import confidence_of, restore_colors, show_colors, shown_measure
from .correctives import corrective_keys, drive_correctives
from .ik import check_no_ik
from .keying import bone_scales, curves_of, key_changes
from .pose_conversion import PoseTracks, convert_pose
from .rigs import BONES, KIND, REST_SHIFT, ROOT, ROOT_MOTION, RigStyle, axes_of, bone_names, kind_of

_TURN_NOTHING = {"CHILD_OF", "COPY_LOCATION", "COPY_SCALE", "LIMIT_DISTANCE", "LIMIT_LOCATION", "LIMIT_SCALE"}
"""Constraints with which an object's own rotation still adds to where it is."""
_SOLE = 0.03
"""Metres from the lowest joint to the floor, where there is no skin to tell."""


def convert_rig(rig: bpy.types.Object, style: RigStyle) -> None:
    """Turn a body's rig into one of this style, in Object mode; the body looks the same at every frame.

    Where the root bone has to follow the body, or to give its motion back, root and pelvis get a key at every frame;
    otherwise all keys stay what they are. Raises SourceError, and changes nothing then.
    """
    check_convertible(rig)
    if kind_of(rig) != style.kind:
        check_free(
            rig, BONES[style.kind] if style.kind == "smpl" else (*BONES[style.kind], ROOT), but=BONES[kind_of(rig)]
        )
    measure, certainty = shown_measure(rig), confidence_of(rig)
    if measure:
        restore_colors(rig)
    key_changes(rig)
    before, kind = PoseTracks.of(rig), kind_of(rig)
    turn = axes_of(style.kind) @ axes_of(kind).T
    if kind != style.kind:
        _change_bones(rig, style, turn, [track.moved for track in before.bones])
    rig[KIND] = style.kind
    if style.kind == "animation":
        rig[ROOT_MOTION] = style.root_motion
    else:
        rig.pop(ROOT_MOTION, None)
    convert_pose(rig, before, quaternions_of(turn))
    mesh = body_mesh(rig)
    if mesh and corrective_keys(mesh):
        drive_correctives(mesh, rig)
    if measure and certainty:
        show_colors(rig, certainty, measure)
    bpy.context.view_layer.update()


def check_convertible(rig: bpy.types.Object) -> None:
    """Raises SourceError where a rig cannot be converted."""
    bone_names(rig)
    check_no_ik(rig)
    check_own(rig, body_mesh(rig))
    if not rig.visible_get():
        raise SourceError(f"Body “{rig.name}” is hidden: show it first.")
    drivers = rig.animation_data.drivers if rig.animation_data else ()
    if any(curve.data_path.startswith(("rotation", "delta_rotation")) for curve in (*curves_of(rig), *drivers)):
        raise SourceError(f"The rotation of object “{rig.name}” is animated: animate its bones instead.")
    turning = (one.name for one in rig.constraints if not one.mute and one.type not in _TURN_NOTHING)
    if name := next(turning, None):
        raise SourceError(f"Constraint “{name}” turns object “{rig.name}”: apply or remove it first.")
    if any(_is_muted(curve) for curve in curves_of(rig) if curve.data_path.startswith("pose.bones")):
        raise SourceError(f"Curves of “{rig.name}” are muted: unmute or delete them first.")
    check_unstretched(rig)
    if ROOT in bone_scales(rig):
        raise SourceError(f"Bone “{ROOT}” is scaled: clear that first (Alt S in Pose mode).")


def _is_muted(curve: bpy.types.FCurve) -> bool:
    return curve.mute or bool(curve.group and curve.group.mute)


def _change_bones(rig: bpy.types.Object, style: RigStyle, turn: np.ndarray, moved: Sequence[bool]) -> None:
    """Give a rig the bones of the other kind, and turn what hangs on it.

    turn [3,3]: from the old armature's axes to the new one's; moved [24]: whose bones have a location of their own.
    """
    bpy.context.view_layer.update()
    mesh, old_kind, armature = body_mesh(rig), kind_of(rig), rig.data
    assert isinstance(armature, bpy.types.Armature)  # of a rig
    tails = {child: _tail(rig, child) for child in rig.children if child != mesh}
    names = dict(zip(BONES[old_kind], BONES[style.kind], strict=True))
    shift, step = _grounding(rig, mesh, style)
    turned = Matrix(turn.tolist()).to_4x4()
    whole = Matrix.Translation(step.tolist()) @ turned
    heads = np.array([rig.data.bones[name].head_local for name in BONES[old_kind]], dtype=np.float64)
    joints = heads @ turn.T + step
    top = _highest(mesh, joints, turn, step)
    places = place_bones(style.kind, joints, _parents(rig), top)
    loose = {name for name, apart in zip(names.values(), moved, strict=True) if apart}
    places = [replace(place, connected=place.connected and place.name not in loose) for place in places]
    _rename(rig, names)

    def change(bones: bpy.types.ArmatureEditBones) -> None:
        for bone in bones:
            bone.use_connect = False
        for bone in bones:
            if bone.name not in names.values() and bone.name != ROOT:
                bone.transform(whole)
        if style.kind == "smpl" and ROOT in bones:
            bones.remove(bones[ROOT])
        put_bones(bones, places)
        if style.kind == "animation":
            bones[names["pelvis"]].parent = bones[ROOT]

    edit_bones(rig, change)
    if style.kind == "animation":
        sort_bones(armature)
        rig.pose.bones[ROOT].rotation_mode = "QUATERNION"
    else:
        unsort_bones(armature)
    if mesh is not None:
        own = mesh.matrix_parent_inverse @ mesh.matrix_basis
        move_mesh(mesh, own.inverted() @ whole @ own)
    rig[REST_SHIFT] = shift.tolist()
    rig.matrix_basis = rig.matrix_basis @ turned.inverted()
    for child, tail in tails.items():
        _hang_again(rig, child, tail, turned, whole)
    bpy.context.view_layer.update()


def _parents(rig: bpy.types.Object) -> list[int]:
    """Each joint's parent, -1 for the first."""
    numbers = {name: index for index, name in enumerate(bone_names(rig))}
    above = [rig.data.bones[name].parent for name in numbers]
    return [numbers.get(bone.name, -1) if bone else -1 for bone in above]


def _grounding(rig: bpy.types.Object, mesh: bpy.types.Object | None, style: RigStyle) -> tuple[np.ndarray, np.ndarray]:
    """How far [3] the new rest pose is from the body file's, in that file's axes; and from the old one, in the armature's.

    Rigs that were made before rests stood on the floor are put there.
    """
    known = rest_shift(rig)
    if known is not None:
        return known, np.zeros(3)
    axes = axes_of(kind_of(rig))
    pelvis = np.array(rig.data.bones[bone_names(rig)[0]].head_local) @ axes
    points = _shaped(mesh) if mesh else np.zeros((0, 3))
    if not len(points):
        points = np.array([bone.head_local for bone in rig.data.bones]) - axes @ [0.0, _SOLE, 0.0]
    shift = -np.array([pelvis[0], (points @ axes)[:, 1].min(), pelvis[2]])
    return shift, axes_of(style.kind) @ shift


def _shaped(mesh: bpy.types.Object) -> np.ndarray:
    """Vertices [V,3] of a mesh at rest, with its shape keys as they are, but for those that poses drive."""
    keys = mesh.data.shape_keys
    count = len(mesh.data.vertices)

    def read(points: bpy.types.bpy_prop_collection) -> np.ndarray:
        flat = np.empty(3 * count, dtype=np.float32)
        points.foreach_get("co", flat.data)
        return flat.reshape(-1, 3).astype(np.float64)

    if keys is None:
        return read(mesh.data.vertices)
    basis = read(keys.reference_key.data)
    driven = {key.name for key in corrective_keys(mesh)}
    mixed = [key for key in keys.key_blocks if key.value and not key.mute and key.name not in driven]
    return basis + sum(key.value * (read(key.data) - basis) for key in mixed if key != keys.reference_key)


def _highest(mesh: bpy.types.Object | None, joints: np.ndarray, turn: np.ndarray, step: np.ndarray) -> float:
    """The height of the body's highest point in the new armature; without a skin, somewhat above the head's joint."""
    points = _shaped(mesh) if mesh else np.zeros((0, 3))
    if not len(points):
        return float(joints[15, 2] + 2 * np.linalg.norm(joints[15] - joints[12]))
    return float((points @ turn.T + step)[:, 2].max())


def _rename(rig: bpy.types.Object, names: Mapping[str, str]) -> None:
    """Blender takes vertex groups, curves, drivers and constraints along, but not the groups of curves."""
    for old, new in names.items():
        rig.data.bones[old].name = new
    for curve in curves_of(rig):
        if curve.group and curve.group.name in names:
            curve.group.name = names[curve.group.name]


def _tail(rig: bpy.types.Object, child: bpy.types.Object) -> Matrix | None:
    """The rest, in the armature, of the bone's tail that an object hangs on; None where it hangs on the rig itself."""
    bone = rig.data.bones.get(child.parent_bone) if child.parent_type == "BONE" else None
    return bone.matrix_local @ Matrix.Translation((0.0, bone.length, 0.0)) if bone else None


def _hang_again(
    rig: bpy.types.Object, child: bpy.types.Object, tail: Matrix | None, turn: Matrix, whole: Matrix
) -> None:
    """Put a child where it was. tail: its bone's before; what the bones deform goes with their rests."""
    now = _tail(rig, child)
    if tail is not None and now is not None:
        change = now.inverted() @ whole @ tail
    else:
        skinned = any(one.type == "ARMATURE" and one.object == rig for one in child.modifiers)
        change = whole if skinned else turn
    child.matrix_parent_inverse = change @ child.matrix_parent_inverse
