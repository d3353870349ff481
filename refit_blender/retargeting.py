# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting: the pose or the motion of a reconstructed body, baked onto another armature."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import bpy

from .engine import user_folder
from .errors import SourceError
from .retarget import maps
from .retarget.rest import rest_of
from .retarget.transfer import DEFAULTS, Options, SourceMotion, TargetMotion, transfer
from .scene import baking, skeletons
from .scene.baking import Keys, Target
from .scene.body import is_rig
from .scene.names import joined

Result = TypeVar("Result")


@dataclass(frozen=True)
class Retargeted:
    """What a target got: a new action, over how many frames; kept: the name of its earlier action."""

    target: bpy.types.Object
    action: bpy.types.Action
    frames: int
    kept: str

    def summary(self) -> str:
        span = "the pose" if self.frames == 1 else f"{self.frames} frames"
        text = f"“{self.target.name}” has {span} in the new action “{self.action.name}”."
        return f"{text} Its action “{self.kept}” is kept." if self.kept else text


Steps = Generator[float, None, Retargeted]
"""Yields the share that is done; closing it early leaves everything as it was."""


def retarget(
    body: str,
    target: str,
    bones: Mapping[str, str] | None = None,
    *,
    preset: str | Path | None = None,
    options: Options = DEFAULTS,
    pose_only: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Retargeted:
    """Bake a ReFit body's action, or with `pose_only` its pose, onto another armature, into a new action.

    body, target: names of armature objects of the current scene; bones: the target's bone for each part of the body, or
    preset: a file with them; by default they are found. on_progress gets the share that is done.
    Raises SourceError; the scene is as before then.
    """
    source, armature = _armature(body), _armature(target)
    if bones is None:
        bones = maps.read_preset(Path(preset)) if preset else maps.find_map(skeletons.skeleton_of(armature)).bones
    steps = retarget_steps(bpy.context, source, armature, bones, options, pose_only=pose_only)
    return run(steps, on_progress)


def _armature(name: str) -> bpy.types.Object:
    found = bpy.context.scene.objects.get(name)
    if found is None or found.type != "ARMATURE":
        raise SourceError(f"The scene has no armature “{name}”.")
    return found


def retarget_steps(
    context: bpy.types.Context,
    body: bpy.types.Object,
    armature: bpy.types.Object,
    bones: Mapping[str, str],
    options: Options = DEFAULTS,
    *,
    pose_only: bool = False,
) -> Steps:
    """Bake a body's action, or with `pose_only` the pose that it is in, onto an armature by its bone map.

    Raises SourceError; the scene is as before then.
    """
    target = _target(body, armature, bones)
    if pose_only:
        source = skeletons.read_pose(context.scene, body)
    else:
        source = yield from _read(context.scene, body)
    placement = skeletons.placement_of(armature)
    rest = rest_of(target.skeleton, target.bones, placement.scale)
    motion = transfer(source, rest, target.bones, placement, options)
    switches = baking.known_switches(armature, maps.switches_for(target.bones.values()))
    keys = yield from _keys(target, motion, switches)
    animation = armature.animation_data
    kept = animation.action.name if animation and animation.action else ""
    action = baking.write_action(target, keys, source.frames, joined(body.name, " on ", armature.name), switches)
    context.view_layer.update()
    yield 1.0
    return Retargeted(armature, action, len(source.frames), kept)


def run(steps: Steps, on_progress: Callable[[float], None] | None = None) -> Retargeted:
    """Go through all steps."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        if on_progress:
            on_progress(share)


def preset_folder() -> Path:
    """Where the user's bone maps are kept."""
    return user_folder("bone_maps")


def presets() -> list[Path]:
    """The user's bone maps."""
    return sorted(preset_folder().glob("*.json"))


def _target(body: bpy.types.Object, armature: bpy.types.Object, bones: Mapping[str, str]) -> Target:
    if not is_rig(body):
        raise SourceError(f"“{body.name}” is no reconstructed body.")
    if armature.type != "ARMATURE":
        raise SourceError(f"“{armature.name}” is no armature.")
    if armature == body:
        raise SourceError("A body cannot get its own motion: choose another armature.")
    if armature.library:
        raise SourceError(f"“{armature.name}” is linked from another file: make a library override of it first.")
    for one in (body, armature):
        if one.name not in bpy.context.view_layer.objects or one.hide_viewport:
            raise SourceError(f"“{one.name}” is switched off in the viewport: switch it on first.")
        if one.data.pose_position == "REST":
            raise SourceError(f"“{one.name}” shows its rest position: switch it to Pose Position first.")
        if one.mode == "EDIT":
            raise SourceError(f"“{one.name}” is in Edit mode: leave that first.")
    animation = armature.animation_data
    if animation and animation.use_tweak_mode:
        raise SourceError(f"A strip of “{armature.name}” is being tweaked: leave tweak mode first.")
    skeleton = skeletons.skeleton_of(armature)
    maps.check(bones, skeleton)
    return Target(armature, skeleton, dict(bones), rest_of(skeleton, bones, 1.0))


def _read(scene: bpy.types.Scene, body: bpy.types.Object) -> Generator[float, None, SourceMotion]:
    """The first half of the work."""
    frames = skeletons.keyed_frames(body)
    reading = skeletons.read_motion(scene, body, frames)
    return (yield from _shares(reading, 0.0, 0.5 / len(frames)))


def _keys(target: Target, motion: TargetMotion, switches: list[tuple[str, str, float]]) -> Generator[float, None, Keys]:
    """The second half of the work."""
    if not switches and baking.is_plain(target):
        return baking.plain_keys(target, motion)
    with baking.kept_pose(target.armature, switches):
        solving = baking.evaluated_keys(target, motion)
        return (yield from _shares(solving, 0.5, 0.5 / len(motion.center)))


def _shares(steps: Generator[int, None, Result], start: float, each: float) -> Generator[float, None, Result]:
    """The same steps, which yield the share that is done instead of a count."""
    with contextlib.closing(steps):
        while True:
            try:
                count = next(steps)
            except StopIteration as end:
                return end.value
            yield start + count * each
