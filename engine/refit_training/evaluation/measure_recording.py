# SPDX-License-Identifier: GPL-3.0-or-later
"""How near bodies from one picture come to the yardstick, on recordings of real people.

    python -m refit_training.evaluation.measure_recording yardstick.npz [--weights FILE …] [--iterations 5 …] [--every 8]
        [--seconds all even odd] [--known-height]

`yardstick.npz` is what `yardstick.py` made. Everybody in every camera of every so many frames is fitted from that
picture alone; a body's joints are taken where people mark them (`fitting/annotation_joints.py`), since the yardstick's
are such joints. Of recordings with several cameras it prints, in millimetres, MPJPE (the middles of the hips aligned),
PA-MPJPE (similarity aligned), and the error of the distance of the hips from the camera; of single videos the distance
in the picture in percent of the trunk. Each is given raw, and less every joint's mean offset in the trunk's axes
(bodies and eyes may put a joint in different places), then joint by joint.

Numbers are [mean, standard error]; half seconds of a person count as independent. With several weights (`bundled` are those of the
product) or numbers of updates, every further line has the difference from the first, body by body: its error is much smaller.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from refit_engine.body import load_body
from refit_engine.body.joints import mirrored_name
from refit_engine.camera import project
from refit_engine.detect import COCO_JOINT_NAMES
from refit_engine.fitting.annotation_joints import annotation_convention_joints
from refit_engine.fitting.height import standing_height
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.multiview.fit import fit_person
from refit_engine.fitting.multiview.views import View, load_view
from tqdm import tqdm

from .alignment import HIPS, root_aligned, similarity_aligned, trunk_frames, trunk_lengths, without_offsets
from .blocks import mean_and_error
from .measure_landmarks import MARKED
from .recording import instants, read_recording
from .yardstick import Yardstick, load_yardsticks

BLOCK_SECONDS = 0.5
BUNDLED = "bundled"
_COMPARED = np.isin(COCO_JOINT_NAMES, MARKED)
Seconds = Literal["all", "even", "odd"]


@dataclass(frozen=True)
class Subject:
    """A person of a yardstick in one frame, seen by M cameras: views, boxes [M,4].

    truth: [17,D], NaN for joints that are not determined or not compared. block: number of the half second of this person; second: of
    the recording.
    """

    views: list[View]
    boxes: np.ndarray
    truth: np.ndarray
    block: int
    second: int


def subjects(yardstick: Yardstick, every: int, seconds: Sequence[Seconds]) -> Iterator[Subject]:
    """Everybody whose hips are determined, in every so many frames of the asked-for seconds.

    Raises OSError, ImageError, ViewsError.
    """
    truth = np.where((yardstick.determined & _COMPARED)[..., None], yardstick.points, np.nan)
    step = max(1, round(every / yardstick.every))
    with tempfile.TemporaryDirectory() as folder:
        pictures = instants(read_recording(yardstick.recording), step * yardstick.every, Path(folder))
        for row, instant in zip(range(0, truth.shape[1], step), pictures, strict=False):
            time = row / yardstick.fps
            if not {"all", ("even", "odd")[int(time) % 2]}.intersection(seconds):
                continue
            cameras = zip(instant, yardstick.R, yardstick.t, strict=True)
            views = [replace(load_view(request)[0], R=R, t=t) for request, R, t in cameras]
            for person, boxes in enumerate(yardstick.boxes[:, row]):
                seen = np.flatnonzero(np.isfinite(boxes).all(axis=1))
                if len(seen) and np.isfinite(truth[person, row][HIPS]).all():
                    block = 1000 * person + int(time / BLOCK_SECONDS)
                    yield Subject([views[one] for one in seen], boxes[seen], truth[person, row], block, int(time))


class Trial:
    """Fits people from single pictures with some weights and number of updates."""

    def __init__(self, models: Models, weights: str, iterations: int) -> None:
        self.name = {"weights": weights, "iterations": iterations}
        file = None if weights == BUNDLED else Path(weights)
        self._models, self._options = models, FitOptions(weights=file, iterations=iterations, confidence=False)

    def joints(self, subject: Subject, height: float | None) -> np.ndarray:
        """The bodies' COCO joints [M,17,3] in the world, metres, by each view alone. Raises WeightsFileError."""
        job = FitJob(self._models, replace(self._options, height=height))
        alone = [
            fit_person(job, [view], box[None], "never") for view, box in zip(subject.views, subject.boxes, strict=True)
        ]
        values = (np.concatenate([getattr(one, name) for one in alone]) for name in ("betas", "rotmats", "transl"))
        return annotation_convention_joints(job.subject().result_body.data, COCO_JOINT_NAMES, *values)


def height_of(models: Models, subject: Subject) -> float:
    """Metres that the person measures standing, as all cameras together see it."""
    job = FitJob(models, FitOptions(iterations=10, confidence=False))
    together = fit_person(job, subject.views, subject.boxes)
    return standing_height(load_body(), together.betas[0])


