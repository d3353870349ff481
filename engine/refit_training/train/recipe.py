# SPDX-License-Identifier: GPL-3.0-or-later
"""The next round of training, from the bundled weights to new ones, in a fixed time.

    python -m refit_training.train.recipe --pack pack.npz --poses poses.npz --out RUNS --minutes 60
    python -m refit_training.train.recipe --pack pack.npz --poses poses.npz --out RUNS --minutes 8 --device cuda \\
        --workers 16 --results RESULTS

Stages, each with its share of the time: render pictures; train the backbone's adapters on them (left out with
--adapters 0); take a part of that back (weight interpolation); show the pictures to the new backbone; train the initial
estimate, then the loop twice, with the people whom the backbone understood and with everybody; average the two runs.
RUNS/refit_compact.safetensors has the new weights; every run in RUNS has a log (`refit_training.train.plot_log`).

A command that was stopped goes on where it was when it is given again. RESULTS gets the weights of every run that is
worth it, the adapters' whole ones among them, and all logs: six files of at most 16 MiB, to be carried away from a machine
that is given back. A later round goes on from its adapters with --start adapters.safetensors --whole.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from refit_engine.network.checkpoint import BUNDLED_WEIGHTS

from refit_training.render.synthetic import Drawing, draw
from refit_training.train.clock import Budget, Clock
from refit_training.train.features import store_features
from refit_training.train.losses import LossOptions
from refit_training.train.stages import Run, Stage, add_common_options, ready_options
from refit_training.train.weight_averaging import average_weights
from refit_training.train.weight_interpolation import interpolate_weights

log = logging.getLogger(__name__)

WEIGHTS, LOG, TIMES = "refit_compact.safetensors", "log.jsonl", "time.json"
CARRIED = ("adapters", "loop", "second-loop", "mean")
"""Runs whose weights are worth carrying away."""
KEPT, KEPT_IN_ENCODER = 0.5, 0.75
"""Of what the adapters have learned; chosen on photographs (docs/training/results.md). The bundled weights keep as much."""
CLEARER = 0.25
"""Least share of the landmarks' errors that the second loop sees: it trusts them more. Alone it would cost depth (docs/training/experiments.md)."""


@dataclass(frozen=True)
class Sizes:
    """Batches and learning rates of adapters, initial estimate and loop (first and second run).

    The processor's are those that the bundled weights were trained with. A card's batches keep it busy; their learning
    rates grow with the square root, but for the adapters, which trebled rates made worse (docs/training/experiments.md).
    """

    adapters: tuple[int, float] = (24, 4e-4)
    initial: tuple[int, float] = (192, 5e-4)
    loop: tuple[int, float] = (48, 4e-4)
    second_loop: tuple[int, float] = (48, 3.5e-4)


PROCESSOR = Sizes()
CARD = Sizes((192, 8e-4), (1536, 1.4e-3), (384, 1.1e-3), (384, 1e-3))

SHARES = {"render": 0.22, "features": 0.33, "initial": 0.07, "loop": 0.19, "second loop": 0.19}
"""Of the time that the adapters leave: what the fourth round took on processor cores."""
CARD_SHARES = {"render": 0.3, "features": 0.2, "initial": 0.1, "loop": 0.2, "second loop": 0.2}
"""The same on a graphics card, where the processors that draw are the bottleneck."""


