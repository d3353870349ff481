# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's motion as the f-curves of one action, written in bulk in whatever way this Blender keeps actions."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import numpy as np

from ..errors import SourceError
from ..motion_keys import MotionKeys, blend_weights, continuous, slerp
from ..motion_results import ABSENT, FILLED
from . import ownership
from .confidence import STD_DEG, STD_MM
from .guesses import GUESSED, note_guesses
from .keying import curves_of, pose_bones
from .names import with_ending
from .rig_space import Channels, RigSpace
from .rigs import root_bone, root_follows

STATE = "refit_state"
"""On a rig, animated: 0 where the person is not there, 1 where seen, 2 where a gap was filled."""
CONTACTS = ("refit_contact_left", "refit_contact_right")
"""On a rig, animated: 1 where that foot stands still, otherwise 0."""
_HIDDEN = ("hide_viewport", "hide_render")
_INTERPOLATION = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
_KEY_TYPE = bpy.types.Keyframe.bl_rna.properties["type"].enum_items
_PLAIN = _KEY_TYPE["KEYFRAME"].value
_NUMBERS, _CONTACTS, _GUESSES = "Uncertainty", "Contacts", "Guessed"


def write_motion(
    rig: bpy.types.Object, mesh: bpy.types.Object | None, keys: MotionKeys, frames: np.ndarray, unit: float
) -> None:
    """Key a body's pose, how sure it is, what of it is guessed, and whether it is there.

    frames: all that the motion is about, one after the other; the keys' own are those at which the body is there. Keys
    beyond them stay; at an end beyond which the rig has some, its old motion goes over into the new one within a few
    frames. unit: metres of the scene's. Raises SourceError where the rig cannot take it.
    """
    span = int(frames[0]), int(frames[-1])
    curves = write_poses(rig, keys, span, unit)
    for name, values in ((STD_MM, keys.std_mm), (STD_DEG, keys.std_deg)):
        curves.write(f'["{name}"]', values, keys.frames, _PLAIN, span, group=_NUMBERS)
    states = np.full(len(frames), ABSENT)
    states[np.searchsorted(frames, keys.frames)] = keys.state
    rig[STATE] = int(states[0])
    curves.write(f'["{STATE}"]', states[:, None], frames, _PLAIN, span, group=_NUMBERS, steps=True)
    if keys.guessed is not None and len(keys.frames):
        _write_guesses(rig, curves, keys.guessed, keys.frames, span)
    if keys.contacts is not None:
        standing = np.zeros((len(frames), len(CONTACTS)), dtype=int)
        standing[np.searchsorted(frames, keys.frames)] = keys.contacts
        for name, values in zip(CONTACTS, standing.T, strict=True):
            rig[name] = int(values[0])
            curves.write(f'["{name}"]', values[:, None], frames, _PLAIN, span, group=_CONTACTS, steps=True)
    if mesh is not None:
        _write_presence(mesh, *animated_numbers(rig, STATE))


def _write_guesses(
    rig: bpy.types.Object, curves: Curves, guessed: np.ndarray, frames: np.ndarray, span: tuple[int, int]
) -> None:
    """Key guessed joints [K,24] where they change; beyond the span, what was guessed there before stays."""
    location = pose_bones(rig)[0].path_from_id("location")
    low, high = next(curve.range() for curve in curves_of(rig) if curve.data_path == location)
    known = {one.array_index: one for one in curves_of(rig) if one.data_path == f'["{GUESSED}"]'}

    def before(frame: int) -> list[int]:
        return [round(known[joint].evaluate(frame)) if joint in known else 0 for joint in range(guessed.shape[1])]

    changes = np.flatnonzero(np.r_[True, (guessed[1:] != guessed[:-1]).any(axis=1)])
    marks, places, last = guessed[changes].astype(int), frames[changes], span[1]
    if high > span[1]:
        last = span[1] + 1
        marks, places = np.vstack([marks, before(last)]), np.append(places, last)
    if low < span[0] and not known:
        marks, places = np.vstack([before(int(low)), marks]), np.append(int(low), places)
    note_guesses(rig, guessed[0])
    curves.write(f'["{GUESSED}"]', marks, places, _PLAIN, (span[0], last), group=_GUESSES, steps=True)


def write_poses(rig: bpy.types.Object, keys: MotionKeys, span: tuple[int, int], unit: float) -> Curves:
    """Key a body's poses alone, in place of what it has in a span of frames; see `write_motion`. Its action's curves."""
    check_animatable(rig)
    curves = Curves(rig)
    rotations, pelvis = keys.rotations, keys.pelvis / unit
    if len(keys.frames):
        rotations, pelvis = _blended(rig, keys.frames, rotations, pelvis, span)
    channels = RigSpace.of(rig).channels(rotations, pelvis, follows=root_follows(rig))
    types = np.where(keys.state == FILLED, _KEY_TYPE["BREAKDOWN"].value, _PLAIN)
    for bone, name, values in _tracks(rig, channels):
        values = continuous(values) if name == "rotation_quaternion" else values
        curves.write(bone.path_from_id(name), values, keys.frames, types, span, group=bone.name)
    return curves


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
    ownership.check_action(rig)


def motion_name(owner: bpy.types.ID) -> str:
    """Of the action that an object, or its data, gets here."""
    return with_ending(owner.name, " motion")


