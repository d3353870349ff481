# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls for the arms and legs of an animation rig: a target that hand or foot goes to, and a pole that elbow or knee
points at. They start in the pose that is there; taken away, they leave the pose to the bones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Quaternion, Vector

from ..errors import SourceError
from ..motion_keys import continuous, quaternions_of
from .animation import Curves
from .armature import check_free, check_own, check_unstretched, check_visible, edit_bones
from .control_shapes import POLE, TARGET, outline, remove_unused
from .key_mapping import every_frame, types_at
from .keyed_values import keyed_values, restore_values
from .keying import curves_of, key_changes, pose_bones
from .rigs import ROOT, kind_of
from .skeletons import placement_of

_COLLECTION, _PALETTE = "IK", "THEME02"
_POLE_LENGTH = 0.08
_STRAIGHT = 0.02
"""Of a limb's length: elbows and knees nearer to the line from end to end say little about where they point."""


@dataclass(frozen=True)
class Limb:
    """Names of the bones of an arm or a leg, and of its controls."""

    upper: str
    lower: str
    end: str
    target: str
    pole: str


LIMBS = tuple(
    Limb(*(f"{name}.{side}" for name in names))
    for names in (
        ("upper_arm", "forearm", "hand", "hand_ik", "elbow_pole"),
        ("thigh", "shin", "foot", "foot_ik", "knee_pole"),
    )
    for side in "LR"
)
CONTROLS = tuple(name for limb in LIMBS for name in (limb.target, limb.pole))


def has_ik(rig: bpy.types.Object) -> bool:
    return any(limb.target in rig.pose.bones for limb in LIMBS)


def check_no_ik(*rigs: bpy.types.Object) -> None:
    """Raises SourceError where a rig's limbs follow controls, so that they do not follow what is keyed."""
    for rig in rigs:
        if has_ik(rig):
            raise SourceError(f"“{rig.name}” has IK: press Remove IK first, which keeps the pose.")


def add_ik(rig: bpy.types.Object) -> None:
    """Give the limbs of an animation rig IK, in Object mode; the pose stays, at every frame between its keys.

    Raises SourceError.
    """
    pose_bones(rig)
    if kind_of(rig) != "animation":
        raise SourceError(f"“{rig.name}” has SMPL's rig: convert it to the animation rig first.")
    check_no_ik(rig)
    _check_changeable(rig)
    check_unstretched(rig)
    check_free(rig, CONTROLS)
    key_changes(rig)
    frames = _key_frames(rig)
    names = [ROOT, *(bone for limb in LIMBS for bone in (limb.upper, limb.lower, limb.end))]
    keyed, now = _sampled(rig, names, frames), _sampled(rig, names, None)
    angles = {limb: _pole_angle(limb, keyed if len(frames) else now) for limb in LIMBS}
    edit_bones(rig, _make_controls)
    _sort_controls(rig)
    curves = Curves(rig) if len(frames) else None
    for limb in LIMBS:
        for places, moments in ((keyed, frames), (now, None)) if curves else ((now, None),):
            wanted = {limb.target: places[limb.end], limb.pole: _poles(limb, places, angles[limb])}
            for name, matrices in wanted.items():
                _place(rig, rig.pose.bones[name], ROOT, places[ROOT], matrices, moments, curves)
        _constrain(rig, limb, angles[limb])
    bpy.context.view_layer.update()


def remove_ik(rig: bpy.types.Object) -> None:
    """Take the controls away, in Object mode; the limbs keep their pose, and get it as keys of their own.

    Raises SourceError.
    """
    pose_bones(rig)
    _check_changeable(rig)
    key_changes(rig)
    frames = _key_frames(rig)
    chains = [
        (limb, ((limb.upper, _parent(rig, limb.upper)), (limb.lower, limb.upper), (limb.end, limb.lower)))
        for limb in LIMBS
    ]
    names = {name for _, chain in chains for pair in chain for name in pair}
    keyed, now = _sampled(rig, names, frames), _sampled(rig, names, None)
    curves = Curves(rig) if len(frames) else None
    for curve in curves_of(rig):
        if curves and curve.data_path.startswith(tuple(f'pose.bones["{name}"]' for name in CONTROLS)):
            curves.remove(curve)
    for limb, chain in chains:
        for name in (limb.lower, limb.end):
            bone = rig.pose.bones[name]
            for constraint in [one for one in bone.constraints if getattr(one, "subtarget", "") == limb.target]:
                bone.constraints.remove(constraint)
        for name, parent in chain:
            bone = rig.pose.bones[name]
            if curves:
                _place(rig, bone, parent, keyed[parent], keyed[name], frames, curves, moves=False)
            _place(rig, bone, parent, now[parent], now[name], None, curves, moves=False)
    collections = _control_collections(rig)
    edit_bones(rig, _remove_controls)
    for name in collections:
        rig.data.collections.remove(rig.data.collections[name])
    remove_unused()
    bpy.context.view_layer.update()


