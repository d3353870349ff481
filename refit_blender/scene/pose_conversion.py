# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose and action of a rig whose bones have got other axes: what its channels have to be now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Quaternion

from ..motion_keys import continuous
from ..quaternions import conjugated, inverse, rotated
from .animation import Curves
from .key_mapping import Mapping, constant, every_frame, in_step, map_keys, types_at, values_at
from .keying import curves_of, pose_bones, rotation_property, set_rotation, to_quaternion
from .rig_space import Base, RigSpace
from .rigs import root_bone, root_follows

_SMALL = 1e-6
_NO_TURN, _NOWHERE = np.array([[1.0, 0.0, 0.0, 0.0]]), np.zeros((1, 3))


@dataclass(frozen=True)
class Track:
    """How a bone is posed now, rotation [4] and location [3], and the curves of both, None for what is not keyed."""

    mode: str
    turns: tuple[bpy.types.FCurve | None, ...]
    moves: tuple[bpy.types.FCurve | None, ...]
    turn: tuple[float, ...]
    location: tuple[float, ...]
    connected: bool

    @classmethod
    def of(cls, rig: bpy.types.Object, bone: bpy.types.PoseBone) -> Track:
        present = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}
        found = []
        for name in (rotation_property(bone), "location"):
            path, static = bone.path_from_id(name), tuple(getattr(bone, name))
            found.append((tuple(present.get((path, index)) for index in range(len(static))), static))
        (turns, turn), (moves, location) = found
        return cls(bone.rotation_mode, turns, moves, turn, location, bone.bone.use_connect)

    @property
    def curves(self) -> tuple[bpy.types.FCurve | None, ...]:
        return (*self.turns, *self.moves)

    @property
    def moved(self) -> bool:
        """Whether the bone is, or ever goes, away from where its parent takes it."""
        frames = every_frame(self.moves)
        keyed = values_at(self.moves, self.location, frames) if len(frames) else np.zeros((0, 3))
        return not self.connected and bool(np.abs([*keyed.ravel(), *self.location]).max() > _SMALL)

    def rotations(self, frames: np.ndarray | None) -> np.ndarray:
        """Unit quaternions [K,4] at frames, or [1,4] as the bone is posed now."""
        rows = [self.turn] if frames is None else values_at(self.turns, self.turn, frames).tolist()
        return np.array([to_quaternion(list(row), self.mode)[:] for row in rows]).reshape(-1, 4)

    def locations(self, frames: np.ndarray | None) -> np.ndarray:
        """[K,3] at frames, or [1,3] as the bone is posed now."""
        return np.array([self.location]) if frames is None else values_at(self.moves, self.location, frames)


@dataclass(frozen=True)
class PoseTracks:
    """The channels of a rig before its bones are changed: the 24 bones', and the root bone's."""

    space: RigSpace
    bones: tuple[Track, ...]
    root: Track | None

    @classmethod
    def of(cls, rig: bpy.types.Object) -> PoseTracks:
        root = root_bone(rig)
        bones = tuple(Track.of(rig, bone) for bone in pose_bones(rig))
        return cls(RigSpace.of(rig), bones, Track.of(rig, root) if root else None)

    def root_at(self, frames: np.ndarray | None) -> Base:
        """The root bone in the armature at frames, or as it is posed now."""
        if self.root is None:
            return self.space.root_at_rest(1 if frames is None else len(frames))
        rotations = self.root.rotations(frames)
        return self.space.root_of(rotations, self.root.locations(frames), len(rotations))


def convert_pose(rig: bpy.types.Object, before: PoseTracks, turn: np.ndarray) -> None:
    """Set and key bones anew after their rests have changed; turn [4]: from the old armature's axes to the new one's."""
    writer = _Writer(rig)
    after, bones = RigSpace.of(rig), pose_bones(rig)
    for bone, track, old, new in zip(
        bones[1:], before.bones[1:], before.space.frames[1:], after.frames[1:], strict=True
    ):
        back = inverse(new)

        def rotation(values: np.ndarray, old: np.ndarray = old, back: np.ndarray = back) -> np.ndarray:
            return conjugated(back, conjugated(old, values))

        def location(values: np.ndarray, old: np.ndarray = old, back: np.ndarray = back) -> np.ndarray:
            return rotated(back, rotated(old, values))

        if track.connected:  # what its location said did not count
            writer.remove(track.moves)
            bone.location = (0.0, 0.0, 0.0)
            track = Track(track.mode, track.turns, (), track.turn, (0.0, 0.0, 0.0), connected=True)
        writer.map(bone, track, rotation, location)
    _convert_base(rig, before, after, turn, writer)