@dataclass(frozen=True)
class Bodies:
    """N bodies against the yardstick. found: [N,17,D]; truth: [N,17,D]; distance: [N] millimetres that the hips are too far from
    or too near to the camera, NaN in pictures; block, second: [N]."""

    found: np.ndarray
    truth: np.ndarray
    distance: np.ndarray
    block: np.ndarray
    second: np.ndarray

    def during(self, seconds: Seconds) -> Bodies:
        """Those of all, the even or the odd seconds."""
        chosen = np.isin(self.second % 2, {"all": (0, 1), "even": (0,), "odd": (1,)}[seconds])
        return Bodies(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def measures(self) -> dict[str, np.ndarray]:
        """Errors [N,17] by the measure's name: millimetres, or in pictures percent of the trunk."""
        frames = trunk_frames(self.truth)
        if self.truth.shape[-1] == 2:
            kinds = {"2D": (self.found - self.truth) * (100 / trunk_lengths(self.truth))[:, None, None]}
        else:
            kinds = {
                "MPJPE": 1000 * root_aligned(self.found, self.truth),
                "PA-MPJPE": 1000 * similarity_aligned(self.found, self.truth),
            }
        measures = {}
        for name, differences in kinds.items():
            measures[name] = np.linalg.norm(differences, axis=-1)
            measures[f"{name} less offsets"] = np.linalg.norm(without_offsets(differences, frames), axis=-1)
        return measures


def fit_all(
    yardsticks: Sequence[Yardstick],
    trials: Sequence[Trial],
    models: Models,
    every: int,
    seconds: Sequence[Seconds],
    known: bool,
) -> list[Bodies]:
    """What each trial makes of everybody, nothing if there is nobody; known: whether it is told the person's height."""
    rows: list[list[tuple]] = [[] for _ in trials]
    for number, yardstick in enumerate(yardsticks):
        for subject in tqdm(subjects(yardstick, every, seconds), unit="person", disable=None):
            height = height_of(models, subject) if known else None
            for trial, own in zip(trials, rows, strict=True):
                for view, joints in zip(subject.views, trial.joints(subject, height), strict=True):
                    block = 1_000_000 * number + subject.block
                    own.append((*_compared(joints, subject.truth, view), block, subject.second))
    return [Bodies(*map(np.array, zip(*own, strict=True))) for own in rows if own]


def _compared(joints: np.ndarray, truth: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, float]:
    """Joints [17,3] in the world as the truth [17,D] is, the truth, and the error of the hips' distance in millimetres."""
    if truth.shape[-1] == 2:
        return project(joints @ view.R.T + view.t, view.intrinsics.K), truth, np.nan
    centre = -view.R.T @ view.t
    far, right = (np.linalg.norm(points[HIPS].mean(axis=0) - centre) for points in (joints, truth))
    return joints, truth, float(1000 * (far - right))


def report(bodies: Bodies, first: Bodies | None) -> dict[str, object]:
    """[mean, standard error] of every measure, of its difference from the first trial's, and per joint."""
    measures, block = bodies.measures(), bodies.block
    figures: dict[str, object] = {"bodies": len(block), "blocks": len(np.unique(block))}
    means = {name: np.nanmean(values, axis=1) for name, values in measures.items()}
    figures |= {name: _rounded(values, block) for name, values in means.items()}
    if np.isfinite(bodies.distance).any():
        figures["distance"] = _rounded(np.abs(bodies.distance), block)
    if first is not None:
        others = {name: np.nanmean(values, axis=1) for name, values in first.measures().items()}
        figures["difference"] = {name: _rounded(means[name] - others[name], block) for name in means}
    figures["joints"] = {name: _by_joint(values, block) for name, values in measures.items()}
    return figures


def _by_joint(errors: np.ndarray, block: np.ndarray) -> dict[str, list[float | None]]:
    """Of errors [N,17], left and right together."""
    figures = {}
    for name in MARKED:
        if name.startswith("left_"):
            sides = [COCO_JOINT_NAMES.index(name), COCO_JOINT_NAMES.index(mirrored_name(name))]
            figures[name.removeprefix("left_")] = _rounded(errors[:, sides].ravel(), np.repeat(block, 2))
    return figures


def _rounded(values: np.ndarray, block: np.ndarray) -> list[float | None]:
    pair = mean_and_error(values, block)
    return [round(number, 1 if abs(number) >= 10 else 2) if np.isfinite(number) else None for number in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yardstick", type=Path)
    parser.add_argument("--weights", nargs="+", default=[BUNDLED], help="files, or the word bundled")
    parser.add_argument("--iterations", type=int, nargs="+", default=[5])
    parser.add_argument("--every", type=int, default=8, help="frames from one instant to the next")
    parser.add_argument("--seconds", nargs="+", choices=("all", "even", "odd"), default=["all"])
    parser.add_argument("--known-height", action="store_true", help="a camera knows the height that all together see")
    options = parser.parse_args()
    yardsticks, models = load_yardsticks(options.yardstick), Models()
    trials = [Trial(models, weights, number) for weights in options.weights for number in options.iterations]
    found_anybody = False
    for flat in (False, True):
        chosen = [one for one in yardsticks if (one.points.shape[-1] == 2) == flat]
        rows = fit_all(chosen, trials, models, options.every, options.seconds, options.known_height and not flat)
        for when in options.seconds if rows else ():
            parts = [bodies.during(when) for bodies in rows]
            for trial, bodies in zip(trials, parts, strict=True):
                if len(bodies.block):
                    first = None if bodies is parts[0] else parts[0]
                    print(json.dumps({**trial.name, "seconds": when, **report(bodies, first)}), flush=True)
                    found_anybody = True
    if not found_anybody:
        raise SystemExit("The yardstick determines nobody in these seconds.")


if __name__ == "__main__":
    main()
