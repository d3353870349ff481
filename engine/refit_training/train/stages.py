# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the compact ReFit: first to lift landmarks, then on photographs of synthetic people.

    python -m refit_training.train lift --poses poses.npz --features FEATURES --out RUNS/lift --iterations 0
    python -m refit_training.train photographs --photographs PHOTOGRAPHS --start RUNS/lift --out RUNS/sight
    python -m refit_training.train features --features ADAPTED --start RUNS/sight --out RUNS/loop

`photographs` changes the backbone, too; `features` trains the rest on what a backbone saw (`refit_training.train.features`).
--start also takes a weights file: data/refit_compact.safetensors is where the last training ended.

A run continues its last.pt where there is one, so it can be stopped and started at any time.  Its log.jsonl gets a
line of losses every hundred steps, refit_compact.safetensors the weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.backbones.blazepose import BlazePose, load_blazepose
from refit_engine.network.checkpoint import read_parts, save_refit
from refit_engine.network.geometry import crop_only
from refit_engine.network.keypoints import KEYPOINT_COUNTS, keypoint_points
from refit_engine.network.lookup import lookup
from refit_engine.network.low_rank import adapt, changes_of, resume_changes
from refit_engine.network.refit import COMPACT, Encoding, ReFit, ReFitConfig
from torch import Tensor

from refit_training.evaluation.measure_synthetic import BATCH, measure, summary
from refit_training.poses import PoseLibrary
from refit_training.render.photographs import PhotographStore
from refit_training.train.features import FeatureStore, observed
from refit_training.train.landmarks import UNDERSTOOD, LandmarkNoise, simulate_encoding
from refit_training.train.losses import Labels, estimate_losses, total_loss
from refit_training.train.sight import WEIGHTS as SIGHT_WEIGHTS
from refit_training.train.sight import Sight, SightLosses
from refit_training.train.sparse_lookup import SparseLookup
from refit_training.train.views import Views, sample_views

log = logging.getLogger(__name__)

GRADIENT_CLIP = 4.0
LOG_EVERY, SAVE_EVERY, MEASURE_EVERY = 50, 100, 500
RANK = 32
"""Of the changes of the backbone's convolutions."""
CHANGES_SPEED, SPOTS_SPEED = 0.04, 4
"""Learning rates of those changes and of what reads the markers, times that of the rest. Ninety layers that all take one
step of 3e-4 together ruin the backbone: landmarks of a batch go from 8 to 38 pixels off."""
# The mean estimate that the network starts from: crops are 2.5 radii of the body wide.
INITIAL_SCALE = 0.78


def last_state(run: Path) -> dict:
    """What a run has saved, or what is left of one in its weights file. Raises OSError if that is nothing, WeightsFileError."""
    if run.is_file():
        network, changes = read_parts(run)
        return {"network": network, "backbone": changes}
    return torch.load(run / "last.pt", map_location="cpu", weights_only=True)


def backbone_of(state: dict) -> BlazePose:
    """The backbone that a run saw through, ready to go on learning."""
    backbone = load_blazepose()
    resume_changes(backbone, state["backbone"])
    return backbone


def write_run(state: dict, out: Path) -> None:
    """A run that others can begin with, and its weights."""
    network = ReFit(COMPACT, backbone_of(state))
    network.load_state_dict(state["network"], strict=False)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(state, out / "last.pt")
    save_refit(network, out / "refit_compact.safetensors", body=load_body().kind, half=True)


class Batch(NamedTuple):
    """What the network sees of `views`; with the sight of a backbone that learns, too."""

    encoding: Encoding
    views: Views
    sight: Sight | None = None


@dataclass(frozen=True)
class Supervision:
    """camera: whose reprojection the losses compare; estimates: which of a loop's count."""

    camera: Literal["full", "crop"] = "full"
    estimates: Literal["all", "last"] = "all"


