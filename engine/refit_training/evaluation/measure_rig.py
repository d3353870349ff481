# SPDX-License-Identifier: GPL-3.0-or-later
"""How exact bodies from several of Blender's cameras are, in the world, on scenes whose truth is known.

    python -m refit_training.evaluation.measure_rig RIG [--weights FILE] [--iterations 10] [--limit SCENES]

RIG is a folder of `rig_people` that `tests/rig/render.py` has rendered. Prints a JSON line per case: mean and median
over scenes of the mean distance of the 24 joints from the true ones, millimetres, "absolute" in the world and "pose"
with the pelvises moved together, for views fitted separately (mean over views), the same averaged at the end, and
views fitted together.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from refit_engine.camera import Intrinsics
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.multiview.fit import View, WorldPeople, fit_person
from refit_engine.images import read_photo
from tqdm import tqdm

TURNED_DEGREES = 3.0
KNOWN = "{} views, shape known"


@dataclass(frozen=True)
class Truth:
    """betas: [10]; joints: [24,3] metres in the world."""

    betas: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Shot:
    """A view, and the box [4] of the person whom it shows."""

    view: View
    box: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One person before C cameras, and what the first camera would show with somebody else there."""

    name: str
    shots: tuple[Shot, ...]
    stranger: Shot
    truth: Truth


def read_scenes(folder: Path) -> list[Scene]:
    groups: dict[str, list[dict]] = defaultdict(list)
    for record in json.loads((folder / "rig.json").read_text()):
        groups[record["group"]].append(record)
    return [
        Scene(
            name,
            tuple(_shot(folder, record) for record in records),
            _shot(folder, records[0]["stranger"]),
            _truth(folder / records[0]["truth"]),
        )
        for name, records in groups.items()
    ]


def _shot(folder: Path, record: dict) -> Shot:
    K, R, t, box = (np.array(record[name]) for name in ("K", "R_world2cam", "t_world2cam", "bbox_xywh"))
    pixels = read_photo(folder / record["image"]).pixels
    return Shot(View(record["image"], pixels, Intrinsics(K, "scene"), R, t), box)


def _truth(file: Path) -> Truth:
    with np.load(file) as data:
        return Truth(data["betas"], data["joints"])


class RigFitter:
    """Fits shots one by one and together. betas: [10] the known shape, None to estimate it."""

    def __init__(self, models: Models, weights: Path | None, iterations: int, betas: np.ndarray | None = None) -> None:
        options = FitOptions(weights=weights, iterations=iterations, betas=betas, confidence=False)
        self._job = FitJob(models, options)

    def alone(self, shot: Shot) -> WorldPeople:
        """From one view."""
        return fit_person(self._job, [shot.view], shot.box[None], "never")

    def averaged(self, bodies: Sequence[WorldPeople]) -> np.ndarray:
        """Joints [1,24,3] of the paper's comparison: shapes, rotations and places averaged when all is done."""
        betas = np.mean([body.betas for body in bodies], axis=0)
        rotmats = roma.special_procrustes(torch.from_numpy(np.sum([body.rotmats for body in bodies], axis=0)))
        pelvis = np.mean([body.joints[:, :1] for body in bodies], axis=0)
        model = self._job.subject().result_body.model
        with torch.no_grad():
            joints = model(torch.from_numpy(betas), rotmats).joints.numpy()
        return joints - joints[:, :1] + pelvis

    def together(self, shots: Sequence[Shot]) -> WorldPeople:
        return fit_person(self._job, [shot.view for shot in shots], np.array([shot.box for shot in shots]))


def turned(shot: Shot, degrees: float, rng: np.random.Generator) -> Shot:
    """The shot with a camera that is said to be turned about itself, about some axis, by this much."""
    axis = rng.normal(size=3)
    turn = roma.rotvec_to_rotmat(torch.from_numpy(np.radians(degrees) * axis / np.linalg.norm(axis))).numpy()
    return replace(shot, view=replace(shot.view, R=turn @ shot.view.R, t=turn @ shot.view.t))


def cases(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[str, tuple[Shot, ...]]]:
    """What is tried on a scene: two, four and all cameras; of four, the first turned or looking at somebody else."""
    for count in sorted({2, 4, len(scene.shots)}):
        yield f"{count} views", scene.shots[:count]
    yield (
        f"4 views, one turned by {TURNED_DEGREES:g}°",
        (turned(scene.shots[0], TURNED_DEGREES, rng), *scene.shots[1:4]),
    )
    yield "4 views, one of somebody else", (scene.stranger, *scene.shots[1:4])


class Errors:
    """Distances of joints, gathered by case and way."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, case: str, way: str, joints: np.ndarray, truth: Truth) -> None:
        """joints: [N,24,3] of the N bodies of one scene."""
        centred, true = joints - joints[:, :1], truth.joints - truth.joints[:1]
        self._of[case][f"{way}, absolute"].append(_millimetres(joints - truth.joints))
        self._of[case][f"{way}, pose"].append(_millimetres(centred - true))

    def lines(self) -> Iterator[str]:
        for case, ways in self._of.items():
            figures = {
                way: {"mean": round(float(np.mean(values)), 1), "median": round(float(np.median(values)), 1)}
                for way, values in ways.items()
            }
            yield json.dumps({"case": case, "scenes": len(next(iter(ways.values()))), **figures}, ensure_ascii=False)


def _millimetres(difference: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(difference, axis=-1).mean())


def measure(scenes: Iterable[Scene], weights: Path | None, iterations: int, seed: int) -> Errors:
    """All cases of all scenes; then the same with the shape known, for views alone and for four together."""
    models, errors = Models(), Errors()
    fitter = RigFitter(models, weights, iterations)
    rng = np.random.default_rng(seed)
    for scene in scenes:
        alone: dict[tuple[str, bytes], WorldPeople] = {}  # a view stands in several cases, but is fitted once
        for case, shots in cases(scene, rng):
            keys = [(shot.view.name, shot.view.R.tobytes()) for shot in shots]
            alone |= {key: fitter.alone(shot) for key, shot in zip(keys, shots, strict=True) if key not in alone}
            bodies = [alone[key] for key in keys]
            errors.add(case, "separate", np.concatenate([body.joints for body in bodies]), scene.truth)
            errors.add(case, "averaged", fitter.averaged(bodies), scene.truth)
            errors.add(case, "together", fitter.together(shots).joints, scene.truth)
        betas = scene.truth.betas.astype(np.float32)
        known = RigFitter(models, weights, iterations, betas)
        bodies = [known.alone(shot) for shot in scene.shots]
        errors.add(KNOWN.format(len(bodies)), "separate", np.concatenate([body.joints for body in bodies]), scene.truth)
        together = known.together(scene.shots[:4])
        errors.add(KNOWN.format(4), "together", together.joints, scene.truth)
        if any((body.betas != betas).any() for body in (*bodies, together)):
            raise AssertionError(f"The known shape of scene {scene.name} was changed.")
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--limit", type=int, help="only the first scenes")
    parser.add_argument("--seed", type=int, default=0, help="of the axes that cameras are turned about")
    options = parser.parse_args()
    scenes = tqdm(read_scenes(options.folder)[: options.limit], unit="scene")
    for line in measure(scenes, options.weights, options.iterations, options.seed).lines():
        print(line)


if __name__ == "__main__":
    main()
