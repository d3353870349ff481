# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight interpolation: take back a part of what a backbone has learned from synthetic people.

    python -m refit_training.train.weight_interpolation RUNS/adapters --share 0.5 --encoder 0.75 --out RUNS/interpolated

On the way from the given weights to the adapted ones lie some that are better than both on photographs, which the given
ones know, and nearly as good as the adapted ones on what those have learned (Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022). The rest of the network then has to learn what it sees now: `train features --start OUT`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from refit_engine.network.backbones.blazepose import load_blazepose

from refit_training.train.trainer import last_state, write_run


def interpolate_weights(run: Path, share: float, out: Path, encoder: float | None = None) -> None:
    """Write a run with `share` of what the adapters of `run` change, in the encoder with the share `encoder`."""
    state, given = last_state(run), dict(load_blazepose().named_parameters())
    adapters = {}
    for name, value in state["backbone"].items():
        kept = encoder if encoder is not None and name.startswith("encoder.") else share
        if name.endswith(".up"):
            value = kept * value
        elif name.endswith(".bias"):
            value = torch.lerp(given[name], value, kept)
        adapters[name] = value.detach()
    write_run({**state, "backbone": adapters}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--share", type=float, required=True, help="0: the backbone as it was given, 1: as it was adapted"
    )
    parser.add_argument(
        "--encoder", type=float, help="the share in the encoder, if another: most of what was learned of depth is there"
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    interpolate_weights(options.run, options.share, options.out, options.encoder)


if __name__ == "__main__":
    main()