def _convert_base(
    rig: bpy.types.Object, before: PoseTracks, after: RigSpace, turn: np.ndarray, writer: _Writer
) -> None:
    """The pelvis, and the root bone that there was or is now."""
    pelvis, old, root = pose_bones(rig)[0], before.bones[0], root_bone(rig)
    old_root = before.root.curves if before.root else ()
    follows = root_follows(rig)

    def base(rotation: np.ndarray, location: np.ndarray, under: Base) -> Base:
        found = before.space.pelvis_base(rotation, location, under)
        return Base(conjugated(turn, found.rotation), rotated(turn, found.place))

    if not follows and constant(old_root):
        frames = every_frame(old_root)
        still, rest = before.root_at(frames[:1] if len(frames) else None), after.root_at_rest(1)
        writer.remove(old_root)
        if root is not None:
            root.matrix_basis.identity()
        writer.map(
            pelvis,
            old,
            lambda values: after.pelvis_channels(base(values, _NOWHERE, still), rest)[0],
            lambda values: after.pelvis_channels(base(_NO_TURN, values, still), rest)[1],
        )
        return
    keyed = (*old.curves, *old_root)
    frames = every_frame(keyed)
    types = types_at(keyed, frames)
    moments = [frames, None] if len(frames) else [None]
    found = [base(old.rotations(when), old.locations(when), before.root_at(when)) for when in moments]
    writer.remove(keyed)
    for when, now in zip(moments, found, strict=True):
        under = after.root_under(now) if follows else after.root_at_rest(len(now.place))
        writer.put(pelvis, *after.pelvis_channels(now, under), when, types)
        if root is not None:
            writer.put(root, *after.root_channels(under), when, types)


class _Writer:
    """Poses and keys the bones of a rig."""

    def __init__(self, rig: bpy.types.Object) -> None:
        self._curves = Curves(rig) if curves_of(rig) else None

    def remove(self, curves: Sequence[bpy.types.FCurve | None]) -> None:
        for curve in curves:
            if curve is not None and self._curves is not None:
                self._curves.remove(curve)

    def put(
        self,
        bone: bpy.types.PoseBone,
        rotations: np.ndarray,
        locations: np.ndarray,
        frames: np.ndarray | None,
        types: np.ndarray,
    ) -> None:
        """Key rotations [K,4] and locations [K,3] at frames [K], with keys of these types; or pose the bone, for None."""
        if frames is None:
            set_rotation(bone, Quaternion(rotations[0].tolist()))
            bone.location = locations[0].tolist()
            return
        self._rotate(bone, rotations, frames, types)
        self._write(bone, "location", locations, frames, types)

    def map(self, bone: bpy.types.PoseBone, track: Track, rotation: Mapping, location: Mapping) -> None:
        """Map what a bone is posed and keyed with; both mappings are linear, and take and give [K,N]."""
        turn = rotation(track.rotations(None))[0]
        if any(track.turns):
            if track.mode == "QUATERNION" and in_step(track.turns):
                map_keys([curve for curve in track.turns if curve], rotation)
            else:
                frames = every_frame(track.turns)
                types, values = types_at(track.turns, frames), rotation(track.rotations(frames))
                self.remove(track.turns)
                self._rotate(bone, values, frames, types)
        set_rotation(bone, Quaternion(turn.tolist()))
        bone.location = location(track.locations(None))[0].tolist()
        if any(track.moves):
            if in_step(track.moves):
                map_keys([curve for curve in track.moves if curve], location)
            else:
                frames = every_frame(track.moves)
                types, values = types_at(track.moves, frames), location(track.locations(frames))
                self.remove(track.moves)
                self._write(bone, "location", values, frames, types)

    def _rotate(self, bone: bpy.types.PoseBone, values: np.ndarray, frames: np.ndarray, types: np.ndarray) -> None:
        bone.rotation_mode = "QUATERNION"
        self._write(bone, "rotation_quaternion", continuous(values), frames, types)

    def _write(
        self, bone: bpy.types.PoseBone, name: str, values: np.ndarray, frames: np.ndarray, types: np.ndarray
    ) -> None:
        assert self._curves is not None  # there are frames because there are curves
        span = int(np.floor(frames[0])), int(np.ceil(frames[-1]))
        self._curves.write(bone.path_from_id(name), values, frames, types, span, group=bone.name)
