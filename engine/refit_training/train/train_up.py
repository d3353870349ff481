# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the small network that tells from a pose where up is.

    python -m refit_training.train.train_up --poses poses.npz [--out up_from_pose.npz]

Learns from the pose library's captured poses (`refit_training.poses`), mirrored and with noise on every joint, as a fit to a
picture has it; every sixth clip is kept for testing. Prints the angle between the network's up and the true one there.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from refit_engine.gravity.bodies import DATA_FILE, LAYERS, BalanceNetwork, save_network
from torch import Tensor, nn

from refit_training.poses import PoseLibrary, mirror

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """noise_deg: typical error of a fitted joint's rotation about each axis; the other numbers are the optimiser's."""

    noise_deg: float = 8.0
    batch: int = 2048
    steps: int = 4000
    rate: float = 2e-3
    decay: float = 1e-3


RECIPE = Recipe()


def examples(
    rotmats: Tensor, weights: Tensor, count: int, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Noisy poses [count,24,3,3] and the world's up in their pelvis' frame [count,3]."""
    drawn = rotmats[torch.multinomial(weights, count, replacement=True, generator=generator)]
    up = drawn[:, 0, 1, :]
    scale = torch.randn(count, 2, generator=generator).square().sum(-1).div(2).sqrt()
    noise = torch.randn(count, 24, 3, generator=generator) * (np.radians(recipe.noise_deg) * scale[:, None, None])
    return drawn @ roma.rotvec_to_rotmat(noise), up


def negative_log_likelihood(natural: Tensor, up: Tensor) -> Tensor:
    """Of true ups [N,3] under von Mises-Fisher distributions with natural parameters [N,3] (less log 2 pi)."""
    kappa = natural.norm(dim=-1).clamp_min(1e-4)
    log_norm = kappa.log() - kappa - torch.log1p(-torch.exp(-2 * kappa))
    return -(natural * up).sum(-1) - log_norm


def train(library: PoseLibrary, recipe: Recipe = RECIPE, seed: int = 0) -> BalanceNetwork:
    """Train on a library's poses, half of them mirrored."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    captured = library.rotmats()
    rotmats = torch.from_numpy(np.concatenate([captured, mirror(captured)]))
    weights = torch.from_numpy(np.concatenate([library.weights, library.weights]))
    layers = [nn.Linear(*shape) for shape in LAYERS]
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    optimiser = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    for step in range(recipe.steps):
        poses, up = examples(rotmats, weights, recipe.batch, recipe, generator)
        loss = negative_log_likelihood(model(poses[:, 1:, :, :2].flatten(1)), up).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 499:
            log.info("step %d: %.3f", step + 1, loss.item())
    return BalanceNetwork(
        tuple(layer.weight.detach().numpy().T.copy() for layer in layers),
        tuple(layer.bias.detach().numpy() for layer in layers),
    )


def angles(network: BalanceNetwork, library: PoseLibrary, recipe: Recipe = RECIPE) -> np.ndarray:
    """Degrees between the network's up and the true one for noisy poses of a library."""
    generator = torch.Generator().manual_seed(1)
    poses, up = examples(
        torch.from_numpy(library.rotmats()), torch.from_numpy(library.weights), 4000, recipe, generator
    )
    found = network(poses.numpy())
    cosine = (found * up.numpy()).sum(-1) / np.linalg.norm(found, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, default=DATA_FILE)
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    library = PoseLibrary.load(options.poses)
    network = train(library.part(held_out=False), Recipe(steps=options.steps))
    save_network(options.out, network)
    off = angles(network, library.part(held_out=True))
    print(f"{options.out}: median {np.median(off):.1f}, 90 % {np.quantile(off, 0.9):.1f} degrees on poses never seen")


if __name__ == "__main__":
    main()