@dataclass(frozen=True)
class Recipe:
    """Where everything is and what is trained.

    whole: the weights that it starts with have all that adapters learned, nothing of it taken back. samples: pictures at
    most; adapters: share of the time for the backbone's adapters; workers: processes that draw pictures and poses;
    steps: of each run at most; results: folder for a copy of what is worth carrying away.
    """

    pack: Path
    poses: Path
    out: Path
    start: Path = BUNDLED_WEIGHTS
    whole: bool = False
    samples: int = 50_000
    adapters: float = 0.4
    device: str = "cpu"
    workers: int = 1
    steps: int = 1_000_000
    results: Path | None = None
    loss: LossOptions = LossOptions()
    seed: int = 0

    @property
    def on_card(self) -> bool:
        return torch.device(self.device).type != "cpu"

    @property
    def sizes(self) -> Sizes:
        return CARD if self.on_card else PROCESSOR

    def stages(self) -> dict[str, Callable[[Clock], None]]:
        """All stages in order."""
        stages = {
            "render": self._render,
            "adapters": self._adapters,
            "interpolation": self._interpolation,
            "features": self._features,
            "initial": self._initial,
            "loop": self._loop,
            "second loop": self._second_loop,
            "average": self._average,
        }
        if not self.adapters:
            del stages["adapters"]
        return stages

    def shares(self) -> dict[str, float]:
        """Of the time, by stage; those that take next to none have 0."""
        rest = CARD_SHARES if self.on_card else SHARES
        shares = {name: (1 - self.adapters) * share for name, share in rest.items()} | {"adapters": self.adapters}
        return {name: shares.get(name, 0.0) for name in self.stages()}

    def run(self, minutes: float) -> None:
        """Run the stages that are not done."""
        self.out.mkdir(parents=True, exist_ok=True)
        torch.backends.cudnn.benchmark = self.on_card
        budget = Budget(self.out / TIMES, 60 * minutes, self.shares())
        for name, stage in self.stages().items():
            clock = Clock(budget, name)
            if not clock.account.done:
                log.info("%s: %.0f of %.0f s left", name, clock.left, clock.account.allowed)
                stage(clock)
                clock.finish()
                self._keep_results()

    def _keep_results(self) -> None:
        if self.results is None:
            return
        self.results.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.out / TIMES, self.results)
        for run in CARRIED:
            if (self.out / run / WEIGHTS).exists():
                shutil.copy(self.out / run / WEIGHTS, self.results / f"{run}.safetensors")
        logs = []
        for path in sorted(self.out.glob(f"*/{LOG}"), key=lambda path: path.stat().st_mtime):
            lines = path.read_text(encoding="utf-8").splitlines()
            logs += [json.dumps({"run": path.parent.name, **json.loads(line)}) for line in lines]
        (self.results / LOG).write_text("".join(f"{line}\n" for line in logs), encoding="utf-8")

    def _render(self, clock: Clock) -> None:
        drawing = Drawing(self.pack, self.poses, self._renders, self.seed, card=self.on_card)
        draw(drawing, self.samples, self.workers, clock.tick)

    def _adapters(self, clock: Clock) -> None:
        whole = self.out / "whole"
        if not (whole / "last.pt").exists():
            undone = (1.0, 1.0) if self.whole else (1 / KEPT, 1 / KEPT_IN_ENCODER)
            interpolate_weights(self.start, undone[0], whole, undone[1])
        batch, rate = self.sizes.adapters
        self._run(clock, "adapters", "adapters", whole, 3, batch, rate)

    def _interpolation(self, clock: Clock) -> None:
        if self.adapters:
            interpolate_weights(self.out / "adapters", KEPT, self.out / "interpolated", KEPT_IN_ENCODER)
        else:
            kept = (KEPT, KEPT_IN_ENCODER) if self.whole else (1.0, 1.0)
            interpolate_weights(self.start, kept[0], self.out / "interpolated", kept[1])

    def _features(self, clock: Clock) -> None:
        weights = self.out / "interpolated" / WEIGHTS
        store_features(self._renders, self._seen, weights, self.samples, self.device, clock.tick)

    def _initial(self, clock: Clock) -> None:
        batch, rate = self.sizes.initial
        self._run(clock, "features", "initial", self.out / "interpolated", 0, batch, rate, math.inf)

    def _loop(self, clock: Clock) -> None:
        batch, rate = self.sizes.loop
        self._run(clock, "features", "loop", self.out / "initial", 7, batch, rate, 12.0)

    def _second_loop(self, clock: Clock) -> None:
        batch, rate = self.sizes.second_loop
        self._run(clock, "features", "second-loop", self.out / "initial", 8, batch, rate, math.inf, CLEARER, 1)

    def _average(self, clock: Clock) -> None:
        average_weights([self.out / "loop", self.out / "second-loop"], self.out / "mean")
        shutil.copy(self.out / "mean" / WEIGHTS, self.out / WEIGHTS)

    def _run(
        self,
        clock: Clock,
        stage: Stage,
        name: str,
        start: Path,
        iterations: int,
        batch: int,
        learning_rate: float,
        within: float = math.inf,
        clearer: float = 1.0,
        seed: int = 0,
    ) -> None:
        Run(
            stage=stage,
            out=self.out / name,
            start=start,
            poses=self.poses if stage == "features" else None,
            features=self._seen,
            renders=self._renders,
            within=within,
            clearer=clearer,
            steps=self.steps,
            minutes=clock.account.allowed / 60,
            batch=batch,
            iterations=iterations,
            learning_rate=learning_rate,
            loss=self.loss,
            device=self.device,
            workers=self.workers,
            seed=self.seed + seed,
        ).go(clock.tick)

    @property
    def _renders(self) -> Path:
        return self.out / "renders"

    @property
    def _seen(self) -> Path:
        return self.out / "seen"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="asset pack")
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--minutes", type=float, required=True, help="for all stages together")
    parser.add_argument("--start", type=Path, default=BUNDLED_WEIGHTS, help="weights file to begin with")
    parser.add_argument("--whole", action="store_true", help="all that its adapters learned is in those weights")
    parser.add_argument("--samples", type=int, default=50_000, help="pictures at most")
    parser.add_argument("--adapters", type=float, default=0.4, help="share of the time for the backbone's adapters")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of each run at most")
    parser.add_argument("--results", type=Path, help="folder for weights and logs to carry away")
    add_common_options(parser, drawn="pictures and poses")
    options = ready_options(parser.parse_args(arguments))
    minutes = options.pop("minutes")
    Recipe(**options).run(minutes)


if __name__ == "__main__":
    main()
