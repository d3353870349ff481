# SPDX-License-Identifier: GPL-3.0-or-later
"""What a wrong focal length does to the result, and whether the result tells that it is wrong.

    python -m refit_training.evaluation.measure_focal HELD_OUT [--weights FILE] [--limit N]

HELD_OUT is a folder made by `refit_training.render.synthetic`. First the network is told focal lengths that are wrong
by known factors. Then the focal length is guessed: for every person one that is wrong by a random factor is assumed,
and of a grid around it the one is taken under which the fitted body's landmarks lie nearest to the backbone's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.fitting.bounds import working_camera
from refit_engine.network.checkpoint import BUNDLED_WEIGHTS, load_refit
from refit_engine.network.geometry import CropCamera, project_to_crop
from refit_engine.network.keypoints import keypoint_points
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

from refit_training.render.synthetic import RenderStore
from refit_training.train.features import observed

from .metrics import angle_degrees, mpjpe, pa_mpjpe

FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
GRID = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Around the assumed focal length."""
GAINS = (0.0, 0.05, 0.1, 0.2)
"""By how much of itself the residual has to fall before the assumed focal length is given up."""
VIEWS = {"narrow, side < 0.25 f": (0, 0.25), "0.25 f to 0.7 f": (0.25, 0.7), "wide, side > 0.7 f": (0.7, 9)}
"""Groups of people by the side of their crop in true focal lengths."""
BATCH = 32


class Outcome(NamedTuple):
    """N people under one focal length each."""

    mpjpe: Tensor
    """[N] millimetres."""
    pa_mpjpe: Tensor
    """[N] millimetres."""
    turn: Tensor
    """[N] degrees: error of the pelvis' rotation."""
    log_depth: Tensor
    """[N] logarithm of the distance over the true one."""
    overlay: Tensor
    """[N] crop pixels: mean distance of the projected joints from the true ones."""
    residual: Tensor
    """[N] crop pixels: mean distance of the body's landmarks from the backbone's, by their visibility."""


