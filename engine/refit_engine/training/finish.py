# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the weights that ship from a training run.

    python -m refit_engine.training.finish RUN --out refit_compact.safetensors

Opens the gates of the landmark step: on rendered people the backbone's landmarks are worse than on photographs, so that
training leaves the gates too narrow. How far was chosen on photographs and synthetic people together (docs/weights.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from refit_engine.body import load_body
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import save_refit
from refit_engine.network.low_rank import resume_changes
from refit_engine.network.refit import COMPACT, ReFit
from refit_engine.training.train import last_state

OPENED = 2.0
"""Added to the gates before their sigmoid."""


def finish(run: Path, out: Path) -> None:
    """Write the finished weights of a run, float16."""
    state, backbone = last_state(run), load_blazepose("heavy")
    resume_changes(backbone, state["backbone"])
    network = ReFit(COMPACT, backbone)
    network.load_state_dict(state["network"], strict=False)
    with torch.no_grad():
        network.step_gate.bias += OPENED
    save_refit(network, out, body=load_body().kind, half=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    finish(options.run, options.out)


if __name__ == "__main__":
    main()
