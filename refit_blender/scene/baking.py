# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion onto an armature: what its bones have to be keyed with, and an action of their keys.

Plain rigs are computed for all frames at once. Where constraints or drivers move the mapped bones or what they hang
from, as in control rigs, Blender evaluates each frame, and the controls are turned until every bone is where it should.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from ..errors import SourceError
from ..motion_keys import continuous, quaternions_of
from ..retarget.rest import RestBody
from ..retarget.roles import SIDES, Skeleton
from ..retarget.transfer import TargetMotion
from .animation import Curves

_KEYFRAME = bpy.types.Keyframe.bl_rna.properties["type"].enum_items["KEYFRAME"].value
_SWEEPS = 12
"""Rigify's generated human needs three at each frame."""
_CLOSE = 2e-4
"""Of entries of rotation matrices: a hundredth of a degree."""


@dataclass(frozen=True)
class Keys:
    """What is keyed: role to rotations [F,3,3] and, of those that move, locations [F,3], as the bones' own channels."""

    rotations: Mapping[str, np.ndarray]
    locations: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Target:
    """The armature object, its rest, its bone map, and the body that this makes in the armature's units."""

    armature: bpy.types.Object
    skeleton: Skeleton
    bones: Mapping[str, str]
    rest: RestBody

    def bone(self, role: str) -> bpy.types.PoseBone:
        return self.armature.pose.bones[self.bones[role]]

    @property
    def mover(self) -> str:
        """The role that carries the body's place."""
        return "body" if "body" in self.bones else "pelvis"

    def by_depth(self, roles: Mapping[str, object]) -> list[str]:
        """Roles in an order in which a bone comes after what it hangs from."""
        return sorted(roles, key=lambda role: len(self.skeleton.ancestors(self.skeleton.index(self.bones[role]))))

    def carrier(self, role: str) -> str | None:
        """The mapped role whose bone is the nearest that a role's bone hangs from."""
        known = {self.skeleton.index(name): other for other, name in self.bones.items()}
        above = self.skeleton.ancestors(self.skeleton.index(self.bones[role]))
        return next((known[bone] for bone in above if bone in known), None)

    def place_of_mover(self, motion: TargetMotion) -> np.ndarray:
        """Where the head of the bone that carries the body belongs [F,3]."""
        return motion.center + motion.turns[self.mover] @ (self.rest.heads[self.mover] - self.rest.center)


def is_plain(target: Target) -> bool:
    """Whether nothing but their parents moves the mapped bones."""
    skeleton = target.skeleton
    bones = {skeleton.index(name) for name in target.bones.values()}
    bones |= {above for bone in bones for above in skeleton.ancestors(bone)}
    names = {skeleton.names[bone] for bone in bones}
    animation = target.armature.animation_data
    driven = [driver.data_path for driver in animation.drivers] if animation else []
    if any(path.startswith(f'pose.bones["{name}"]') for path in driven for name in names):
        return False
    found = [target.armature.pose.bones[name] for name in names]
    return not any(
        [one for one in bone.constraints if not one.mute]
        or not (bone.bone.use_inherit_rotation and bone.bone.use_local_location)
        for bone in found
    )


def plain_keys(target: Target, motion: TargetMotion) -> Keys:
    """The keys of a rig whose mapped bones follow their parents alone. Raises SourceError where one hangs loose."""
    rotations, locations = {}, {}
    skeleton = target.skeleton
    for role in target.by_depth(motion.turns):
        bone = skeleton.index(target.bones[role])
        axes, turn = skeleton.axes[bone], motion.turns[role]
        carrier = target.carrier(role)
        while carrier is not None and carrier not in motion.turns:  # the root bone stays
            carrier = target.carrier(carrier)
        if carrier in {None, "root"} and role not in {"root", "body", "pelvis"}:
            raise SourceError(f"Bone “{target.bones[role]}” does not hang from “{target.bones['pelvis']}”.")
        before = motion.turns[carrier] if carrier else np.eye(3)
        rotations[role] = axes.T @ np.swapaxes(before, -1, -2) @ turn @ axes
        if role == "root":
            locations[role] = (motion.root - skeleton.heads[bone]) @ axes
        elif role == target.mover:
            place = target.place_of_mover(motion)
            if carrier:
                away = (np.swapaxes(before, -1, -2) @ (place - motion.root)[..., None])[..., 0]
                place = away + skeleton.heads[skeleton.index(target.bones["root"])]
            locations[role] = (place - skeleton.heads[bone]) @ axes
    return Keys(rotations, locations)


