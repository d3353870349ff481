# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion file in AMASS' layout becomes an animated body: the engine names the body's file, everything else is here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy
import numpy as np

from .contract import Gender
from .engine_job import EngineJob, Options, Summary, counted
from .errors import ResultFileError
from .export.amass import MAX_FRAMES, SmplMotion, read_amass
from .motion_keys import frames_between, keys_at
from .motion_results import SEEN
from .results import BETAS, Body, read_body
from .scene import cameras, timeline
from .scene.animation import write_poses
from .scene.assemble import leave_edit_mode, nothing_left_on_error, select_bodies
from .scene.body import BodyObjects, Pose, build_body, note
from .scene.names import stem_of

_FEET = (10, 11)
_ON_FLOOR = 0.02
"""The share of frames in which feet may be below the floor: contacts of captured motions are not exact."""


@dataclass(frozen=True)
class FinishedImport(Summary):
    """A motion that is in the scene. frames: the first and the last; seconds: per stage; messages: remarks."""

    body: BodyObjects
    frames: tuple[int, int]
    source: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        first, last = self.frames
        count = counted(last - first + 1, "frame", "frames")
        return f"“{self.body.rig.name}” moving from frame {first} to {last} ({count}), from {self.source}"

    def files(self) -> dict[str, Path]:
        return {}


class MotionImport(EngineJob):
    """The job. gender: by default the file's; start: the frame of the scene that shows the motion's first.

    Raises ResultFileError for a bad file.
    """

    def __init__(
        self, path: Path, options: Options, folder: Path, *, gender: Gender | None = None, start: int = 1
    ) -> None:
        self._path, self._start, self._motion = path, start, read_amass(path)
        seconds = len(self._motion.transl) / self._motion.rate
        if seconds * timeline.rate_of(bpy.context.scene) > MAX_FRAMES:
            raise ResultFileError(
                f"{path.name} is {seconds:.3g} seconds long: more than {MAX_FRAMES} frames of the scene."
            )
        options = replace(options, gender=gender or self._motion.gender)
        self._style, self._kind = options.rig_style, options.body_kind
        zero = [0.0] * BETAS
        parameters = {name: value for name, value in options.parameters().items() if name in ("body", "gender")}
        # The mean of known shapes needs no picture, and comes with the body's file.
        super().__init__("fit_shape", {**parameters, "shapes": [zero, zero]}, folder)

    def finish(self, context: bpy.types.Context) -> FinishedImport:
        answer = self._answer()
        building = time.perf_counter()
        file = answer.path("body_file")
        body, motion = read_body(file), self._motion
        messages = list(answer.messages())
        if motion.kind == self._kind:
            betas, transl = motion.betas, motion.transl
        else:
            betas = np.zeros(BETAS)
            transl = _on_floor(motion, body, betas)
            messages.append("The file's shape is that of another body model: the mean shape moves, set on the floor.")
        made, frames = self._assemble(context, body, betas, transl)
        note(made.rig, betas=betas.tolist(), body_file=str(file), body_kind=self._kind, video=self._path.name)
        return FinishedImport(
            body=made,
            frames=frames,
            source=self._path.name,
            seconds={**answer.seconds(), **self._times(building)},
            messages=tuple(messages),
        )

    def _assemble(
        self, context: bpy.types.Context, body: Body, betas: np.ndarray, transl: np.ndarray
    ) -> tuple[BodyObjects, tuple[int, int]]:
        """Make the body with its motion at the scene's rate. On any error the scene is left as it was."""
        leave_edit_mode(context)
        scene, motion = context.scene, self._motion
        unit = cameras.metres_per_unit(scene)
        positions = self._start + np.arange(len(transl)) / motion.rate * timeline.rate_of(scene)
        frames = frames_between(positions)
        span = int(frames[0]), int(frames[-1])
        pelvis, nothing = body.joints(betas)[0] + transl, np.zeros((len(transl), 0))
        state = np.full(len(transl), SEEN)
        keys = keys_at(frames, positions, motion.rotmats, pelvis, state, nothing, nothing)
        ground = np.array([*pelvis[0, :2], 0.0])
        with nothing_left_on_error():
            collection = bpy.data.collections.new(f"ReFit {stem_of(self._path.stem)}")
            scene.collection.children.link(collection)
            pose = Pose(betas, motion.rotmats[0], transl[0], np.eye(4), ground, unit)
            made = build_body(stem_of(self._path.stem), body, pose, collection, self._style)
            write_poses(made.rig, keys, span, unit)
        timeline.suit(scene, None, span)
        select_bodies(context, [made.rig])
        return made, span


def _on_floor(motion: SmplMotion, body: Body, betas: np.ndarray) -> np.ndarray:
    """transl [K,3] with which another body than the file's has its feet on Z = 0."""
    rest = body.joints(betas)
    places, turns = [rest[0] + motion.transl], [motion.rotmats[:, 0]]
    for joint, parent in list(enumerate(body.parents))[1:]:
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
        turns.append(turns[parent] @ motion.rotmats[:, joint])
    soles = rest[_FEET, 1].min() - float((body.v_template + body.shapedirs @ betas)[:, 1].min())
    lowest = np.min([places[joint][:, 2] for joint in _FEET], axis=0) - soles
    return motion.transl - [0.0, 0.0, float(np.quantile(lowest, _ON_FLOOR))]
