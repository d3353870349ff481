# SPDX-License-Identifier: GPL-3.0-or-later
"""The network in training: its losses on a batch, its steps, and what is kept of a run on disk."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.backbones.blazepose import BlazePose, load_blazepose
from refit_engine.network.checkpoint import read_parts, save_refit
from refit_engine.network.geometry import crop_only
from refit_engine.network.keypoints import keypoint_points
from refit_engine.network.lookup import lookup
from refit_engine.network.low_rank import adapters_of, resume_adapters
from refit_engine.network.refit import COMPACT, Encoding, ReFit, ReFitConfig
from torch import Tensor

from refit_training.evaluation.measure_synthetic import BATCH, measure, summary
from refit_training.known import known
from refit_training.render.synthetic import RenderStore
from refit_training.train.backbone_losses import WEIGHTS as BACKBONE_WEIGHTS
from refit_training.train.backbone_losses import BackboneLosses, BackbonePass
from refit_training.train.batches import (
    Batch,
)
from refit_training.train.features import observed
from refit_training.train.losses import Labels, LossOptions, estimate_losses, total_loss
from refit_training.train.sparse_lookup import SparseLookup
from refit_training.train.views import Views

log = logging.getLogger(__name__)

GRADIENT_CLIP = 4.0
LOG_EVERY, SAVE_EVERY, MEASURE_EVERY = 50, 100, 500
RANK = 32
"""Of the adapters of the backbone's convolutions."""
ADAPTERS_SPEED, SPOTS_SPEED = 0.04, 4
"""Learning rates of those adapters and of what reads the markers, times that of the rest. Ninety layers that all take one
step of 3e-4 together ruin the backbone: landmarks of a batch go from 8 to 38 pixels off."""
# The mean estimate that the network starts from: crops are 2.5 radii of the body wide.
INITIAL_SCALE = 0.78


def last_state(run: Path) -> dict:
    """What a run has saved, or what is left of one in its weights file. Raises OSError if that is nothing, WeightsFileError."""
    if run.is_file():
        network, adapters = read_parts(run)
        return {"network": network, "backbone": adapters}
    return torch.load(run / "last.pt", map_location="cpu", weights_only=True)


def backbone_of(state: dict) -> BlazePose:
    """The backbone that a run saw through, ready to go on learning."""
    backbone = load_blazepose()
    resume_adapters(backbone, state["backbone"])
    return backbone


