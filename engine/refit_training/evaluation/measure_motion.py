# SPDX-License-Identifier: GPL-3.0-or-later
"""How near solved motions come to the truth, beside each frame's own fit and that fit after low-pass filters.

    python -m refit_training.evaluation.measure_motion CLIP [CLIP ...]

CLIP is a folder of `refit_training.render.clips`. Prints a table for the first camera of each clip and one for all its cameras; what the
columns are is said in `motion_measures.Errors`. Frame by frame is one camera with T = 5, all cameras with T = 10. Then: the part of frames
within two standard deviations, of hidden frames too; the largest step of a joint beside a hidden part, over the usual one; how far the lowest
vertex is below the floor that was found; how often people were exchanged. At the end, means over the clips.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from refit_engine.fitting import FitOptions, Models
from refit_engine.fitting.height import standing_height
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.motion import MotionFitter, MotionRequest
from refit_engine.fitting.motion.frame_fit import Record
from refit_engine.fitting.motion.observer import box_around
from refit_engine.fitting.motion.output import vertices_at
from refit_engine.fitting.motion.people import Observed
from refit_engine.fitting.multiview.fit import fit_person
from refit_engine.fitting.multiview.views import View
from refit_engine.fitting.single import Fitter
from refit_engine.gravity import Up
from refit_engine.motion_params import read_videos
from refit_engine.motion_results import ABSENT, MotionResult
from refit_engine.moving_pictures import open_footage

from .motion_measures import (
    HEADER,
    WIDTHS,
    Errors,
    best_filter,
    errors_of,
    exchanges,
    largest_step,
    rays,
    smoothed,
    within,
)

ALONE, SOLVED, KNOWN, TILTED = "frame by frame", "solved", "solved, height known", "solved, up off"
OFF_DEG = 3.0
"""By how much up is off in one row, about both axes: more than straight lines are, less than bodies alone."""


class Clip:
    """A rendered clip with its truth, and what the engine sees in it."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.folder, self.models = folder, models
        with np.load(folder / "truth.npz") as archive:
            self.truth, self.betas, self.hidden = archive["joints"], archive["betas"], archive["hidden"]
            self.rate = 1 / float(np.median(np.diff(archive["times"])))
        self.observed = MotionFitter(models, FitOptions()).observe_videos(
            MotionRequest(read_videos(folder / "views.json"))
        )
        first = self.observed.views[0]
        self.rays = rays(self.truth[0], first.R, first.t)

    def seen_by(self, cameras: int) -> Observed:
        """What the first cameras alone see."""
        records = {key: one for key, one in self.observed.records.items() if key[0] < cameras}
        return self.observed._replace(views=self.observed.views[:cameras], records=records)

    def solved(self, cameras: int, height: float | None = None, up: Up | None = None) -> MotionResult:
        """up: what is known of the world's, instead of all."""
        options = FitOptions(people="all" if len(self.truth) > 1 else "largest", height=height)
        return MotionFitter(self.models, options).result(self.seen_by(cameras), up)

    def first(self, motion: MotionResult) -> int:
        """The number of the solved person who is the true first one."""
        return int(np.nanmean(np.linalg.norm(motion.joints_world - self.truth[:1], axis=-1), axis=(1, 2)).argmin())

    def errors(self, joints: np.ndarray, there: np.ndarray) -> Errors:
        """Of joints [F,24,3] of the first person in the frames [F] in which somebody is there."""
        return errors_of(joints[there], self.truth[0, there], self.rate, self.rays[there])

    def frame_by_frame(self, cameras: int) -> np.ndarray:
        """Joints [F,24,3], world frame, of the first person; frames without are filled along straight lines."""
        views = self.observed.views[:cameras]
        one = Fitter(self.models, FitOptions(iterations=5, confidence=False))
        together = FitJob(self.models, FitOptions(iterations=10, confidence=False))
        records = [self._record(number) for number in range(cameras)]
        movies = [open_footage(view.pictures.footage.path).read(range(self.truth.shape[1])) for view in views]
        joints = np.full(self.truth.shape[1:], np.nan)
        for frame, pictures in enumerate(zip(*movies, strict=True)):
            there = [n for n, record in enumerate(records) if frame in record.frames]
            boxes = [box_around(records[n].landmarks[records[n].frames.index(frame)][:, :2]) for n in there]
            seen = [
                View(views[n].name, pictures[n][1], views[n].intrinsics[frame], views[n].R[frame], views[n].t[frame])
                for n in there
            ]
            if cameras == 1 and there:
                own = one.fit(seen[0].pixels, boxes[0][None], seen[0].intrinsics).joints[0]
                joints[frame] = (own - seen[0].t) @ seen[0].R
            elif there:
                joints[frame] = fit_person(together, seen, np.array(boxes)).joints[0]
        return _filled(joints)

    def _record(self, view: int) -> Record:
        """What a camera saw of the first person: of the track whose shoulders are nearest to the true ones."""
        camera = self.observed.views[view]

        def apart(record: Record) -> float:
            true = np.array([self.truth[0, n, 16:18] @ camera.R[n].T + camera.t[n] for n in record.frames])
            K = camera.intrinsics[0]
            pixels = true[..., :2] / true[..., 2:] * K.focal + K.principal
            shoulders = np.array(record.landmarks)[:, 11:13, :2]
            return float(np.median(np.linalg.norm(pixels - shoulders, axis=-1))) - len(record.frames)

        return min((one for key, one in self.observed.records.items() if key[0] == view), key=apart)


