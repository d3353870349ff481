# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's ablations (its table 3) with the compact backbone, synthetic people and little training.

    python -m refit_training.train.ablate --features FEATURES --held-out HELD_OUT --start RUN --out RUNS --steps 2000

Every variant begins with the initial estimate of the run START and a loop that knows nothing, learns from pictures
alone, without landmarks, and is measured on the held-out people. Results are appended to RUNS/ablations.jsonl; a variant that is in
there is not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.backbones.blazepose import BlazePose
from refit_engine.network.refit import COMPACT

from refit_training.evaluation.measure_synthetic import BATCH, measure, summary
from refit_training.render.synthetic import RenderStore
from refit_training.train.batches import feature_batches
from refit_training.train.features import FeatureStore, observed
from refit_training.train.landmarks import LandmarkNoise
from refit_training.train.trainer import Supervision, Trainer, backbone_of, last_state
from refit_training.train.views import Views

log = logging.getLogger(__name__)

KEPT = ("vector_head.", "init_layer.", "regressor.")
"""Parameters that all variants take over: what makes the initial estimate."""
MEASURED = [0, 2, 5, 10]


@dataclass(frozen=True)
class Variant:
    """What differs from the published choice."""

    config: dict[str, Any] = field(default_factory=dict)
    supervision: Supervision = Supervision()


VARIANTS = {
    "published": Variant(),
    "24 joints as keypoints": Variant({"keypoints": "semantic24"}),
    "231 keypoints": Variant({"keypoints": "dense231"}),
    "no dropout": Variant({"keypoint_dropout": 0.0}),
    "dropout 0.15": Variant({"keypoint_dropout": 0.15}),
    "crop camera": Variant({"feedback_camera": "crop"}, Supervision(camera="crop")),
    "full-frame supervision only": Variant({"feedback_camera": "crop"}),
    "radius 0": Variant({"radius": 0}),
    "radius 1": Variant({"radius": 1}),
    "one GRU": Variant({"update": "single"}),
    "last iteration supervised": Variant(supervision=Supervision(estimates="last")),
}


class Common(NamedTuple):
    """What all variants begin with and learn from, and the held-out people as the backbone sees them."""

    start: dict
    backbone: BlazePose
    store: FeatureStore
    noise: LandmarkNoise
    people: list[tuple[BackboneOutput, Views]]

    @classmethod
    def load(cls, options: argparse.Namespace) -> Common:
        start = last_state(options.start)
        backbone, store = backbone_of(start).requires_grad_(False), FeatureStore(options.features, torch.bfloat16)
        people = list(observed(backbone, RenderStore(options.held_out), BATCH))
        return cls(start, backbone, store, LandmarkNoise(store), people)


def run(variant: Variant, common: Common, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Train a variant and measure it: figures by number of updates."""
    torch.manual_seed(0)
    config = replace(COMPACT, landmark_feedback=False, **variant.config)
    trainer = Trainer(
        options.out,
        options.learning_rate,
        options.steps,
        config=config,
        supervision=variant.supervision,
        backbone=common.backbone,
    )
    given = common.start["network"]
    kept = {name: value for name, value in given.items() if name.startswith(KEPT)}
    trainer.network.load_state_dict(kept, strict=False)
    trainer.network.init_cam.copy_(given["init_cam"])
    rng = np.random.default_rng(0)
    batches = feature_batches(trainer.encode, common.store, common.noise, options.batch, rng, maps=True)
    trainer.network.train()
    while trainer.step < options.steps:
        trainer.update(next(batches), options.iterations)
    errors = torch.cat([batch for batch, *_ in measure(trainer.network, common.people, MEASURED)], dim=1)
    return {str(count): summary(row) for count, row in zip(MEASURED, errors, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True, help="what START's backbone sees (training.features)")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of synthetic renders")
    parser.add_argument("--start", type=Path, required=True, help="run whose initial estimate all variants share")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "ablations.jsonl"
    done = {json.loads(line)["variant"] for line in results.read_text().splitlines()} if results.exists() else set()
    common = Common.load(options)
    for name, variant in VARIANTS.items():
        if name not in done:
            figures = run(variant, common, options)
            log.info("%s: %s", name, figures)
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps({"variant": name, **figures}) + "\n")


if __name__ == "__main__":
    main()
