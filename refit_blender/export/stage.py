# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of its own for an export, which is gone afterwards: the user's scene, selection, mode and frame stay."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import bpy
import numpy as np

from ..scene.confidence import SPREAD
from ..scene.keyed_values import keyed_values, restore_values
from ..scene.names import with_ending
from ..scene.rigs import ROOT, bone_names
from ..scene.skeletons import placement_of
from .skeleton import Posed, Skeleton, rigid

Block = TypeVar("Block", bound=bpy.types.ID)


class Stage:
    """A scene with nothing in it but what is put there; what is made is kept in `made` and deleted in the end."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        self.scene = scene
        self.made: list[bpy.types.ID] = []
        self._named: list[bpy.types.ID] = []
        self._renamed: list[tuple[bpy.types.ID, str]] = []

    def keep(self, block: Block) -> Block:
        """Have a block deleted in the end."""
        self.made.append(block)
        return block

    def add(self, name: str, data: bpy.types.ID | None) -> bpy.types.Object:
        """A new object in the scene."""
        item = self.keep(bpy.data.objects.new(name, data))
        self.scene.collection.objects.link(item)
        return item

    def call_it(self, block: bpy.types.ID, blocks: Any, name: str) -> None:
        """Give a new block of a kind (`bpy.data.…`) this very name, which its present owner gets back in the end.

        Where another block of the stage was given it before, the new one gets a number behind it.
        """
        owner = blocks.get((name, None))
        if owner is not None and owner != block and owner not in self._named:
            if owner not in self.made:  # else it is gone in the end
                self._renamed.append((owner, name))
            owner.name = with_ending(name, " (meanwhile)")
        block.name = name
        self._named.append(block)

    def call(self, operator: str, active: bpy.types.Object, options: Mapping[str, Any]) -> None:
        """Run an operator in this scene. Raises RuntimeError as operators do."""
        category, name = operator.split(".")
        layer = self.scene.view_layers[0]
        layer.objects.active = active
        with contextlib.ExitStack() as context:
            if bpy.context.window is None:  # in a timer; together with a window, no other scene than its own can be set
                context.enter_context(bpy.context.temp_override(window=_window()))
            context.enter_context(
                bpy.context.temp_override(scene=self.scene, view_layer=layer, active_object=active, object=active)
            )
            getattr(getattr(bpy.ops, category), name)(**options)

    def close(self) -> None:
        bpy.data.batch_remove(self.made)
        bpy.data.scenes.remove(self.scene)
        for owner, name in reversed(self._renamed):
            owner.name = name


@contextlib.contextmanager
def stage(like: bpy.types.Scene) -> Generator[Stage, None, None]:
    """An empty scene with the rate of another; it and all that was made for it are deleted in the end."""
    made = Stage(bpy.data.scenes.new("ReFit export"))
    render = made.scene.render
    render.fps, render.fps_base = like.render.fps, like.render.fps_base
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def values_kept() -> Generator[None, None, None]:
    """Keep the window's scene and values that differ from their keys: the glTF exporter shows its scene in the window.

    When the window comes back to the user's scene, Blender evaluates all keys, and a pose without keys would be lost.
    """
    window = _window()
    scene = window.scene
    values = keyed_values(scene)
    try:
        yield
    finally:
        if window.scene != scene:
            window.scene = scene
            window.view_layer.update()
            restore_values(values)
            window.view_layer.update()


def _window() -> bpy.types.Window:
    """The window in which the user works; Blender has one in the background, too."""
    return bpy.context.window or bpy.context.window_manager.windows[0]


def double_of(place: Stage, rig: bpy.types.Object) -> bpy.types.Object:
    """A copy of a rig in the stage's scene that does what the rig does."""
    double = place.keep(rig.copy())
    double.data = place.keep(rig.data.copy())
    double.data.pose_position = "POSE"
    double.hide_viewport = False
    double.pop(SPREAD, None)  # or its bones would be coloured at every frame
    place.scene.collection.objects.link(double)
    return double


def sample(place: Stage, rig: bpy.types.Object, frames: Sequence[int], unit: float) -> tuple[Skeleton, Posed]:
    """A rig's skeleton, and where it is at frames [K]; unit: metres of a scene's.

    Not the rig is moved but a copy of it, with what it depends on. Rest matrices and lengths are in the armature's
    units. Raises SourceError where a joint's bone is missing, or the rig is stretched or mirrored.
    """
    skeleton, double = skeleton_of(rig), double_of(place, rig)
    layer = place.scene.view_layers[0]
    world = np.empty((len(frames), len(skeleton.names), 4, 4))
    placement = np.empty((len(frames), 4, 4))
    for row, frame in enumerate(frames):
        place.scene.frame_set(frame)
        posed = double.evaluated_get(layer.depsgraph)
        placement[row] = np.array(posed.matrix_world)
        placement_of(rig, placement[row])  # raises
        world[row] = [np.array(posed.matrix_world @ posed.pose.bones[name].matrix) for name in skeleton.names]
    place.scene.collection.objects.unlink(double)
    for matrices in (world, placement):
        matrices[..., :3, 3] *= unit
    return skeleton, Posed(rigid(world), rigid(placement))


def sample_object(place: Stage, item: bpy.types.Object, frames: Sequence[int], unit: float) -> np.ndarray:
    """Where an object is in the world at frames [K]: [K,4,4], its place in metres."""
    double = place.keep(item.copy())
    place.scene.collection.objects.link(double)
    world = np.empty((len(frames), 4, 4))
    for row, frame in enumerate(frames):
        place.scene.frame_set(frame)
        world[row] = np.array(double.evaluated_get(place.scene.view_layers[0].depsgraph).matrix_world)
    place.scene.collection.objects.unlink(double)
    world[:, :3, 3] *= unit
    return world


def skeleton_of(rig: bpy.types.Object) -> Skeleton:
    """The joints' bones, the root bone where there is one, and bones that a user added for the skin.

    Controls, such as those of inverse kinematics, are left out. Raises SourceError where a joint's bone is missing.
    """
    wanted = {*bone_names(rig), ROOT}
    bones = [bone for bone in rig.data.bones if bone.name in wanted or bone.use_deform]
    bones.sort(key=lambda bone: len(bone.parent_recursive))
    names = [bone.name for bone in bones]
    above = [next((one.name for one in bone.parent_recursive if one.name in names), None) for bone in bones]
    return Skeleton(
        names=tuple(names),
        parents=tuple(-1 if name is None else names.index(name) for name in above),
        rest=rigid(np.array([np.array(bone.matrix_local) for bone in bones])),
        lengths=np.array([bone.length for bone in bones]),
    )
