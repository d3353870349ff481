# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trainable backbone outputs: gradients through it, and labels for what it says by itself.

The loop reads the same maps many times, so its gradients are gathered at the backbone's outputs and go through the
backbone once, together with those of the backbone's own labels: where the landmarks are, how far off they may be, which
circle stands around the body, and where each marker is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.refit import MAP_SIZE
from refit_engine.network.vector_head import flat_landmarks, world_landmarks
from torch import Tensor, nn

from refit_training.known import known
from refit_training.train.landmarks import locate
from refit_training.train.views import CROP, Views, circle_around

WEIGHTS = {"landmarks": 10.0, "landmark_depth": 2.0, "world": 5.0, "certainty": 0.2, "circle": 5.0, "markers": 0.1}
UNSURE = 6.0
"""Crop pixels off at which a landmark's presence should be one half. Its visibility is left as it was learned from photographs."""
SPOT = 1.5
"""Standard deviation of a marker's spot, in pixels of the 64×64 map."""
FAR = 2.0
"""Half crops beyond which an error pulls no harder."""


@dataclass(frozen=True)
class BackbonePass:
    """A backbone's outputs with the graph behind them, and the same values at which gradients are gathered."""

    outputs: BackboneOutput
    leaves: BackboneOutput

    @classmethod
    def of(cls, outputs: BackboneOutput) -> BackbonePass:
        return cls(outputs, BackboneOutput._make(known(part).detach().requires_grad_() for part in outputs))

    def backward(self) -> None:
        """Once all losses have reached the leaves: on through the backbone."""
        pairs = [
            (output, leaf.grad)
            for output, leaf in zip(map(known, self.outputs), map(known, self.leaves), strict=True)
            if leaf.grad is not None
        ]
        torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])


class BackboneLosses(nn.Module):
    """Losses of a BlazePose's own outputs. `spots` reads markers off the feature map; only training needs it."""

    def __init__(self, channels: int, markers: int) -> None:
        super().__init__()
        self.spots = nn.Conv2d(channels, markers, 1)
        nn.init.zeros_(self.spots.weight)

    def forward(self, seen: BackboneOutput, views: Views, landmarks: Tensor, markers: Tensor) -> dict[str, Tensor]:
        """landmarks [B,33,3], markers [B,K,3]: metres, camera frame. Each loss is averaged over the batch."""
        truth = locate(landmarks, views)
        values = flat_landmarks(seen.vector)
        half = CROP / 2
        flat = truth[..., :2] / half - 1
        off = (values[..., :2] - flat).detach().norm(dim=-1) * half
        certain = 1 / (1 + (off / UNSURE).square())
        presence = values[..., 4].clamp(1e-4, 1 - 1e-4)
        x, y = ((views.crop_pixels(markers) * (MAP_SIZE / CROP))[..., axis, None] for axis in (0, 1))
        with torch.autocast(seen.features.device.type, torch.bfloat16):
            spots = self.spots(seen.features).float()
        return {
            "landmarks": (values[..., :2] - flat).clamp(-FAR, FAR).abs().mean(),
            "landmark_depth": (values[..., 2] - truth[..., 2] / half).clamp(-FAR, FAR).abs().mean(),
            "world": (world_landmarks(seen.vector) - truth[..., 3:]).abs().mean(),
            "certainty": -(certain * presence.log() + (1 - certain) * (1 - presence).log()).mean(),
            "circle": (known(seen.circle) - true_circle(truth[..., :2])).div(half).clamp(-FAR, FAR).abs().mean(),
            "markers": _spot_entropy(spots, x, y),
        }


def true_circle(flat: Tensor) -> Tensor:
    """Landmarks [B,33,2] to the middle of the hips and the point above it on the circle around all of them [B,2,2]."""
    hips, up, radius = circle_around(flat)
    return torch.stack([hips, hips + up / up.norm(dim=1, keepdim=True).clamp(min=1e-6) * radius[:, None]], 1)


def _spot_entropy(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Cross entropy, in nats, of maps [B,K,64,64] (logits over their pixels) with round spots at x, y [B,K,1] inside them."""
    pixels = torch.arange(MAP_SIZE, device=x.device) + 0.5
    across, down = (torch.exp(-(pixels - place).square() / (2 * SPOT**2)) for place in (x, y))
    mass = across.sum(2) * down.sum(2)
    # The spots are products of a row and a column: no map has to hold them.
    agreed = ((maps @ across[..., None])[..., 0] * down).sum(2) / mass.clamp(min=1e-6)
    inside = ((x > 0) & (x < MAP_SIZE) & (y > 0) & (y < MAP_SIZE))[..., 0]
    return ((maps.flatten(2).logsumexp(2) - agreed) * inside).sum() / inside.sum().clamp(min=1)
