# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight averaging of runs that began with the same backbone: often better than each ("Model soups", ICML 2022).

python -m refit_training.train.weight_averaging RUNS/loop RUNS/last --out RUNS/mean
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from refit_training.train.trainer import last_state, write_run


def average_weights(runs: list[Path], out: Path) -> None:
    """Write a run with the mean of the runs' parameters. Raises ValueError if their backbones differ."""
    states = [last_state(run) for run in runs]
    first = states[0]
    for state in states[1:]:
        if any(not torch.equal(value, state["backbone"][name]) for name, value in first["backbone"].items()):
            raise ValueError("These runs saw through different backbones.")
    network = {name: torch.stack([state["network"][name] for state in states]).mean(0) for name in first["network"]}
    write_run({**states[-1], "network": network}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    average_weights(options.runs, options.out)


if __name__ == "__main__":
    main()
