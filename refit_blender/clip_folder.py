# SPDX-License-Identifier: GPL-3.0-or-later
"""All movies of a folder become animated bodies: the engine takes one after the other, then the scene gets them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy

from .blocking import run_job
from .engine_job import Job, Options, Summary, counted
from .errors import Cancelled, EngineMissing, EngineVersionError, RefitError, SourceError, sentence
from .export.motion_assets import motion_asset
from .motion import WHOLE, FinishedMotion, MotionTracking, Wanted, printable, video_motion
from .progress import FolderProgress, Progress
from .scene import timeline
from .scene.assemble_motion import frames_worth_a_look
from .scene.clips import body_counts, index_of, known_shown, put_into_folder, set_hidden
from .scene.footage import is_movie
from .worth_a_look import worst_frames

_SURE = 0.2
"""What part of the first clip has to be over before the time left is told: the start takes long, and says little."""
StartClip = Callable[[Path, Path], MotionTracking]
"""From a movie and a folder for its job."""
_ENGINES_PART = 0.97
"""Of the progress bar: the rest is for building. A clip of 20 seconds takes minutes to follow, a second to build."""


@dataclass
class Clip:
    """A movie of a folder, and what has become of it.

    size: bytes of the file; job: from its start on; seconds: that the engine took; problem: why there is no motion;
    worth_a_look: its least certain frames in the scene, the worst first; built: the scene got it, or could not take it.
    """

    path: Path
    size: int
    job: MotionTracking | None = None
    motion: FinishedMotion | None = None
    seconds: float = 0.0
    problem: str = ""
    worth_a_look: tuple[int, ...] = ()
    built: bool = False

    @property
    def frames(self) -> int:
        """Frames of the scene in which its bodies move."""
        return 0 if self.motion is None else 1 + self.motion.outcome.frames[1] - self.motion.outcome.frames[0]

    @property
    def name(self) -> str:
        """The file's name, as Blender can show it."""
        return printable(self.path.name)

    def sentence(self) -> str:
        """The problem with the clip's name."""
        return self.problem if self.name in self.problem else f"{self.name}: {self.problem}"

    @property
    def people(self) -> int:
        return 0 if self.motion is None else len(self.motion.outcome.bodies)


