# SPDX-License-Identifier: GPL-3.0-or-later
"""From moving pictures to animated bodies: ask the engine, wait in whatever way fits, then build."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from .engine_job import EngineJob, Options, Summary, counted
from .errors import EngineProtocolError, SourceError
from .kept_work import kept_work_parameters
from .motion_results import MotionResult, read_motion
from .progress import MotionProgress, Progress
from .results import read_body
from .scene import timeline
from .scene.assemble_motion import MotionOutcome, Shot, assemble_motion, known_motion
from .scene.body import current_betas
from .scene.footage import file_footage
from .scene.moving_views import MovingView, read_moving_views
from .scene.reconstructions import numbered
from .scene.updating import check_movable

_TELLING = 8
"""Frames of a stage after which its speed is told: the first ones are slow."""
_SENT = frozenset("people body gender weights betas height device overlay".split())


@dataclass(frozen=True)
class Wanted:
    """Which frames and whom. low, high: the first and the last frame of the first video, high None to its end; step.

    box_frame: the frame of the first video that `Options.boxes` belong to.
    """

    low: int = 0
    high: int | None = None
    step: int = 1
    box_frame: int | None = None

    def text(self) -> str:
        """As the engine wants it."""
        return f"{self.low}:{'' if self.high is None else self.high + 1}:{self.step}"


WHOLE = Wanted()


@dataclass(frozen=True)
class FinishedMotion(Summary):
    """A motion that is in the scene.

    npz, overlays (one for each video, if wanted): the engine's files, there as long as the job's folder; seconds: per
    stage; messages: remarks.
    """

    outcome: MotionOutcome
    result: MotionResult
    source: str
    npz: Path
    overlays: tuple[Path, ...]
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        outcome = self.outcome
        bodies = counted(len(outcome.bodies), "body", "bodies")
        first, last = outcome.frames
        filled = f", {counted(outcome.filled, 'frame', 'frames')} filled in" if outcome.filled else ""
        verb = "moved" if outcome.updated else "moving"
        return f"{bodies} {verb} from frame {first} to {last}{filled}, from {self.source} in {self.took()}"

    def files(self) -> dict[str, Path]:
        return {path.name: path for path in (self.npz, *self.overlays)}


class MotionTracking(EngineJob):
    """The job for one video, or for those of several cameras.

    views: the scene's cameras, none where the video's camera is not in the scene. update: replace the frames of bodies
    that the same footage, or these cameras, gave before.
    """

    def __init__(
        self,
        context: bpy.types.Context,
        shot: Shot,
        wanted: Wanted,
        options: Options,
        folder: Path,
        *,
        views: Sequence[MovingView] = (),
        focal: float | None = None,
        update: bool = False,
    ) -> None:
        self.shot, self._style = shot, options.rig_style
        self._stage, self._since = "", time.perf_counter()
        self._first_done = 0
        self._shown: MotionProgress | None = None
        known = known_motion(context.scene, shot, options.body_kind) if update else None
        self._number = known.number if known else None
        if known:
            check_movable(*known.bodies.values())
            if not shot.cameras and known.K is not None:
                focal = float(known.K[0, 0])
            if len(known.bodies) == 1 and wanted.high is not None:
                (rig,) = known.bodies.values()
                options = replace(options, betas=current_betas(rig).tolist(), height=None)
        super().__init__("track", _parameters(shot, wanted, options, views, focal), folder)

    @property
    def updates(self) -> int | None:
        """The number of the reconstruction whose bodies are updated; None where new ones are made."""
        return self._number

    def finish(self, context: bpy.types.Context) -> FinishedMotion:
        answer = self._answer()
        building = time.perf_counter()
        npz, overlays = answer.file("npz"), answer.files("overlays")
        device, seconds, messages = answer.text("device"), answer.seconds(), answer.messages()
        result = read_motion(npz)
        if len(result.views) != max(len(self.shot.cameras), 1):
            raise EngineProtocolError("The engine's result is not about these videos.")
        body = read_body(result.body_file)
        known = None
        if self._number is not None:
            known = numbered(context.scene, self._number)
            if known is None or not known.bodies:
                raise SourceError("The bodies were removed while the job ran.")
        missing = [name for name in self.shot.cameras if name not in context.scene.objects]
        if missing:
            raise SourceError(f"Camera “{missing[0]}” was removed while the job ran.")
        outcome = assemble_motion(context, self.shot, result, body, self._style, known)
        return FinishedMotion(
            outcome=outcome,
            result=result,
            source=", ".join(self.shot.cameras) or self.shot.footage.path.name,
            npz=npz,
            overlays=overlays,
            device=device,
            seconds={**seconds, **self._times(building)},
            messages=(*messages, *outcome.remarks),
        )

    def _counted(self, progress: Progress) -> Progress:
        """With the speed of the present stage."""
        now = time.perf_counter()
        if progress.stage != self._stage:
            self._stage, self._since, self._first_done = progress.stage, now, progress.done
        known = self._shown
        if known and (known.stage, known.done, known.total) == (progress.stage, progress.done, progress.total):
            return known
        done, seconds = progress.done - self._first_done, now - self._since
        rate = done / seconds if done >= _TELLING and seconds > 1.0 else 0.0
        self._shown = MotionProgress(progress.stage, progress.done, progress.total, progress.message, rate=rate)
        return self._shown


def _parameters(
    shot: Shot, wanted: Wanted, options: Options, views: Sequence[MovingView], focal: float | None
) -> dict[str, Any]:
    """A call of `track`. Raises SourceError where the boxes are not one."""
    given = options.parameters()
    parameters: dict[str, Any] = {name: value for name, value in given.items() if name in _SENT}
    if options.boxes is not None:
        if len(options.boxes) != 1:
            raise SourceError("A motion follows everybody, the largest person, or the one in a single box.")
        parameters["bbox_xywh"] = list(options.boxes[0])
        parameters["bbox_frame"] = wanted.low if wanted.box_frame is None else wanted.box_frame
    if views:
        videos = [view.parameters() for view in views]
    else:
        footage = shot.footage
        videos = [
            {
                "video": str(footage.path.absolute()),
                "name": shot.name,
                "rate": footage.rate if footage.numbered else None,
                "focal": focal,
            }
        ]
    return {**parameters, "videos": videos, "frames": wanted.text(), **kept_work_parameters()}


def video_motion(
    context: bpy.types.Context,
    path: Path,
    options: Options,
    folder: Path,
    *,
    start: int = 1,
    span: tuple[int, int] | None = None,
    wanted: Wanted | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    update: bool = False,
) -> MotionTracking:
    """Start the job for a movie, or for numbered pictures, whose frame 0 is shown at frame `start` of the scene.

    span: only what the scene shows from which to which of its frames; or wanted: frames of the video. A box belongs to the
    scene's current frame, unless `wanted` says more. focal: pixels; focal_mm: on a sensor whose longer side is 36 mm. Raises SourceError.
    """
    if not path.name:
        raise SourceError("No video is chosen.")
    if printable(str(path.absolute())) != str(path.absolute()):
        raise SourceError(f"The name of {printable(str(path))} is not in UTF-8, as Blender needs it: rename it.")
    scene = context.scene
    footage = file_footage(path, start, timeline.rate_of(scene))
    shot = Shot(path.stem, footage, by_number=False, follows=timeline.nothing_moves(scene))
    if focal is None and focal_mm is not None:
        if footage.size is None:
            raise SourceError(f"Blender cannot read {path.name}, so that the lens cannot be given in millimetres.")
        focal = focal_mm * max(footage.size) / 36
    of_scene, speed = wanted is None, timeline.speed_of(scene, footage)
    if span is not None:
        wanted = Wanted(*footage.between(*(start + round((frame - start) * speed) for frame in span)))
    if options.boxes is not None and of_scene:
        wanted = replace(wanted or WHOLE, box_frame=timeline.video_frame(scene, path, start, scene.frame_current))
    return MotionTracking(context, shot, wanted or WHOLE, options, folder, focal=focal, update=update)


def printable(name: str) -> str:
    """The name of a file in UTF-8, with a question mark in place of what is not."""
    return name.encode(errors="replace").decode()


def cameras_motion(
    context: bpy.types.Context,
    name: str,
    cameras: Sequence[bpy.types.Object],
    options: Options,
    folder: Path,
    *,
    span: tuple[int, int] | None = None,
    step: int = 1,
    update: bool = False,
) -> MotionTracking:
    """Start the job for cameras of the scene, one or several, with the movies behind them.

    They are read at every frame from which to which of the scene is given by `span`, by default all of the first
    camera's video. Raises SourceError.
    """
    moving = read_moving_views(context, cameras, span, step)
    first = moving.views[0].footage
    shot = Shot(name, first, by_number=True, cameras=tuple(view.name for view in moving.views))
    wanted = Wanted(moving.low, moving.high, step)
    if options.boxes is not None:
        wanted = replace(wanted, box_frame=context.scene.frame_current - first.start)
    return MotionTracking(context, shot, wanted, options, folder, views=moving.views, update=update)
