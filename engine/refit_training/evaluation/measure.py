# SPDX-License-Identifier: GPL-3.0-or-later
"""How well ReFit's bodies, projected back, fit hand-marked points on real photos.

    python -m refit_training.evaluation.measure FOLDER [--weights FILE] [--iterations 0 5 10] [--sheet SHEET.jpg]

FOLDER, boxes and the measure are those of `measure_landmarks`, which gives the backbone's own landmarks' figures. The
bodies' joints are taken as people mark them (`fitting/annotation_joints.py`), the bundled body's.
The sheet shows photos, marked points and bodies, evenly from the best to the worst.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from refit_engine.body import load_body
from refit_engine.camera import project
from refit_engine.fitting.annotation_joints import annotation_convention_joints
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.single import Fitter, ImageRequest
from refit_engine.overlay import draw_overlay
from refit_engine.results import ImageResult
from tqdm import tqdm

from refit_training.known import known

from .measure_landmarks import HALVES, HALVES_HELP, MARKED, pck, read_samples, torso_length

TILE = 320


@dataclass(frozen=True)
class Measured:
    """One photo: its result, joints [12,2] and marked points [12,2] in pixels, and the torso's length in pixels."""

    sample: dict
    result: ImageResult
    found: np.ndarray
    marked: np.ndarray
    torso: float

    @property
    def error(self) -> float:
        """Mean distance in torso lengths."""
        return float(np.nanmean(np.linalg.norm(self.found - self.marked, axis=-1)) / self.torso)


def measure(folder: Path, samples: list[dict], weights: Path | None, iterations: int) -> list[Measured]:
    """Fit the person of every photo in the box of its marked points."""
    fitter = Fitter(Models(), FitOptions(weights=weights, iterations=iterations, confidence=False))
    body = load_body()
    done = []
    for sample in tqdm(samples, unit="photo"):
        every = np.array(list(sample["keypoints"].values()))
        low, high = every.min(axis=0), every.max(axis=0)
        box = np.concatenate([low, high - low])
        result, _ = fitter.reconstruct(ImageRequest(folder / sample["image"], boxes_xywh=box[None]))
        marked = np.array([sample["keypoints"].get(name, (np.nan, np.nan)) for name in MARKED])
        joints = annotation_convention_joints(body, MARKED, result.betas, result.rotmats, result.transl)[0]
        done.append(Measured(sample, result, project(joints, result.K), marked, torso_length(sample["keypoints"])))
    return done


def summary(measured: list[Measured]) -> dict[str, float]:
    """PCK@0.2 and @0.1 of the torso, percent, and @0.2 per joint."""
    found = np.array([m.found for m in measured])
    marked = np.array([m.marked for m in measured])
    torso = np.array([m.torso for m in measured])
    figures = {"PCK@0.2": pck(found, marked, torso), "PCK@0.1": pck(found, marked, torso, threshold=0.1)}
    for index in range(0, len(MARKED), 2):
        pair = slice(index, index + 2)
        figures[MARKED[index].removeprefix("left_")] = pck(found[:, pair], marked[:, pair], torso)
    return {name: round(100 * value, 1) for name, value in figures.items()}


def contact_sheet(folder: Path, measured: list[Measured], count: int = 40, columns: int = 8) -> np.ndarray:
    """Photo and overlay of `count` results from the best to the worst, [H,W,3] uint8 BGR."""
    ranked = sorted(measured, key=lambda m: m.error)
    faces = load_body().faces
    tiles = []
    for index in np.linspace(0, len(ranked) - 1, count).round().astype(int):
        one = ranked[index]
        photo = known(cv2.imread(str(folder / one.sample["image"])))
        overlay = draw_overlay(photo[..., ::-1], one.result.vertices_cam, faces, one.result.K)[..., ::-1].copy()
        for point in one.marked[np.isfinite(one.marked).all(-1)]:
            cv2.circle(overlay, tuple(int(v) for v in point), max(2, photo.shape[0] // 90), (0, 255, 255), -1)
        pair = np.hstack([photo, overlay])
        scale = min(2 * TILE / pair.shape[1], TILE / pair.shape[0])
        pair = cv2.resize(pair, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((TILE, 2 * TILE, 3), np.uint8)
        tile[: pair.shape[0], : pair.shape[1]] = pair
        cv2.putText(tile, f"{one.error:.2f}", (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
        tiles.append(tile)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, count, columns)]
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--iterations", type=int, nargs="+", default=[5])
    parser.add_argument("--half", choices=HALVES, default="all", help=HALVES_HELP)
    parser.add_argument("--limit", type=int, help="only the first photos")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the last number of iterations")
    options = parser.parse_args()
    samples = read_samples(options.folder, options.half)[: options.limit]
    measured: list[Measured] = []
    for iterations in options.iterations:
        measured = measure(options.folder, samples, options.weights, iterations)
        print(json.dumps({"iterations": iterations, **summary(measured)}))
    if options.sheet:
        cv2.imwrite(str(options.sheet), contact_sheet(options.folder, measured))


if __name__ == "__main__":
    main()