@dataclass(frozen=True)
class FinishedFolder(Summary):
    """The clips of a folder that are in the scene, and those that failed.

    clips: those that were taken, by name; total: how many the folder has; ended_by: why the others were not taken.
    """

    folder: Path
    clips: tuple[Clip, ...]
    total: int
    ended_by: RefitError | None
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many clips gave nothing, though nobody cancelled."""
        return sum(clip.motion is None for clip in self.clips)

    def summary(self) -> str:
        good = len(self.clips) - self.failed
        bodies = counted(sum(clip.people for clip in self.clips), "body", "bodies")
        cancelled = "Cancelled: " if isinstance(self.ended_by, Cancelled) else ""
        return f"{cancelled}{good} of {counted(self.total, 'clip', 'clips')}, {bodies}, from {self.folder.name} in {self.took()}"

    def files(self) -> dict[str, Path]:
        """A folder for each clip."""
        done = [(clip.path.name, clip.motion) for clip in self.clips if clip.motion is not None]
        return {f"{clip}/{name}": path for clip, motion in done for name, path in motion.files().items()}


def movies_of(folder: Path) -> list[Path]:
    """The movies of a folder by name, hidden files left out. Raises SourceError where it cannot be read."""
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in files if is_movie(path) and path.is_file()]
    except OSError as error:
        raise SourceError(f"The folder {folder} cannot be read: {error.strerror}.") from error


class FolderTracking(Job):
    """The job for all movies of a folder. What is finished when it is cancelled is kept.

    start: starts the job of a movie, in a folder of its own; it is called in the present scene. assets: mark the bodies'
    actions; update: `start` moves the bodies that are there. Raises SourceError where there is no movie.
    """

    def __init__(
        self,
        context: bpy.types.Context,
        folder: Path,
        start: StartClip,
        job_folder: Path,
        *,
        assets: bool = True,
        update: bool = False,
    ) -> None:
        movies = movies_of(folder)
        if not movies:
            raise SourceError(f"There are no movies in the folder {folder}.")
        self._source, self._start_clip, self._folder = folder, start, job_folder
        self._assets, self._update = assets, update
        self._scene = context.scene.session_uid
        self._started = self._since = time.perf_counter()
        self._clips = [Clip(path, max(path.stat().st_size, 1)) for path in movies]
        self._next = 0
        self._present: Clip | None = None
        self._ended_by: RefitError | None = None
        self._cancelled = False
        self._building = 0.0
        self._go_on()

    # -- the engine's part -------------------------------------------------------------------------------------

    @property
    def progress(self) -> FolderProgress:
        count = len(self._clips)
        if self._present is None or self._present.job is None:
            taken = [clip for clip in self._clips if clip.built or (clip.job and not clip.problem)]
            number = sum(clip.built for clip in taken)
            part = _ENGINES_PART + (1 - _ENGINES_PART) * number / max(len(taken), 1)
            return FolderProgress(
                "done", number=min(number + 1, len(taken)), count=len(taken), part=part, building=True
            )
        clip = self._present.job.progress
        good = sum(one.size for one in self._clips if one.job and one.seconds and not one.problem)
        before = sum(one.size for one in self._clips[: self._next - 1])
        now = self._present.size * clip.fraction
        return FolderProgress(
            stage=clip.stage,
            done=clip.done,
            total=clip.total,
            message=clip.message,
            number=self._next,
            count=count,
            part=_ENGINES_PART * (before + now) / self._total,
            left=self._left(good + now, self._total - before - now) if good or clip.fraction > _SURE else None,
        )

    @property
    def _total(self) -> int:
        return sum(clip.size for clip in self._clips)

    def _left(self, done: float, rest: float) -> int:
        """Seconds until the engine has taken all movies: bytes of those that it has taken, and of the rest."""
        worked = sum(one.seconds for one in self._clips if not one.problem) + time.perf_counter() - self._since
        return round(worked * rest / done)

    def poll(self) -> bool:
        if self._present is not None and self._present.job is not None and self._present.job.poll():
            self._take()
        return self._present is None

    def cancel(self) -> None:
        self._cancelled = True  # the present clip may have its answer already
        if self._present is not None and self._present.job is not None:
            self._present.job.cancel()

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Block until the engine has taken all clips. Raises nothing: `finish` does."""
        while self._present is not None and self._present.job is not None:
            with contextlib.suppress(RefitError):  # as what the clip ended is seen below
                self._present.job.wait(on_progress and (lambda _: on_progress(self.progress)))
            self._take()

    def _take(self) -> None:
        """Note how the present clip ended, and begin with the next one."""
        clip = self._present
        assert clip is not None and clip.job is not None  # it has ended
        clip.seconds = time.perf_counter() - self._since
        try:
            clip.job.check()
        except RefitError as error:
            clip.problem = sentence(error)
            no_engine = isinstance(error, EngineMissing | EngineVersionError) or not clip.job.reached_engine
            if no_engine or isinstance(error, Cancelled):
                self._ended_by = error
        self._go_on()

    def _go_on(self) -> None:
        """Begin with the next clip that can be; without one, the engine's part is over."""
        self._present = None
        if self._cancelled and self._next < len(self._clips):
            self._ended_by = Cancelled("Cancelled.")
        while self._next < len(self._clips) and self._ended_by is None and self._present is None:
            clip = self._clips[self._next]
            self._next += 1
            self._since = time.perf_counter()
            try:
                clip.job = self._start(clip.path, self._folder / f"{self._next:04d}")
                self._present = clip
            except EngineMissing as error:
                self._ended_by = error
            except (RefitError, OSError) as error:
                clip.problem = sentence(error)

    def _start(self, path: Path, folder: Path) -> MotionTracking:
        folder.mkdir()
        scene = next((one for one in bpy.data.scenes if one.session_uid == self._scene), None)
        if scene is None:
            raise SourceError("The scene was removed while the job ran.")
        with bpy.context.temp_override(scene=scene):  # the window may show another one by now
            return self._start_clip(path, folder)

    # -- the scene's part --------------------------------------------------------------------------------------

    def build_next(self, context: bpy.types.Context) -> bool:
        """Put the next clip into the scene; True when all are there."""
        clip = next((one for one in self._clips if one.job and not one.problem and not one.built), None)
        if clip is None:
            return True
        building = time.perf_counter()
        try:
            self._build(context, clip)
        except (RefitError, OSError) as error:
            clip.problem = sentence(error)
        clip.built = True
        self._building += time.perf_counter() - building
        return False

    def _build(self, context: bpy.types.Context, clip: Clip) -> None:
        scene, job = context.scene, clip.job
        assert job is not None  # its answer is here
        # Only the first clip may set the scene's rate: in the meantime, nothing moved.
        job.shot = replace(job.shot, follows=job.shot.follows and timeline.nothing_moves(scene))
        with known_shown(scene, job.updates):
            clip.motion = job.finish(context)
        outcome = clip.motion.outcome
        if not outcome.updated:
            put_into_folder(scene, outcome.collection, self._source)
        rigs = [made.rig for made in outcome.bodies]
        for rig in rigs:
            rig.animation_data.action.use_fake_user = True
            if self._assets:
                motion_asset(rig, f"Motion of “{rig.name}”, from {clip.path.name}")
        clip.worth_a_look = tuple(worst_frames(one[:2] for rig in rigs for one in frames_worth_a_look(rig)))
        set_hidden(outcome.collection, True)

    def finish(self, context: bpy.types.Context) -> FinishedFolder:
        """Put all clips that have a motion into the scene; its first one is seen. Raises a RefitError without any."""
        while not self.build_next(context):
            pass
        taken = [clip for clip in self._clips if clip.motion or (clip.problem and not _cancelled(clip, self._ended_by))]
        good = [clip for clip in taken if clip.motion]
        if not good:
            raise self._ended_by or _nothing_found(taken)
        _fill_table(context.scene, taken, update=self._update)
        messages = [clip.sentence() for clip in taken if clip.problem]
        left_out = len(self._clips) - len(taken)
        if self._ended_by is not None and not isinstance(self._ended_by, Cancelled) and left_out:
            messages.append(f"{counted(left_out, 'clip was', 'clips were')} not taken. {sentence(self._ended_by)}")
        return FinishedFolder(
            folder=self._source.absolute(),
            clips=tuple(taken),
            total=len(self._clips),
            ended_by=self._ended_by,
            device=good[0].motion.device if good[0].motion else "",
            seconds={"building the bodies": self._building, "click to body": time.perf_counter() - self._started},
            messages=tuple(messages),
        )


