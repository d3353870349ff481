# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's motion as the f-curves of one action, written in bulk in whatever way this Blender keeps actions."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import numpy as np

from ..errors import SourceError
from ..motion_keys import MotionKeys, blend_weights, continuous, slerp
from ..motion_results import ABSENT, FILLED
from .confidence import STD_DEG, STD_MM
from .keying import ROOT, curves_of, pose_bones

STATE = "refit_state"
"""On a rig, animated: 0 where the person is not there, 1 where seen, 2 where a gap was filled."""
_HIDDEN = ("hide_viewport", "hide_render")
_INTERPOLATION = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
_KEY_TYPE = bpy.types.Keyframe.bl_rna.properties["type"].enum_items
_PLAIN = _KEY_TYPE["KEYFRAME"].value
_NUMBERS = "Uncertainty"


def write_motion(
    rig: bpy.types.Object, mesh: bpy.types.Object | None, keys: MotionKeys, frames: np.ndarray, unit: float
) -> None:
    """Key a body's pose, how sure it is, and whether it is there.

    frames: all that the motion is about, one after the other; the keys' own are those at which the body is there. Keys
    beyond them stay; at an end beyond which the rig has some, its old motion goes over into the new one within a few
    frames. unit: metres of the scene's. Raises SourceError where the rig cannot take it.
    """
    check_animatable(rig)
    bones, curves = pose_bones(rig), Curves(rig)
    span = int(frames[0]), int(frames[-1])
    rotations, places = basis_of(rig, keys, unit)
    if len(keys.frames):
        rotations, places = _blended(rig, keys.frames, rotations, places, span)
    types = np.where(keys.state == FILLED, _KEY_TYPE["BREAKDOWN"].value, _PLAIN)
    for index, bone in enumerate(bones):
        path = bone.path_from_id("rotation_quaternion")
        curves.write(path, rotations[:, index], keys.frames, types, span, group=bone.name)
    curves.write(bones[0].path_from_id("location"), places, keys.frames, types, span, group=ROOT)
    for name, values in ((STD_MM, keys.std_mm), (STD_DEG, keys.std_deg)):
        curves.write(f'["{name}"]', values, keys.frames, _PLAIN, span, group=_NUMBERS)
    states = np.full(len(frames), ABSENT)
    states[np.searchsorted(frames, keys.frames)] = keys.state
    rig[STATE] = int(states[0])
    curves.write(f'["{STATE}"]', states[:, None], frames, _PLAIN, span, group=_NUMBERS, steps=True)
    if mesh is not None:
        _write_presence(mesh, *animated_numbers(rig, STATE))


def key_footage(data: bpy.types.Camera, start: int, speed: float, frames: np.ndarray) -> None:
    """Key which picture of its first background a camera shows, where the video has another rate than the scene.

    speed: frames of the video for each of the scene's, of which `start` shows the first.
    """
    ahead = np.round((frames - start) * speed) - (frames - start)
    path = "background_images[0].image_user.frame_offset"
    Curves(data).write(path, ahead[:, None], frames, _PLAIN, (int(frames[0]), int(frames[-1])), steps=True)


def check_animatable(rig: bpy.types.Object) -> None:
    """Raises SourceError where a rig's bones do not take quaternions, or its action is another file's."""
    wrong = next((bone for bone in pose_bones(rig) if bone.rotation_mode != "QUATERNION"), None)
    if wrong is not None:
        raise SourceError(f"Bone “{wrong.name}” of “{rig.name}” has another rotation mode than Quaternion: set that.")
    animation = rig.animation_data
    if animation and animation.action and animation.action.library:
        raise SourceError(f"The action of “{rig.name}” is linked from another file: make it local first.")