class Trainer:
    """The network, the body's points, the optimizer and where they stand."""

    def __init__(
        self,
        out: Path,
        learning_rate: float,
        steps: int,
        minutes: float = math.inf,
        config: ReFitConfig = COMPACT,
        supervision: Supervision = Supervision(),
        device: str = "cpu",
        backbone: BlazePose | None = None,
    ) -> None:
        """backbone: learns where it has been adapted; None for one that stays as it was given."""
        self.out, self.steps, self.learning_rate = out, steps, learning_rate
        self.allowed, self.seconds = 60 * minutes, 0.0
        self.supervision, self.device = supervision, torch.device(device)
        self.body = load_body()
        self.body_model = BodyModel(self.body).to(self.device)
        self.points = keypoint_points(self.body_model, self.body, config.keypoints)
        self.markers = self.body_model.subset(self.body.marker_ids)
        self.landmarks = LandmarkBody(self.body).to(self.device)
        backbone = backbone or load_blazepose()
        self.network = ReFit(config, backbone).to(self.device)
        self.sight_losses = SightLosses(backbone.channels, len(self.body.marker_ids)).to(self.device)
        self.network.init_cam[0, 0] = INITIAL_SCALE
        self.network.lookup = self.lookup = SparseLookup()
        self.trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        changes = [p for name, p in self.trained.items() if name.startswith("backbone.")]
        heads = [p for name, p in self.trained.items() if not name.startswith("backbone.")]
        groups = ((heads, 1), (changes, CHANGES_SPEED), (list(self.sight_losses.parameters()), SPOTS_SPEED))
        self.optimizer = torch.optim.Adam([{"params": params, "speed": speed} for params, speed in groups if params])
        self.step = 0

    def restore(self, state: dict, go_on: bool) -> None:
        """Take over what a run has learned; if it is this one, go on where it stopped."""
        self.network.load_state_dict(state["network"], strict=False)
        if "sight_losses" in state:
            self.sight_losses.load_state_dict(state["sight_losses"])
        if go_on:
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            log.info("continuing %s at step %d", self.out, self.step)

    def save(self) -> None:
        """Write `last.pt` and the weights in one move each, so that a kill leaves the previous ones."""
        state = {
            "network": {k: v for k, v in self.network.state_dict().items() if not k.startswith("backbone.")},
            "backbone": changes_of(self.network.backbone),
            "sight_losses": self.sight_losses.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.out / "last.tmp")
        os.replace(self.out / "last.tmp", self.out / "last.pt")
        save_refit(self.network, self.out / "refit_compact.safetensors", body=self.body.kind, half=True)

    @property
    def progress(self) -> float:
        """How much of the steps or of the minutes is used up, whichever is more: 1 at the end."""
        return max(self.step / self.steps, self.seconds / self.allowed)

    def supervised_points(self, betas: Tensor, rotmats: Tensor) -> Tensor:
        """Joints (pelvis first), markers and landmarks [B,P,3] that the losses look at."""
        return torch.cat(
            [self.body_model.joints(betas, rotmats), self.markers(betas, rotmats), self.landmarks(betas, rotmats)], 1
        )

    def encode(self, seen: BackboneOutput) -> Encoding:
        """`encode_features` in bfloat16: three times faster on processors with matrix units, and no slower on others."""
        seen = BackboneOutput(*(None if part is None else part.to(self.device) for part in seen))
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.network.encode_features(seen)

    def look(self, crops: Tensor, views: Views) -> Batch:
        """Crops [B,3,256,256] as the backbone sees them now. The landmarks have labels of their own: the loop takes them as they are."""
        with torch.autocast(self.device.type, torch.bfloat16):
            sight = Sight.of(self.network.backbone(crops.to(self.device)))
            encoding = self.network.encode_features(sight.leaves)
        return Batch(encoding._replace(landmarks=encoding.landmarks.detach()), views, sight)

    def sight_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The backbone's own losses, together and by name."""
        views = batch.views.to(self.device)
        terms = self.sight_losses(batch.sight.leaves, views, views.placed(self.landmarks), views.placed(self.markers))
        return sum(SIGHT_WEIGHTS[name] * value for name, value in terms.items()), terms

    def losses(self, batch: Batch, iterations: int) -> list[dict[str, Tensor]]:
        """Loss terms of each of the T+1 estimates."""
        views = batch.views.to(self.device)
        with torch.no_grad():
            points = self.supervised_points(views.betas, views.rotmats)
        labels = Labels(views.rotmats, views.betas, views.transl, points)
        encoding = batch.encoding._replace(keypoint_maps=self.lookup.begin(batch.encoding.keypoint_maps))
        estimates = self.network.refine(encoding, views.camera, self.points, self.landmarks, iterations)
        if self.supervision.estimates == "last":
            estimates = estimates[-1:]
        ours = views.camera if self.supervision.camera == "full" else crop_only(views.camera)
        return [
            estimate_losses(e, self.supervised_points(e.betas, e.rotmats()), labels, views.camera, ours)
            for e in estimates
        ]

    def update(self, batch: Batch, iterations: int) -> list[dict[str, Tensor]]:
        """One optimizer step; the learning rate falls along a cosine."""
        progress = min(self.progress, 1.0)
        warm_up = min(1.0, (self.step + 1) / 200)
        for group in self.optimizer.param_groups:
            group["lr"] = (
                group["speed"] * self.learning_rate * warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        self.optimizer.zero_grad(set_to_none=True)
        per_estimate = self.losses(batch, iterations)
        loss = total_loss(per_estimate)
        if batch.sight is not None:
            sight_loss, terms = self.sight_loss(batch)
            loss = loss + sight_loss
            per_estimate[0] |= terms
        loss.backward()
        self.lookup.finish()
        if batch.sight is not None:
            batch.sight.backward()
        torch.nn.utils.clip_grad_norm_(self.trained.values(), GRADIENT_CLIP)
        self.optimizer.step()
        self.step += 1
        return per_estimate


def lifted_batches(
    trainer: Trainer, poses: PoseLibrary, noise: LandmarkNoise, size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Endless simulated landmarks of random bodies."""
    keypoints = KEYPOINT_COUNTS[trainer.network.config.keypoints]
    landmarks = LandmarkBody(trainer.body)
    while True:
        views = sample_views(rng, poses.sample(rng, size), trainer.body)
        seen = simulate_encoding(views.placed(landmarks), views, keypoints, noise)
        yield Batch(Encoding(*(None if part is None else part.to(trainer.device) for part in seen)), views)


def photograph_batches(
    trainer: Trainer, store: PhotographStore, size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Endless random batches of photographs, seen by the backbone as it is at that moment."""
    while True:
        if rng.random() < 0.01:
            store.refresh()
        yield trainer.look(*store.sample(rng, size))


def feature_batches(
    trainer: Trainer,
    store: FeatureStore,
    noise: LandmarkNoise,
    size: int,
    rng: np.random.Generator,
    maps: bool,
    within: float = UNDERSTOOD,
) -> Iterator[Batch]:
    """Endless random batches of people whom the backbone understood (`LandmarkNoise.understood`), as it saw them.

    The initial estimate needs no maps.
    """
    among = noise.understood(within)
    while True:
        if rng.random() < 0.01:
            store.refresh()
            noise.refresh()
            among = noise.understood(within)
        seen, views = store.sample(rng, size, maps, among)
        yield Batch(trainer.encode(seen), views)


def alternate(first: Iterator[Batch], second: Iterator[Batch]) -> Iterator[Batch]:
    """One of each in turn."""
    for pair in zip(first, second):
        yield from pair


def validate(trainer: Trainer, photographs: PhotographStore, iterations: int) -> dict[str, float]:
    """Mean errors of the first and the last estimate on people that were not trained on."""
    network = copy.deepcopy(trainer.network).cpu()
    network.lookup = lookup
    people = observed(network.backbone, photographs, BATCH)
    errors = torch.cat([batch for batch, *_ in measure(network, people, [0, iterations])], dim=1)
    return {
        f"{name} {which}": value
        for which, row in zip(("first", "last"), errors, strict=True)
        for name, value in summary(row).items()
    }


def train(
    trainer: Trainer,
    batches: Iterator[Batch],
    iterations: int,
    rng: np.random.Generator,
    held_out: PhotographStore | None,
) -> None:
    """Run until the steps or the minutes are used up; errors on held-out people go into the log now and then.

    The number of updates varies around `iterations`, so that more of them do no harm later.
    """
    trainer.network.train()
    window: list[dict[str, float]] = []
    with open(trainer.out / "log.jsonl", "a", encoding="utf-8") as file:
        while trainer.progress < 1:
            started = time.monotonic()
            updates = int(rng.integers(iterations // 2, iterations + (iterations + 1) // 2 + 1))
            per_estimate = trainer.update(next(batches), updates)
            trainer.seconds += time.monotonic() - started
            first, last = per_estimate[0], per_estimate[-1]
            window.append(
                {f"{name}_{t}": terms[name].item() for t, terms in (("last", last), ("first", first)) for name in terms}
            )
            if trainer.step % LOG_EVERY == 0:
                means = {key: round(float(np.mean([w[key] for w in window])), 5) for key in window[0]}
                line = {"step": trainer.step, "seconds": round(trainer.seconds, 1), **means}
                file.write(json.dumps(line) + "\n")
                file.flush()
                log.info("%s", line)
                window.clear()
            if trainer.step % SAVE_EVERY == 0:
                trainer.save()
            if held_out is not None and trainer.step % MEASURE_EVERY == 0:
                line = {"step": trainer.step, **validate(trainer, held_out, iterations)}
                file.write(json.dumps(line) + "\n")
                log.info("held out: %s", line)
    trainer.save()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["lift", "photographs", "features"])
    parser.add_argument(
        "--poses", type=Path, help="pose library; stage features then lifts landmarks in every second step"
    )
    parser.add_argument("--features", type=Path, help="folder of backbone outputs (stages lift and features)")
    parser.add_argument("--photographs", type=Path, help="folder of photographs (stage photographs)")
    parser.add_argument(
        "--within",
        type=float,
        default=UNDERSTOOD,
        help="crop pixels that a person's median landmark may be off (stage features)",
    )
    parser.add_argument("--held-out", type=Path, help="folder of photographs to measure on")
    parser.add_argument(
        "--adapt-from", type=int, default=8, help="first block of the backbone that learns from photographs"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", type=Path, help="folder of a run, or a weights file, that this one begins with")
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    go_on = (options.out / "last.pt").exists()
    source = options.out if go_on else options.start
    state = last_state(source) if source else None
    backbone = backbone_of(state) if state else load_blazepose()
    if options.stage == "photographs" and not changes_of(backbone):
        adapt(backbone, backbone.dense_convolutions(options.adapt_from), RANK)
    if options.stage != "photographs":
        backbone.requires_grad_(False)
    trainer = Trainer(
        options.out, options.learning_rate, options.steps, options.minutes, device=options.device, backbone=backbone
    )
    if state:
        trainer.restore(state, go_on)
    rng = np.random.default_rng([options.seed, trainer.step])
    torch.manual_seed(options.seed + trainer.step)
    if options.stage == "photographs":
        batches = photograph_batches(trainer, PhotographStore(options.photographs), options.batch, rng)
    else:
        store = FeatureStore(options.features, torch.bfloat16)
        noise = LandmarkNoise(store)
        batches = feature_batches(trainer, store, noise, options.batch, rng, options.iterations > 0, options.within)
        if options.poses:
            poses = PoseLibrary.load(options.poses).part(held_out=False)
            lifted = lifted_batches(trainer, poses, noise, options.batch, rng)
            batches = lifted if options.stage == "lift" else alternate(batches, lifted)
    held_out = PhotographStore(options.held_out) if options.held_out else None
    train(trainer, batches, options.iterations, rng, held_out)
