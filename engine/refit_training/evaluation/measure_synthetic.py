# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors on synthetic people that were not trained on, and which people make them.

    python -m refit_training.evaluation.measure_synthetic HELD_OUT [--weights FILE] [--iterations 0 3 5 10]

HELD_OUT is a folder made by `refit_training.render.synthetic --held-out`. Prints, per number of updates, the means over
everybody of MPJPE and PVE (pelvis aligned), PA-MPJPE (similarity aligned), in millimetres, and of how far the joints
are off in the picture, in pixels of the crop; then the mean change, person by person, from the first number of updates
to each other one, with its standard error; for the last number also means over classes of people. The last line tells
how far off the backbone's own landmarks are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.checkpoint import load_refit
from refit_engine.network.geometry import project_to_crop
from refit_engine.network.keypoints import keypoint_points
from refit_engine.network.refit import ReFit
from torch import Tensor
from tqdm import tqdm

from refit_training.evaluation.metrics import mpjpe, pa_mpjpe
from refit_training.render.synthetic import RenderStore
from refit_training.train.features import observed
from refit_training.train.landmarks import locate, located
from refit_training.train.views import Views

BATCH = 64
MEASURES = ("MPJPE", "PA-MPJPE", "PVE", "2D px")


class Judge:
    """Runs a network on stored people and compares bodies."""

    def __init__(self, network: ReFit) -> None:
        self.network = network
        data = load_body()
        self.body, self.landmarks = BodyModel(data), LandmarkBody(data)
        self.points = keypoint_points(self.body, data, network.config.keypoints)

    def errors(self, seen: BackboneOutput, views: Views, iterations: list[int]) -> Tensor:
        """[len(iterations),B,4] in the order of MEASURES: millimetres three times, crop pixels."""
        with torch.no_grad():
            estimates = self.network.refine(
                self.network.encode_features(seen), views.camera, self.points, self.landmarks, max(iterations)
            )
            truth = self.body(views.betas, views.rotmats)
            places = views.crop_pixels(truth.joints + views.transl[:, None])
            rows = []
            for estimate in (estimates[count] for count in iterations):
                found = self.body(estimate.betas, estimate.rotmats())
                surface = [torch.cat([body.joints[:, :1], body.vertices], dim=1) for body in (found, truth)]
                off = (project_to_crop(found.joints, estimate.cam, views.camera) - places).norm(dim=-1).mean(1)
                joints = found.joints, truth.joints
                rows.append(torch.stack([mpjpe(*joints), pa_mpjpe(*joints), mpjpe(*surface), off], 1))
        return torch.stack(rows)

    def classes(self, views: Views, off: Tensor) -> dict[str, Tensor]:
        """Which of B people, whose median landmark the backbone saw so many pixels off [B], belong to which class: bool [B] each."""
        upright = views.camera_from_world.mT @ views.rotmats[:, 0]
        tilt = torch.rad2deg(torch.acos(upright[:, 1, 1].clamp(-1, 1)))
        aside = torch.rad2deg(torch.atan(views.center.norm(dim=1) / views.focal))
        bounds = {
            "landmarks of the backbone off by": (off, [0, 6, 12, 30, np.inf], "px"),
            "trunk tilted by": (tilt, [0, 30, 60, 120, 180.1], "degrees"),
            "beside the optical axis by": (aside, [0, 10, 25, 90], "degrees"),
        }
        return {
            f"{name} {low:g} to {high:g} {unit}": (values >= low) & (values < high)
            for name, (values, edges, unit) in bounds.items()
            for low, high in pairwise(edges)
        }


def landmark_errors(seen: BackboneOutput, views: Views, landmarks: LandmarkBody) -> Tensor:
    """How far a BlazePose's landmarks are off: per person [B,3] mean and median in crop pixels, mean in millimetres in the world."""
    errors = located(seen.vector) - locate(views.placed(landmarks), views)
    pixels, world = errors[..., :2].norm(dim=-1), 1000 * errors[..., 3:].norm(dim=-1)
    return torch.stack([pixels.mean(1), pixels.median(1).values, world.mean(1)], 1)


def measure(
    network: ReFit, people: Iterable[tuple[BackboneOutput, Views]], iterations: list[int]
) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
    """Errors [T,B,4], classes [B] and the backbone's errors [B,3] (`landmark_errors`) of batch after batch (`observed`)."""
    judge = Judge(network.eval())
    for seen, views in people:
        off = landmark_errors(seen, views, judge.landmarks)
        yield judge.errors(seen, views, iterations), judge.classes(views, off[:, 1]), off


def summary(errors: Tensor) -> dict[str, float]:
    """Means and medians over people [B,4]."""
    means, medians = errors.mean(0).tolist(), errors.median(0).values.tolist()
    figures = dict(zip(MEASURES, means, strict=True)) | {
        f"{name} median": value for name, value in zip(MEASURES, medians, strict=True)
    }
    return {name: round(value, 1) for name, value in figures.items()}


def change(errors: Tensor, since: Tensor) -> dict[str, tuple[float, float]]:
    """How far the errors of people [B,4] differ from earlier ones of the same people: mean and its standard error."""
    differences = errors - since
    spread = differences.std(0) / len(differences) ** 0.5
    return {
        name: (round(mean, 2), round(error, 2))
        for name, mean, error in zip(MEASURES, differences.mean(0).tolist(), spread.tolist(), strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 3, 5, 10])
    options = parser.parse_args()
    network, _ = load_refit(options.weights, torch.device("cpu"))
    store = RenderStore(options.held_out)
    batches = list(
        tqdm(
            measure(network, observed(network.backbone, store, BATCH), options.iterations),
            total=-(-len(store) // BATCH),
        )
    )
    errors = torch.cat([batch for batch, _, _ in batches], dim=1)
    for row, count in enumerate(options.iterations):
        print(json.dumps({"iterations": count, **summary(errors[row])}))
    for row, count in enumerate(options.iterations[1:], 1):
        print(json.dumps({"iterations": count, f"change from {options.iterations[0]}": change(errors[row], errors[0])}))
    for name in batches[0][1]:
        members = torch.cat([classes[name] for _, classes, _ in batches])
        if members.any():
            print(json.dumps({"class": name, "people": int(members.sum()), **summary(errors[-1][members])}))
    pixels, typical, world = torch.cat([off for _, _, off in batches]).unbind(1)
    figures = {"mean_px": pixels.mean(), "median_person_px": typical.median(), "world_mean_mm": world.mean()}
    print(json.dumps({"landmarks of the backbone": {name: round(value.item(), 1) for name, value in figures.items()}}))


if __name__ == "__main__":
    main()