def _check_changeable(rig: bpy.types.Object) -> None:
    """Raises SourceError where bones cannot be added or removed, or Blender's IK would not take them where they were."""
    check_own(rig)
    check_visible(rig)
    placement_of(rig)


def _parent(rig: bpy.types.Object, name: str) -> str:
    parent = rig.pose.bones[name].parent
    assert parent is not None  # of a limb
    return parent.name


def _key_frames(rig: bpy.types.Object) -> np.ndarray:
    """The frames of all keys of a rig's bones, and those between them."""
    return every_frame([curve for curve in curves_of(rig) if curve.data_path.startswith("pose.bones")])


def _sampled(rig: bpy.types.Object, names: Iterable[str], frames: np.ndarray | None) -> dict[str, np.ndarray]:
    """Bones [K,4,4] in the armature, as Blender has them at frames, or [1,4,4] as they are posed now."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    scene = bpy.context.scene

    def look() -> None:
        for name, places in found.items():
            places.append(np.array(rig.pose.bones[name].matrix, dtype=np.float64))

    if frames is None:
        bpy.context.view_layer.update()
        look()
    elif len(frames):
        current, subframe = scene.frame_current, scene.frame_subframe
        values = keyed_values(scene, rig)
        for frame in frames:
            scene.frame_set(int(np.floor(frame)), subframe=float(frame % 1))
            look()
        scene.frame_set(current, subframe=subframe)
        restore_values(values)
    return {name: np.array(places).reshape(-1, 4, 4) for name, places in found.items()}


def _make_controls(bones: bpy.types.ArmatureEditBones) -> None:
    """Targets lie where hand or foot rest; poles behind the elbows and before the knees, as far as the limb is long."""
    for limb in LIMBS:
        end, upper, lower = (bones[name] for name in (limb.end, limb.upper, limb.lower))
        target = bones.new(limb.target)
        target.head, target.tail, target.roll = end.head, end.tail, end.roll
        pole = bones.new(limb.pole)
        pole.head = lower.head - upper.z_axis.normalized() * (upper.length + lower.length)
        pole.tail = pole.head + Vector((0.0, 0.0, _POLE_LENGTH))
        for control in (target, pole):
            control.parent, control.use_deform = bones[ROOT], False


def _remove_controls(bones: bpy.types.ArmatureEditBones) -> None:
    for name in CONTROLS:
        if name in bones:
            bones.remove(bones[name])


def _sort_controls(rig: bpy.types.Object) -> None:
    data = rig.data
    assert isinstance(data, bpy.types.Armature)  # of a rig
    collection = data.collections.new(_COLLECTION)
    for name in CONTROLS:
        collection.assign(data.bones[name])
        data.bones[name].color.palette = _PALETTE
    for limb in LIMBS:
        rig.pose.bones[limb.target].custom_shape = outline(TARGET)
        rig.pose.bones[limb.pole].custom_shape = outline(POLE)


def _control_collections(rig: bpy.types.Object) -> list[str]:
    """Names of the collections that were made for the controls; somebody's own may have such a name, too."""
    named = [one for one in rig.data.collections if one.name.partition(".")[0] == _COLLECTION and len(one.bones)]
    return [one.name for one in named if all(bone.name in CONTROLS for bone in one.bones)]