def evaluated_keys(target: Target, motion: TargetMotion) -> Generator[int, None, Keys]:
    """The keys of a control rig. Poses it, so that `kept_pose` should be around. Yields how many frames are done."""
    order = target.by_depth(motion.turns)
    for role in order:
        target.bone(role).matrix_basis = Matrix()
    rotations: dict[str, list] = {role: [] for role in order}
    locations: dict[str, list] = {role: [] for role in ("root", target.mover) if role in order}
    for row in range(len(motion.center)):
        _pose_controls(target, motion, row, order)
        for role in order:
            basis = target.bone(role).matrix_basis
            rotations[role].append(basis.to_3x3().normalized())
            if role in locations:
                locations[role].append(basis.translation.copy())
        yield row + 1
    return Keys(
        {role: np.array(values) for role, values in rotations.items()},
        {role: np.array(values) for role, values in locations.items()},
    )


def _pose_controls(target: Target, motion: TargetMotion, row: int, order: Sequence[str]) -> None:
    """Turn the controls to where their bones belong at one frame, then move the whole body. Raises SourceError."""
    rests = {role: target.skeleton.axes[target.skeleton.index(target.bones[role])] for role in order}
    wanted = {role: motion.turns[role][row] @ rests[role] for role in order}
    carriers = {role: target.carrier(role) for role in order}
    for _ in range(_SWEEPS):
        bpy.context.view_layer.update()
        now = {role: np.array(target.bone(role).matrix.to_3x3().normalized()) for role in order}
        off = max(float(np.abs(now[role] - wanted[role]).max()) for role in order)
        if off < _CLOSE:
            break
        for role in order:
            carrier = carriers[role]
            # Until Blender evaluates it, a bone's parent is taken to follow the mapped bone from which it hangs.
            ahead = wanted[carrier] @ now[carrier].T if carrier in wanted else np.eye(3)
            place = motion.root[row] if role == "root" and motion.root is not None else None
            _turn(target.bone(role), wanted[role], ahead, place)
    else:
        raise SourceError(
            f"Controls of “{target.armature.name}” do not turn as they should: something else holds their bones, such as"
            " a constraint."
        )
    thighs = [np.array(target.bone(f"thigh.{side}").matrix.translation) for side in SIDES]
    mover = target.bone(target.mover)
    matrix = mover.matrix.copy()
    matrix.translation += Matrix.Translation((motion.center[row] - np.mean(thighs, axis=0)).tolist()).translation
    mover.location = _basis(mover, matrix, Matrix()).translation


def _turn(bone: bpy.types.PoseBone, wanted: np.ndarray, ahead: np.ndarray, place: np.ndarray | None) -> None:
    """Give a control the axes `wanted` [3,3] in the armature's space, where its parent turns by `ahead` [3,3] first."""
    matrix = Matrix(wanted.tolist()).to_4x4()
    matrix.translation = bone.matrix.translation if place is None else place.tolist()
    basis = _basis(bone, matrix, Matrix(ahead.tolist()).to_4x4())
    location = bone.location.copy() if place is None else basis.translation
    bone.matrix_basis = Matrix.LocRotScale(location, basis.to_quaternion(), None)


def _basis(bone: bpy.types.PoseBone, matrix: Matrix, ahead: Matrix) -> Matrix:
    """A bone's own channels by which it gets a matrix in the armature's space."""
    if bone.parent is None:
        return bone.bone.convert_local_to_pose(matrix, bone.bone.matrix_local, invert=True)
    return bone.bone.convert_local_to_pose(
        matrix,
        bone.bone.matrix_local,
        parent_matrix=ahead @ bone.parent.matrix,
        parent_matrix_local=bone.parent.bone.matrix_local,
        invert=True,
    )


@contextlib.contextmanager
def kept_pose(armature: bpy.types.Object, switches: Sequence[tuple[str, str, float]]) -> Generator[None, None, None]:
    """Turn limbs to FK and let the armature be posed without its action; afterwards all is as before."""
    bones = {bone: bone.matrix_basis.copy() for bone in armature.pose.bones}
    values = {(bone, name): armature.pose.bones[bone][name] for bone, name, _ in switches}
    animation = armature.animation_data or armature.animation_data_create()
    action, slot = animation.action, getattr(animation, "action_slot", None)
    animation.action = None
    try:
        _set_switches(armature, {(bone, name): value for bone, name, value in switches})
        yield
    finally:
        animation.action = action
        if slot is not None:
            animation.action_slot = slot
        _set_switches(armature, values)
        for bone, basis in bones.items():
            bone.matrix_basis = basis