def _filled(joints: np.ndarray) -> np.ndarray:
    known, flat = np.flatnonzero(np.isfinite(joints[:, 0, 0])), joints.reshape(len(joints), -1)
    columns = [np.interp(np.arange(len(joints)), known, flat[known, column]) for column in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(joints.shape)


def below_floor(motion: MotionResult, person: int, models: Models) -> float:
    """Centimetres by which the lowest vertex is below the floor that was found, the 95th percentile over frames."""
    body = MotionFitter(models, FitOptions()).subject().result_body
    depths = []
    for instant in np.flatnonzero(motion.state[person] != ABSENT):
        there = np.flatnonzero(motion.state[:, instant] != ABSENT).tolist().index(person)
        vertices = vertices_at(motion, int(instant), body)[there]
        depths.append(motion.floor - float((vertices @ motion.up_world).min()))
    return 100 * float(np.percentile(np.maximum(depths, 0), 95))


def unsure_up() -> Up:
    """Z, turned about X and about Y, as a video without a camera from a scene may tell it."""
    slope = np.tan(np.radians(OFF_DEG))
    direction = np.array([slope, slope, 1.0])
    return Up(direction / np.linalg.norm(direction), "lines", OFF_DEG, False)


def rows_of(clip: Clip, cameras: int) -> dict[str, Errors]:
    """Print the table of a clip seen by its first cameras; its rows by name."""
    motion = clip.solved(cameras)
    person = clip.first(motion)
    there = motion.state[person] != ABSENT
    joints = motion.joints_world[person].astype(np.float64)
    alone = clip.frame_by_frame(cameras)
    rows = {ALONE: clip.errors(alone, there)}
    filtered = {f"Gaussian of {width} frames": clip.errors(smoothed(alone, width), there) for width in WIDTHS}
    rows |= filtered | {SOLVED: clip.errors(joints, there)}
    unsure: MotionResult | None = None
    if cameras == 1:
        tall = standing_height(MotionFitter(clip.models, FitOptions()).subject().loop_body.data, clip.betas[0])
        known = clip.solved(1, tall)
        rows[KNOWN] = clip.errors(known.joints_world[clip.first(known)].astype(np.float64), there)
        if len(clip.truth) == 1:
            unsure = clip.solved(1, up=unsure_up())
            rows[TILTED] = clip.errors(unsure.joints_world[0].astype(np.float64), there)
    print(f"{clip.folder.name}, {cameras} of the cameras: {there.sum()} of {len(there)} frames")
    print(HEADER)
    print(clip.errors(clip.truth[0], there).row("truth"))
    for name, errors in rows.items():
        print(errors.row(name))
    print(
        f"  speed of the best filter with no more acc: {best_filter(list(filtered.values()), rows[SOLVED].acc):.3f}; "
        f"{below_floor(motion, person, clip.models):.1f} cm below the floor"
    )
    if unsure is not None:
        off = float(np.degrees(np.arccos(unsure.up_world[2])))
        print(
            f"  {TILTED} by {OFF_DEG:.0f} degrees about both axes: up {off:.1f} degrees off, "
            f"{below_floor(unsure, 0, clip.models):.1f} cm below the floor"
        )
    std = motion.joint_std_mm[person] / 1000
    seen = there & ~clip.hidden
    print(f"  within two deviations: {100 * within(joints[seen], clip.truth[0, seen], std[seen]):.0f} %", end="")
    if clip.hidden.any():
        gap = there & clip.hidden
        steps = largest_step(joints) / largest_step(clip.truth[0]).max()
        print(f"; hidden: {100 * within(joints[gap], clip.truth[0, gap], std[gap]):.0f} %, largest step there "
              f"{steps[clip.hidden[1:] | clip.hidden[:-1]].max():.2f} of the truth's", end="")  # fmt: skip
    print()
    if len(clip.truth) > 1:
        print(f"  {motion.people} people, {exchanges(motion.joints_world, clip.truth)} exchanges")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    options = parser.parse_args(arguments)
    models = Models()
    tables: dict[str, dict[str, list[Errors]]] = defaultdict(lambda: defaultdict(list))
    for folder in options.clips:
        clip = Clip(folder, models)
        for cameras in sorted({1, len(clip.observed.views)}):
            for name, errors in rows_of(clip, cameras).items():
                tables["one camera" if cameras == 1 else "all cameras"][name].append(errors)
    for title, rows in tables.items():
        print(f"mean over clips, {title}")
        print(HEADER)
        for name, several in rows.items():
            print(Errors.mean(several).row(name))


if __name__ == "__main__":
    main()