class Study:
    """The network and body of the study, and the people seen so far."""

    def __init__(self, held_out: Path, weights: Path, iterations: int, limit: int | None) -> None:
        self.model, _ = load_refit(weights)
        data = load_body()
        self.body = BodyModel(data)
        self.points = keypoint_points(self.body, data, self.model.config.keypoints)
        self.landmarks = LandmarkBody(data)
        self.store, self.iterations = RenderStore(held_out), iterations
        self.total = min(limit or len(self.store), len(self.store))

    def run(self, rng: np.random.Generator) -> tuple[dict[float, Outcome], list[Outcome], Tensor, Tensor]:
        """Outcomes [by factor]; outcomes on the grid around wrong focal lengths; those factors [N]; sides/f [N]."""
        known: dict[float, list[Outcome]] = {factor: [] for factor in FACTORS}
        guessed: list[list[Outcome]] = [[] for _ in GRID]
        wrong, sides = [], []
        with torch.inference_mode():
            batches = tqdm(observed(self.model.backbone, self.store, BATCH), total=self.total // BATCH, unit="batch")
            for index, (seen, views) in enumerate(batches):
                if index * BATCH >= self.total:
                    break
                encoding = self.model.encode_features(seen)
                for factor in FACTORS:
                    known[factor].append(self._outcome(encoding, views, torch.full_like(views.focal, factor)))
                factor = torch.from_numpy(np.exp(rng.uniform(np.log(0.5), np.log(2), len(views)))).float()
                for place, step in enumerate(GRID):
                    guessed[place].append(self._outcome(encoding, views, factor * step))
                wrong.append(factor)
                sides.append(views.camera.side / views.focal)
        joined = {factor: _joined(parts) for factor, parts in known.items()}
        return joined, [_joined(parts) for parts in guessed], torch.cat(wrong), torch.cat(sides)

    def _outcome(self, encoding, views, factor: Tensor) -> Outcome:
        told: CropCamera = views.camera._replace(focal=views.focal * factor)
        camera = working_camera(told)
        last = self.model.refine(encoding, camera, self.points, self.landmarks, self.iterations)[-1]
        rotmats = last.rotmats()
        ours, truth = self.body.joints(last.betas, rotmats), self.body.joints(views.betas, views.rotmats)
        places = views.crop_pixels(truth + views.transl[:, None])
        depth = last.translation(camera)[:, 2] * told.focal / camera.focal
        marks = project_to_crop(self.landmarks(last.betas, rotmats), last.cam, camera)
        distance = (marks - encoding.landmarks[..., :2]).norm(dim=-1)
        visible = encoding.landmarks[..., 2]
        return Outcome(
            mpjpe(ours, truth),
            pa_mpjpe(ours, truth),
            angle_degrees(rotmats[:, 0], views.rotmats[:, 0]),
            (depth / views.transl[:, 2]).log(),
            (project_to_crop(ours, last.cam, camera) - places).norm(dim=-1).mean(dim=1),
            (distance * visible).sum(dim=1) / visible.sum(dim=1).clamp(min=1e-3),
        )


def _joined(parts: list[Outcome]) -> Outcome:
    return Outcome(*(torch.cat(values) for values in zip(*parts, strict=True)))


def summary(outcome: Outcome, chosen: Tensor | slice = slice(None)) -> dict[str, float]:
    """Means and medians over the chosen people."""
    picked = Outcome(*(values[chosen] for values in outcome))
    return {
        "mpjpe": round(picked.mpjpe.mean().item(), 1),
        "median_mpjpe": round(picked.mpjpe.median().item(), 1),
        "pa_mpjpe": round(picked.pa_mpjpe.mean().item(), 1),
        "pelvis_degrees": round(picked.turn.median().item(), 1),
        "overlay_px": round(picked.overlay.median().item(), 1),
        "depth_ratio": round(picked.log_depth.median().exp().item(), 2),
        "depth_error_percent": round(100 * (picked.log_depth.abs().median().exp().item() - 1), 1),
    }


def guess(grid: list[Outcome], wrong: Tensor) -> dict[str, object]:
    """What taking the focal length of the least residual from the grid does, for several least gains."""
    residuals = torch.stack([outcome.residual for outcome in grid])
    assumed = GRID.index(1.0)
    best = residuals.argmin(dim=0)
    people = torch.arange(len(wrong))
    report: dict[str, object] = {"assumed": summary(grid[assumed])}
    for gain in GAINS:
        better = residuals[best, people] < (1 - gain) * residuals[assumed]
        choice = torch.where(better, best, torch.full_like(best, assumed))
        taken = Outcome(*(torch.stack(values)[choice, people] for values in zip(*grid, strict=True)))
        steps = torch.tensor(GRID)[choice]
        report[f"least residual, gain over {gain:.0%}"] = {
            **summary(taken),
            "changed_percent": round(100 * (choice != assumed).float().mean().item(), 1),
            "spearman_of_correction": round(float(spearmanr(steps.log(), -wrong.log()).statistic), 3),
            "log_focal_error": round((steps * wrong).log().abs().mean().item(), 3),
        }
    report["log_focal_error_assumed"] = round(wrong.log().abs().mean().item(), 3)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path, help="folder of synthetic renders")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="default: the bundled ones")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--limit", type=int, help="only the first people")
    options = parser.parse_args()
    study = Study(options.held_out, options.weights, options.iterations, options.limit)
    known, grid, wrong, sides = study.run(np.random.default_rng(0))
    groups = {"all": slice(None)} | {name: (sides >= low) & (sides < high) for name, (low, high) in VIEWS.items()}
    wrong_focal = {
        name: {f"x{factor:g}": summary(outcome, chosen) for factor, outcome in known.items()}
        for name, chosen in groups.items()
    }
    people = {name: len(sides[chosen]) for name, chosen in groups.items()}
    print(json.dumps({"people": people, "wrong_focal": wrong_focal, "guessed_focal": guess(grid, wrong)}, indent=1))


if __name__ == "__main__":
    main()