def _constrain(rig: bpy.types.Object, limb: Limb, angle: float) -> None:
    lower, end = rig.pose.bones[limb.lower], rig.pose.bones[limb.end]
    solver = lower.constraints.new("IK")
    solver.target, solver.subtarget = rig, limb.target
    solver.pole_target, solver.pole_subtarget, solver.pole_angle = rig, limb.pole, angle
    solver.chain_count = 2
    turn = end.constraints.new("COPY_ROTATION")
    turn.target, turn.subtarget = rig, limb.target


def _lines(limb: Limb, places: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a limb in K poses: the direction [K,3] from its start to its end, the way [K,3] from the line between them to
    elbow or knee, and its length [K].
    """
    start, middle, end = (places[name][:, :3, 3] for name in (limb.upper, limb.lower, limb.end))
    along = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    out = (middle - start) - ((middle - start) * along).sum(axis=1, keepdims=True) * along
    return along, out, np.linalg.norm(middle - start, axis=1) + np.linalg.norm(end - middle, axis=1)


def _pole_angle(limb: Limb, places: Mapping[str, np.ndarray]) -> float:
    """The angle from the upper bone's X axis towards its Z axis at which the pole lies, if elbow or knee point at it.

    In several poses the mean, where the limb is bent most counts most. Blender turns a limb about the line from its
    start to its end until this direction of the upper bone and the pole are on the same side of the line.
    """
    along, out, length = _lines(limb, places)
    bent = np.linalg.norm(out, axis=1)
    axes = places[limb.upper]
    across = np.cross(along, out)
    angles = np.arctan2(-(axes[:, :3, 0] * across).sum(axis=1), (axes[:, :3, 2] * across).sum(axis=1))
    points = np.cos(angles)[:, None] * axes[:, :3, 0] + np.sin(angles)[:, None] * axes[:, :3, 2]
    angles = np.where((points * out).sum(axis=1) < 0, angles + np.pi, angles)
    weights = np.where(bent > _STRAIGHT * length, bent, 0.0)
    if not weights.any():
        return -np.pi / 2
    return float(np.angle((weights * np.exp(1j * angles)).sum()))


def _poles(limb: Limb, places: Mapping[str, np.ndarray], angle: float) -> np.ndarray:
    """Where the pole [K,4,4] has to be so that the solver has nothing to turn, beside elbow or knee."""
    along, out, length = _lines(limb, places)
    axes = places[limb.upper][:, :3]
    points = np.cos(angle) * axes[:, :, 0] + np.sin(angle) * axes[:, :, 2]
    side = points - (points * along).sum(axis=1, keepdims=True) * along
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    middle = places[limb.lower][:, :3, 3] - out
    found = np.tile(np.eye(4), (len(axes), 1, 1))
    found[:, :3, 3] = middle + side * length[:, None]
    return found


def _place(
    rig: bpy.types.Object,
    bone: bpy.types.PoseBone,
    parent: str,
    above: np.ndarray,
    wanted: np.ndarray,
    frames: np.ndarray | None,
    curves: Curves | None,
    *,
    moves: bool = True,
) -> None:
    """Key a bone so that it is at `wanted` [K,4,4] in the armature while its parent is at `above`; or pose it, for None.

    moves: set its location, too.
    """
    rest = np.array((rig.data.bones[parent].matrix_local.inverted() @ bone.bone.matrix_local), dtype=np.float64)
    basis = np.linalg.inv(above @ rest) @ wanted
    axes = basis[:, :3, :3] / np.linalg.norm(basis[:, :3, :3], axis=1, keepdims=True)  # bones may be scaled
    turns, locations = continuous(quaternions_of(axes)), basis[:, :3, 3]
    bone.rotation_mode = "QUATERNION"
    if frames is None or curves is None:
        bone.rotation_quaternion = Quaternion(turns[0].tolist())
        if moves:
            bone.location = locations[0].tolist()
        return
    span = int(np.floor(frames[0])), int(np.ceil(frames[-1]))
    path = bone.path_from_id("rotation_quaternion")
    known = [curve for curve in curves_of(rig) if curve.data_path == path]
    curves.write(path, turns, frames, types_at(known, frames), span, group=bone.name)
    if moves:
        curves.write(bone.path_from_id("location"), locations, frames, types_at([], frames), span, group=bone.name)