def check_own_action(rig: bpy.types.Object) -> None:
    """Raises SourceError where a rig was given the action of another one, which has its name, and would lose its keys."""
    action = rig.animation_data.action if rig.animation_data else None
    if action is None:
        return
    for other in bpy.data.objects:
        shares = other != rig and other.animation_data and other.animation_data.action == action
        if shares and action.name in (other.name, motion_name(other)):
            raise SourceError(
                f"“{rig.name}” has the action of “{other.name}”: give it a copy, or set Next Press to New."
            )


def _tracks(rig: bpy.types.Object, channels: Channels) -> list[tuple[bpy.types.PoseBone, str, np.ndarray]]:
    """(bone, property, values [K,N]) of everything that a pose is keyed with."""
    bones, root = pose_bones(rig), root_bone(rig)
    tracks = [(bone, "rotation_quaternion", channels.rotations[:, index]) for index, bone in enumerate(bones)]
    tracks.append((bones[0], "location", channels.location))
    if root is not None and channels.root_rotation is not None and channels.root_location is not None:
        tracks += [
            (root, "rotation_quaternion", channels.root_rotation),
            (root, "location", channels.root_location),
        ]
    return tracks


def keyed_pelvis(rig: bpy.types.Object, frames: np.ndarray, unit: float) -> np.ndarray:
    """The pelvis [K,3] in the world, metres, as the rig's curves have it; NaN at frames outside of them."""
    path = pose_bones(rig)[0].path_from_id("location")
    found = {curve.array_index: curve for curve in curves_of(rig) if curve.data_path == path}
    places = np.full((len(frames), 3), np.nan)
    if set(found) != {0, 1, 2}:
        return places
    low, high = found[0].range()
    inside = (frames >= low) & (frames <= high)
    space, channels = RigSpace.of(rig), keyed_channels(rig, frames[inside], lost=False)
    places[inside] = space.pose(channels)[1] * unit
    return places


def keyed_channels(rig: bpy.types.Object, frames: np.ndarray, *, lost: bool = True) -> Channels:
    """What a rig is keyed with at frames [K]. Raises SourceError where a bone lacks curves, or takes it as it is posed.

    lost: whether that is an error; the root bone need not have any.
    """
    bones, root = pose_bones(rig), root_bone(rig)
    present = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}

    def values(bone: bpy.types.PoseBone, name: str, *, needed: bool) -> np.ndarray:
        path, static = bone.path_from_id(name), getattr(bone, name)
        curves = [present.get((path, index)) for index in range(len(static))]
        if needed and None in curves:
            raise SourceError(f"“{rig.name}” has lost a curve of its action: clear the action, then try again.")
        rows = [
            [
                value if curve is None else curve.evaluate(float(frame))
                for curve, value in zip(curves, static, strict=True)
            ]
            for frame in frames
        ]
        found = np.array(rows, dtype=np.float64).reshape(len(frames), len(static))
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9) if len(static) == 4 else found

    rotations = np.stack([values(bone, "rotation_quaternion", needed=lost) for bone in bones], axis=1)
    location = values(bones[0], "location", needed=lost)
    if root is None:
        return Channels(rotations, location)
    return Channels(
        rotations,
        location,
        values(root, "rotation_quaternion", needed=False),
        values(root, "location", needed=False),
    )


def animated_numbers(rig: bpy.types.Object, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames [K] and values [K,N] of a custom property's keys, which all its curves have at the same frames."""
    curves = sorted((one for one in curves_of(rig) if one.data_path == f'["{name}"]'), key=lambda one: one.array_index)
    if not curves or len({len(curve.keyframe_points) for curve in curves}) > 1:
        return np.zeros(0), np.zeros((0, 1))
    keys = [_keys_of(curve) for curve in curves]
    return keys[0].frames, np.stack([one.values for one in keys], axis=1)


def _blended(
    rig: bpy.types.Object, frames: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray, span: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A rig's new pose, mixed with its old motion at those ends of the part beyond which that goes on."""
    path = pose_bones(rig)[0].path_from_id("location")
    place = next((curve for curve in curves_of(rig) if (curve.data_path, curve.array_index) == (path, 0)), None)
    if place is None or not len(place.keyframe_points):
        return rotations, pelvis
    low, high = place.range()
    weights = blend_weights(frames, at_start=low < span[0] <= high, at_end=low <= span[1] < high)
    rows = np.flatnonzero(weights < 1)
    if not len(rows):
        return rotations, pelvis
    old_rotations, old_pelvis = RigSpace.of(rig).pose(keyed_channels(rig, frames[rows]))
    rotations, pelvis = rotations.copy(), pelvis.copy()
    rotations[rows] = slerp(old_rotations, rotations[rows], weights[rows, None])
    share = weights[rows, None]
    pelvis[rows] = (1 - share) * old_pelvis + share * pelvis[rows]
    return rotations, pelvis


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
            animation.action = bpy.data.actions.new(motion_name(owner))
        self.action = action = animation.action
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

    def remove(self, curve: bpy.types.FCurve) -> None:
        """Take a curve away, with its keys."""
        del self._known[curve.data_path, curve.array_index]
        self._holder.fcurves.remove(curve)

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
