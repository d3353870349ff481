# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the compact ReFit: first to lift landmarks, then on synthetic renders.

    python -m refit_training.train lift --poses poses.npz --features FEATURES --out RUNS/lift --iterations 0
    python -m refit_training.train adapters --renders RENDERS --start RUNS/lift --out RUNS/adapters
    python -m refit_training.train features --features ADAPTED --start RUNS/adapters --out RUNS/loop

`adapters` changes the backbone, too; `features` trains the rest on what a backbone saw
(`refit_training.train.features`). --start also takes a weights file: data/refit_compact.safetensors is where the last
training ended.

A run continues its last.pt where there is one, so it can be stopped and started at any time.  Its log.jsonl gets a
line of losses every hundred steps, refit_compact.safetensors the weights.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.keypoints import KEYPOINT_COUNTS
from refit_engine.network.low_rank import adapt, adapters_of

from refit_training.known import known
from refit_training.poses import PoseLibrary
from refit_training.render.synthetic import RenderStore
from refit_training.train.batches import (
    Batch,
    alternate,
    feature_batches,
    lifted_batches,
    posed_views,
    render_batches,
)
from refit_training.train.features import FeatureStore
from refit_training.train.landmarks import UNDERSTOOD, LandmarkNoise
from refit_training.train.losses import LossOptions
from refit_training.train.trainer import RANK, Trainer, backbone_of, last_state, train

Stage = Literal["lift", "adapters", "features"]


@dataclass(frozen=True)
class Run:
    """What a run learns from and how.

    stage: "lift" (landmarks without pictures), "adapters" (the backbone learns, too) or "features" (what a backbone
    saw; with `poses`, lifted landmarks in every second step). start: a run or a weights file that it begins with.
    within: crop pixels that a person's median landmark may be off (features); clearer: least share of the landmarks' errors (`batches.clearer`). adapt_from: first block of the backbone
    that learns. workers: processes that draw poses.
    """

    stage: Stage
    out: Path
    start: Path | None = None
    poses: Path | None = None
    features: Path | None = None
    renders: Path | None = None
    held_out: Path | None = None
    within: float = UNDERSTOOD
    clearer: float = 1.0
    adapt_from: int = 8
    steps: int = 30_000
    minutes: float = math.inf
    batch: int = 128
    iterations: int = 4
    learning_rate: float = 5e-4
    loss: LossOptions = LossOptions()
    device: str = "cpu"
    workers: int = 1
    seed: int = 0

    def go(self, tick: Callable[[], object] = lambda: None) -> None:
        """Train until the steps or minutes are used up; goes on where a run in `out` stopped. See `train` for tick."""
        self.out.mkdir(parents=True, exist_ok=True)
        go_on = (self.out / "last.pt").exists()
        source = self.out if go_on else self.start
        state = last_state(source) if source else None
        trainer = self._trainer(state)
        if state:
            trainer.restore(state, go_on)
        rng = np.random.default_rng([self.seed, trainer.step])
        torch.manual_seed(self.seed + trainer.step)
        held_out = RenderStore(self.held_out) if self.held_out else None
        train(trainer, self._batches(trainer, rng), self.iterations, rng, held_out, tick)

    def _trainer(self, state: dict | None) -> Trainer:
        backbone = backbone_of(state) if state else load_blazepose()
        if self.stage == "adapters" and not adapters_of(backbone):
            adapt(backbone, backbone.dense_convolutions(self.adapt_from), RANK)
        if self.stage != "adapters":
            backbone.requires_grad_(False)
        return Trainer(
            self.out,
            self.learning_rate,
            self.steps,
            self.minutes,
            loss=self.loss,
            device=self.device,
            backbone=backbone,
        )

    def _batches(self, trainer: Trainer, rng: np.random.Generator) -> Iterator[Batch]:
        if self.stage == "adapters":
            store = RenderStore(known(self.renders), self.device)
            return render_batches(trainer.look, store, self.batch, rng)
        features = FeatureStore(known(self.features), torch.bfloat16, self.device)
        noise = LandmarkNoise(features)
        maps = self.iterations > 0
        seen = feature_batches(trainer.encode, features, noise, self.batch, rng, maps, self.within, self.clearer)
        if self.poses is None:
            return seen
        poses = PoseLibrary.load(self.poses).part(held_out=False)
        views = posed_views(poses, trainer.body, self.batch, rng, self.workers)
        keypoints = KEYPOINT_COUNTS[trainer.network.config.keypoints]
        lifted = lifted_batches(views, trainer.landmarks, keypoints, noise)
        return lifted if self.stage == "lift" else alternate(seen, lifted)


def add_common_options(parser: argparse.ArgumentParser, drawn: str) -> None:
    """The options of every command that trains. drawn: what worker processes draw."""
    parser.add_argument("--dead-zone", type=float, default=0.0, help="crop pixels of 2D error that cost nothing")
    parser.add_argument("--weight-2d", type=float, default=LossOptions().weight_2d, help="of the 2D loss")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--workers", type=int, default=1, help=f"processes that draw {drawn}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)


def ready_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """Options by name after logging and threads are set up, those of the losses as one: `loss`."""
    options = vars(parsed)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.pop("threads"))
    loss = LossOptions(options.pop("dead_zone"), options.pop("weight_2d"))
    return {**options, "loss": loss}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["lift", "adapters", "features"])
    parser.add_argument(
        "--poses", type=Path, help="pose library; stage features then lifts landmarks in every second step"
    )
    parser.add_argument("--features", type=Path, help="folder of backbone outputs (stages lift and features)")
    parser.add_argument("--renders", type=Path, help="folder of synthetic renders (stage adapters)")
    parser.add_argument(
        "--within",
        type=float,
        default=UNDERSTOOD,
        help="crop pixels that a person's median landmark may be off (stage features)",
    )
    parser.add_argument("--held-out", type=Path, help="folder of synthetic renders to measure on")
    parser.add_argument(
        "--adapt-from", type=int, default=8, help="first block of the backbone that learns from renders"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", type=Path, help="folder of a run, or a weights file, that this one begins with")
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--clearer", type=float, default=1.0, help="least share that is left of the landmarks' errors (stage features)"
    )
    add_common_options(parser, drawn="poses")
    options = ready_options(parser.parse_args(arguments))
    Run(**options).go()


if __name__ == "__main__":
    main()