def _cancelled(clip: Clip, ended_by: RefitError | None) -> bool:
    return isinstance(ended_by, Cancelled) and clip.problem == sentence(ended_by)


def _nothing_found(failed: Sequence[Clip]) -> RefitError:
    """What to say where every clip failed."""
    first = failed[0].sentence()
    return RefitError(first if len(failed) == 1 else f"All {len(failed)} clips failed. {first}")


def _fill_table(scene: bpy.types.Scene, clips: Sequence[Clip], *, update: bool) -> None:
    """Write clips into the scene's table: into the rows that they have, or new ones below; show the first that moves.

    update: a clip that failed has the row of the bodies that it should have moved. Rows of clips that failed before, and
    of those that were deleted, are removed.
    """
    table, rows = scene.refit.clips, dict[int, int]()
    for number, clip in enumerate(clips):
        index = _row_index(scene, clip, update=update)
        if index is not None and index not in rows.values():
            rows[number] = index
    gone = [index for index, bodies in enumerate(body_counts(scene)) if not bodies and index not in rows.values()]
    for number, clip in enumerate(clips):
        _fill_row(table[rows[number]] if number in rows else table.add(), clip)
    for index in reversed(gone):
        table.remove(index)
    moved = {clip.motion.outcome.collection for clip in clips if clip.motion}
    scene.refit.clip_index = next(index for index, row in enumerate(table) if row.collection in moved)


def _row_index(scene: bpy.types.Scene, clip: Clip, *, update: bool) -> int | None:
    """Which row of the table a clip has; None where it has none yet."""
    rows = list(enumerate(scene.refit.clips))
    if clip.motion is not None:
        moved = clip.motion.outcome.collection
        same = next((index for index, row in rows if row.collection == moved), None)
    else:
        same = index_of(scene, str(clip.path.absolute())) if update else None
    failed = next((index for index, row in rows if row.collection is None and row.name == clip.name), None)
    return failed if same is None else same


def _fill_row(row: bpy.types.PropertyGroup, clip: Clip) -> None:
    """Write what has become of a clip; where an update failed, the rest still says what the bodies are."""
    row.name, row.failed = clip.name, clip.motion is None
    if clip.motion is None:
        row.note = clip.problem if row.collection is None else f"Not updated: {clip.problem}"
        return
    row.collection, row.note = clip.motion.outcome.collection, " ".join(clip.motion.messages)
    row.frames, row.seconds = clip.frames, clip.seconds
    row.worth_a_look = ", ".join(map(str, clip.worth_a_look))


def reconstruct_folder(
    folder: str | Path,
    options: Options = Options(),
    *,
    wanted: Wanted = WHOLE,
    focal: float | None = None,
    update: bool = False,
    assets: bool = True,
    keep: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> FinishedFolder:
    """Follow the people of all movies in a folder: for each movie, a collection with animated bodies and a camera.

    One clip is seen, the others are hidden; `scene.refit.clips` lists them. A clip that fails is named in `messages` of
    the result, and the others go on. wanted: which frames of every clip; focal: pixels; update: replace the motions of
    clips that are in the scene. assets: mark the bodies' actions as assets, with pictures. keep: a folder in which every
    clip gets one for `motion.npz` and `overlay.mp4`.
    Blocks. Raises a RefitError, whose message is one sentence, where no clip gives a motion; the scene is as before then.
    """
    options = replace(options, overlay=options.overlay or keep is not None)

    if options.boxes is not None:
        raise SourceError("A box belongs to one video: take all people of a folder's clips, or the largest.")
    if keep is not None and any((Path(keep) / movie.name).is_file() for movie in movies_of(Path(folder))):
        raise SourceError(f"Results cannot be kept in {keep}: files there have the names of their folders.")

    def start(path: Path, clip_folder: Path) -> MotionTracking:
        return video_motion(bpy.context, path, options, clip_folder, wanted=wanted, focal=focal, update=update)

    def job(job_folder: Path) -> FolderTracking:
        return FolderTracking(bpy.context, Path(folder), start, job_folder, assets=assets, update=update)

    return run_job(job, keep, on_progress)