def write_run(state: dict, out: Path) -> None:
    """A run that others can begin with, and its weights."""
    network = ReFit(COMPACT, backbone_of(state))
    network.load_state_dict(state["network"], strict=False)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(state, out / "last.pt")
    save_refit(network, out / "refit_compact.safetensors", body=load_body().kind, half=True)


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
        loss: LossOptions = LossOptions(),
        device: torch.device | str = "cpu",
        backbone: BlazePose | None = None,
    ) -> None:
        """backbone: learns where it has been adapted; None for one that stays as it was given."""
        self.out, self.steps, self.learning_rate = out, steps, learning_rate
        self.allowed, self.seconds = 60 * minutes, 0.0
        self.supervision, self.loss, self.device = supervision, loss, torch.device(device)
        self.body = load_body()
        self.body_model = BodyModel(self.body).to(self.device)
        self.points = keypoint_points(self.body_model, self.body, config.keypoints)
        self.markers = self.body_model.subset(self.body.marker_ids)
        self.landmarks = LandmarkBody(self.body).to(self.device)
        backbone = backbone or load_blazepose()
        self.network = ReFit(config, backbone).to(self.device)
        self.backbone_losses = BackboneLosses(backbone.channels, len(self.body.marker_ids)).to(self.device)
        self.network.init_cam[0, 0] = INITIAL_SCALE
        self.network.lookup = self.lookup = SparseLookup()
        self.trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        adapters = [p for name, p in self.trained.items() if name.startswith("backbone.")]
        heads = [p for name, p in self.trained.items() if not name.startswith("backbone.")]
        groups = ((heads, 1), (adapters, ADAPTERS_SPEED), (list(self.backbone_losses.parameters()), SPOTS_SPEED))
        self.optimizer = torch.optim.Adam([{"params": params, "speed": speed} for params, speed in groups if params])
        self.step = 0

    def restore(self, state: dict, go_on: bool) -> None:
        """Take over what a run has learned; if it is this one, go on where it stopped."""
        self.network.load_state_dict(state["network"], strict=False)
        if "backbone_losses" in state:
            self.backbone_losses.load_state_dict(state["backbone_losses"])
        if go_on:
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            log.info("continuing %s at step %d", self.out, self.step)

    def save(self) -> None:
        """Write `last.pt` and the weights in one move each, so that a kill leaves the previous ones."""
        state = {
            "network": {k: v for k, v in self.network.state_dict().items() if not k.startswith("backbone.")},
            "backbone": adapters_of(self.network.backbone),
            "backbone_losses": self.backbone_losses.state_dict(),
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
        seen = BackboneOutput._make(None if part is None else part.to(self.device) for part in seen)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.network.encode_features(seen)

    def look(self, crops: Tensor, views: Views) -> Batch:
        """Crops [B,3,256,256] as the backbone sees them now. The landmarks have labels of their own: the loop takes them as they are."""
        with torch.autocast(self.device.type, torch.bfloat16):
            seen = BackbonePass.of(self.network.backbone(crops.to(self.device)))
            encoding = self.network.encode_features(seen.leaves)
        return Batch(encoding._replace(landmarks=known(encoding.landmarks).detach()), views, seen)

    def backbone_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The backbone's own losses, together and by name."""
        views = batch.views.to(self.device)
        leaves = known(batch.backbone).leaves
        terms = self.backbone_losses(leaves, views, views.placed(self.landmarks), views.placed(self.markers))
        return cast("Tensor", sum(BACKBONE_WEIGHTS[name] * value for name, value in terms.items())), terms

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
            estimate_losses(e, self.supervised_points(e.betas, e.rotmats()), labels, views.camera, ours, self.loss)
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
        loss = total_loss(per_estimate, self.loss)
        if batch.backbone is not None:
            backbone_loss, terms = self.backbone_loss(batch)
            loss = loss + backbone_loss
            per_estimate[0] |= terms
        loss.backward()
        self.lookup.finish()
        if batch.backbone is not None:
            batch.backbone.backward()
        torch.nn.utils.clip_grad_norm_(self.trained.values(), GRADIENT_CLIP)
        self.optimizer.step()
        self.step += 1
        return per_estimate


def validate(trainer: Trainer, renders: RenderStore, iterations: int) -> dict[str, float]:
    """Mean errors of the first and the last estimate on people that were not trained on."""
    network = copy.deepcopy(trainer.network).cpu()
    network.lookup = lookup
    people = observed(network.backbone, renders, BATCH)
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
    held_out: RenderStore | None = None,
    tick: Callable[[], object] = lambda: None,
) -> None:
    """Run until the steps or the minutes are used up; errors on held-out people go into the log now and then.

    The number of updates varies around `iterations`, so that more of them do no harm later. tick: called after each step.
    """
    trainer.network.train()
    window: list[Tensor] = []
    means: list[float] = []
    with open(trainer.out / "log.jsonl", "a", encoding="utf-8") as file:
        while trainer.progress < 1:
            started = time.monotonic()
            updates = int(rng.integers(iterations // 2, iterations + (iterations + 1) // 2 + 1))
            per_estimate = trainer.update(next(batches), updates)
            named = {
                f"{name}_{when}": value.detach()
                for when, terms in (("last", per_estimate[-1]), ("first", per_estimate[0]))
                for name, value in terms.items()
            }
            window.append(torch.stack(list(named.values())))  # read when logged: a card need not wait
            if trainer.step % LOG_EVERY == 0:
                means = torch.stack(window).mean(0).tolist()
                window.clear()
            trainer.seconds += time.monotonic() - started
            if trainer.step % LOG_EVERY == 0:
                losses = {name: round(value, 5) for name, value in zip(named, means, strict=True)}
                line = {"step": trainer.step, "seconds": round(trainer.seconds, 1), **losses}
                file.write(json.dumps(line) + "\n")
                file.flush()
                log.info("%s", line)
            if trainer.step % SAVE_EVERY == 0:
                trainer.save()
            if held_out is not None and trainer.step % MEASURE_EVERY == 0:
                line = {"step": trainer.step, **validate(trainer, held_out, iterations)}
                file.write(json.dumps(line) + "\n")
                log.info("held out: %s", line)
            tick()
    trainer.save()