def known_switches(
    armature: bpy.types.Object, switches: Sequence[tuple[str, str, float]]
) -> list[tuple[str, str, float]]:
    """Those whose bone and custom property are there."""
    bones = armature.pose.bones
    return [(bone, name, value) for bone, name, value in switches if bone in bones and name in bones[bone]]


def _set_switches(armature: bpy.types.Object, values: Mapping[tuple[str, str], float]) -> None:
    for (bone, name), value in values.items():
        armature.pose.bones[bone][name] = value
    if values:
        armature.update_tag()


def write_action(
    target: Target, keys: Keys, frames: np.ndarray, name: str, switches: Sequence[tuple[str, str, float]]
) -> bpy.types.Action:
    """A new action of these keys, which the armature has from now on; an earlier one stays in the file.

    The armature is posed as at the scene's frame, or at the nearest one.
    """
    armature = target.armature
    animation = armature.animation_data or armature.animation_data_create()
    if animation.action is not None:
        animation.action.use_fake_user = True
    for bone in _between(target, keys.rotations):
        bone.matrix_basis = Matrix()
    animation.action = bpy.data.actions.new(name)
    curves, span = Curves(armature), (int(frames[0]), int(frames[-1]))
    shown = int(np.abs(frames - bpy.context.scene.frame_current).argmin())
    for role, rotations in keys.rotations.items():
        bone = target.bone(role)
        bone.matrix_basis = Matrix()
        path, values = _channels(bone, rotations)
        curves.write(bone.path_from_id(path), values, frames, _KEYFRAME, span, group=bone.name)
        setattr(bone, path, values[shown].tolist())
        if role in keys.locations:
            path = bone.path_from_id("location")
            curves.write(path, keys.locations[role], frames, _KEYFRAME, span, group=bone.name)
            bone.location = keys.locations[role][shown].tolist()
    _set_switches(armature, {(bone, name): value for bone, name, value in switches})
    for bone, name, value in switches:
        path = f'{armature.pose.bones[bone].path_from_id()}["{name}"]'
        curves.write(path, np.array([[value]]), frames[:1], _KEYFRAME, span, group=bone, steps=True)
    return animation.action


def _between(target: Target, roles: Mapping[str, object]) -> list[bpy.types.PoseBone]:
    """The bones of a plain rig that mapped ones hang from without being mapped, below the mapped ones."""
    if not is_plain(target):
        return []
    skeleton, mapped = target.skeleton, {target.bones[role] for role in roles}
    above = {bone for name in mapped for bone in skeleton.ancestors(skeleton.index(name))}
    return [target.armature.pose.bones[skeleton.names[bone]] for bone in above if skeleton.names[bone] not in mapped]


def _channels(bone: bpy.types.PoseBone, rotations: np.ndarray) -> tuple[str, np.ndarray]:
    """The name of the property that turns a bone, and its values [F,3 or 4], without jumps."""
    quaternions = continuous(quaternions_of(rotations))
    if bone.rotation_mode == "QUATERNION":
        return "rotation_quaternion", quaternions
    if bone.rotation_mode == "AXIS_ANGLE":
        return "rotation_axis_angle", _axis_angles(quaternions)
    found: list[Euler] = []
    for quaternion in quaternions:
        turn = Quaternion(quaternion.tolist())
        found.append(turn.to_euler(bone.rotation_mode, found[-1]) if found else turn.to_euler(bone.rotation_mode))
    return "rotation_euler", np.array(found)


def _axis_angles(quaternions: np.ndarray) -> np.ndarray:
    """Angles and axes [F,4], the axes on the side of the ones before."""
    sines = np.linalg.norm(quaternions[:, 1:], axis=1)
    axes = np.where(sines[:, None] > 1e-6, quaternions[:, 1:] / np.maximum(sines, 1e-12)[:, None], [0.0, 1, 0])
    return np.concatenate([2 * np.arctan2(sines, quaternions[:, 0])[:, None], axes], axis=1)