def basis_of(rig: bpy.types.Object, keys: MotionKeys, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """What bones of a rig that stands anywhere have to be keyed with: rotations [K,24,4] and the root's place [K,3]."""
    bones = pose_bones(rig)
    axes = np.array(rig.matrix_world.to_quaternion())
    rotations = keys.rotations.copy()
    rotations[:, 0] = _product(axes * [1, -1, -1, -1], keys.rotations[:, 0])
    inverse = np.array(rig.matrix_world.inverted())
    places = keys.pelvis / unit @ inverse[:3, :3].T + inverse[:3, 3] - np.array(bones[0].bone.matrix_local)[:3, 3]
    return continuous(rotations), places


def keyed_pelvis(rig: bpy.types.Object, frames: np.ndarray, unit: float) -> np.ndarray:
    """The pelvis [K,3] in the world, metres, as the rig's curves have it; NaN at frames outside of them."""
    bone = pose_bones(rig)[0]
    found = {curve.array_index: curve for curve in curves_of(rig) if curve.data_path == bone.path_from_id("location")}
    places = np.full((len(frames), 3), np.nan)
    if set(found) != {0, 1, 2}:
        return places
    low, high = found[0].range()
    for row in np.flatnonzero((frames >= low) & (frames <= high)):
        places[row] = [found[axis].evaluate(float(frames[row])) for axis in range(3)]
    matrix = np.array(rig.matrix_world)
    local = places + np.array(bone.bone.matrix_local)[:3, 3]
    return (local @ matrix[:3, :3].T + matrix[:3, 3]) * unit


def animated_numbers(rig: bpy.types.Object, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames [K] and values [K,N] of a custom property's keys, which all its curves have at the same frames."""
    curves = sorted((one for one in curves_of(rig) if one.data_path == f'["{name}"]'), key=lambda one: one.array_index)
    if not curves or len({len(curve.keyframe_points) for curve in curves}) > 1:
        return np.zeros(0), np.zeros((0, 1))
    keys = [_keys_of(curve) for curve in curves]
    return keys[0].frames, np.stack([one.values for one in keys], axis=1)


def _blended(
    rig: bpy.types.Object, frames: np.ndarray, rotations: np.ndarray, places: np.ndarray, span: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A rig's new keys, mixed with its old motion at those ends of the part beyond which that goes on."""
    bones = pose_bones(rig)
    present = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}
    root = present.get((bones[0].path_from_id("location"), 0))
    if root is None or not len(root.keyframe_points):
        return rotations, places
    low, high = root.range()
    weights = blend_weights(frames, at_start=low < span[0] <= high, at_end=low <= span[1] < high)
    rows = np.flatnonzero(weights < 1)
    if not len(rows):
        return rotations, places

    def old(path: str, count: int) -> np.ndarray:
        curves = [present.get((path, index)) for index in range(count)]
        if None in curves:
            raise SourceError(f"“{rig.name}” has lost a curve of its action: clear the action, then try again.")
        return np.array([[curve.evaluate(float(frames[row])) for curve in curves] for row in rows])

    rotations, places = rotations.copy(), places.copy()
    for index, bone in enumerate(bones):
        before = old(bone.path_from_id("rotation_quaternion"), 4)
        before /= np.maximum(np.linalg.norm(before, axis=1, keepdims=True), 1e-9)
        rotations[rows, index] = slerp(before, rotations[rows, index], weights[rows])
    share = weights[rows, None]
    places[rows] = (1 - share) * old(bones[0].path_from_id("location"), 3) + share * places[rows]
    return rotations, places


def _write_presence(mesh: bpy.types.Object, frames: np.ndarray, states: np.ndarray) -> None:
    """Hide a mesh where its person is not there, by all states [K,1] of a rig; one who always is needs no keys."""
    there = states[:, 0] != ABSENT
    if there.all() and not {curve.data_path for curve in curves_of(mesh)} & set(_HIDDEN):
        return
    changes = np.flatnonzero(np.concatenate([[True], there[1:] != there[:-1]]))
    curves, values = Curves(mesh), (~there[changes, None]).astype(float)
    for name in _HIDDEN:
        curves.write(name, values, frames[changes], _PLAIN, (int(frames[0]), int(frames[-1])), steps=True)


class Curves:
    """The f-curves of the action of an object or its data, which is made if need be."""

    def __init__(self, owner: bpy.types.Object | bpy.types.Camera) -> None:
        animation = owner.animation_data or owner.animation_data_create()
        if animation.action is None:
            animation.action = bpy.data.actions.new(f"{owner.name} motion")
        action = animation.action
        self._holder = action
        if hasattr(animation, "action_slot"):  # 4.4 and later
            if animation.action_slot is None:
                suitable = [slot for slot in action.slots if slot.target_id_type in {owner.id_type, "UNSPECIFIED"}]
                animation.action_slot = suitable[0] if suitable else action.slots.new(owner.id_type, owner.name)
            layer = action.layers[0] if action.layers else action.layers.new("Motion")
            strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
            self._holder = strip.channelbag(animation.action_slot, ensure=True)
        self._known = {(curve.data_path, curve.array_index): curve for curve in self._holder.fcurves}

    def write(
        self,
        path: str,
        values: np.ndarray,
        frames: np.ndarray,
        types: np.ndarray | int,
        span: tuple[int, int],
        *,
        group: str = "",
        steps: bool = False,
    ) -> None:
        """Put keys with values [K,N] of a property at frames [K] in place of its keys in a span of frames.

        types: of all keys or of each [K]; steps: values hold until the next key.
        """
        kind = _INTERPOLATION["CONSTANT" if steps else "LINEAR"].value
        count = values.shape[1]
        curves = [self._curve(path, index, group) for index in range(count)]
        all_types, kinds = np.broadcast_to(types, len(frames)), np.full(len(frames), kind)
        merged = [
            _merged(curve, _Keys(frames, values[:, index], all_types, kinds), span)
            for index, curve in enumerate(curves)
        ]
        if path.endswith("rotation_quaternion") and len({len(keys.frames) for keys in merged}) == 1:
            signed = continuous(np.stack([keys.values for keys in merged], axis=1))
            merged = [keys._replace(values=signed[:, index]) for index, keys in enumerate(merged)]
        for curve, keys in zip(curves, merged, strict=True):
            _set_keys(curve, keys)

    def _curve(self, path: str, index: int, group: str) -> bpy.types.FCurve:
        curve = self._known.get((path, index))
        if curve is None:
            curve = self._known[path, index] = self._holder.fcurves.new(path, index=index)
            if group:
                groups = self._holder.groups
                curve.group = groups.get(group) or groups.new(group)
        return curve


class _Keys(NamedTuple):
    """A curve's keys, each [K]: frames, values, and Blender's numbers for their types and interpolations."""

    frames: np.ndarray
    values: np.ndarray
    types: np.ndarray
    kinds: np.ndarray


def _keys_of(curve: bpy.types.FCurve) -> _Keys:
    points, count = curve.keyframe_points, len(curve.keyframe_points)
    places, types, kinds = np.empty(2 * count, np.float32), [0] * count, [0] * count
    points.foreach_get("co", places.data)
    # Blender takes numbers of choices from lists only.
    points.foreach_get("type", types)
    points.foreach_get("interpolation", kinds)
    return _Keys(
        places[::2].astype(np.float64), places[1::2].astype(np.float64), np.array(types, int), np.array(kinds, int)
    )


def _merged(curve: bpy.types.FCurve, new: _Keys, span: tuple[int, int]) -> _Keys:
    """A curve's keys outside of a span, and new ones."""
    old = _keys_of(curve)
    kept = (old.frames < span[0] - 0.5) | (old.frames > span[1] + 0.5)
    order = np.argsort(np.concatenate([old.frames[kept], new.frames]), kind="stable")
    return _Keys(*(np.concatenate([before[kept], after])[order] for before, after in zip(old, new, strict=True)))


def _set_keys(curve: bpy.types.FCurve, keys: _Keys) -> None:
    points = curve.keyframe_points
    points.clear()
    points.add(len(keys.frames))
    points.foreach_set("co", np.stack([keys.frames, keys.values], axis=1).astype(np.float32).ravel().data)
    points.foreach_set("type", keys.types.tolist())
    points.foreach_set("interpolation", keys.kinds.tolist())
    curve.update()


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The quaternion [4] times quaternions [K,4]."""
    w, v = second[:, 0], second[:, 1:]
    return np.concatenate(
        [
            (first[0] * w - v @ first[1:])[:, None],
            first[0] * v + w[:, None] * first[1:] + np.cross(first[1:], v),
        ],
        axis=1,
    )
