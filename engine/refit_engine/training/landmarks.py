# SPDX-License-Identifier: GPL-3.0-or-later
"""What the frozen backbone would say of a posed body, without rendering it.

Lifting landmarks to a body needs far more poses than can be rendered; this gives them at the price of a matrix
product.  The noise imitates the errors that the real landmark branch makes.  Of the image itself nothing is known:
its part of the vector and the keypoint maps are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from refit_engine.network.backbones.blazepose import LANDMARKS
from refit_engine.network.refit import Encoding
from refit_engine.training.views import CROP, HIPS, Views

IMAGE_VECTOR = 1152
# Pairs (left, right) of landmarks, by limb.
ARMS = ((11, 12), (13, 14), (15, 16), (17, 18), (19, 20), (21, 22))
LEGS = ((23, 24), (25, 26), (27, 28), (29, 30), (31, 32))


def simulate_encoding(points: Tensor, views: Views, keypoints: int) -> Encoding:
    """Noisy landmarks of `points` [N,33,3] (camera frame, metres) beside empty maps of that many keypoints."""
    count = len(points)
    focal = views.focal[:, None]
    flat = points[..., :2] / points[..., 2:] * focal[..., None] + CROP / 2 - views.center[:, None]
    hips = points[:, HIPS].mean(1, keepdim=True)
    z = (points[..., 2] - hips[..., 2]) * focal / hips[..., 2]
    located = torch.cat([flat, z[..., None], points - hips], -1)
    located = _swap_sides(_swap_sides(located, ARMS, 0.02), LEGS, 0.03)

    outside = ((flat < 0) | (flat > CROP)).any(-1)
    hidden = outside | (torch.rand(count, LANDMARKS) < 0.25 * torch.rand(count, 1) ** 2)
    visibility = torch.where(
        hidden, 0.6 * torch.rand(count, LANDMARKS), 1 - 0.3 * torch.rand(count, LANDMARKS) ** 3
    )
    spread = 2.5 * torch.exp(0.5 * torch.randn(count, 1)) * torch.where(hidden, 4.0, 1.0)
    spread = spread * torch.where(torch.rand(count, LANDMARKS) < 0.05, 4.0, 1.0)

    flat, z, world = located.split([2, 1, 3], -1)
    flat = flat + 1.5 * torch.randn(count, 1, 2) + spread[..., None] * torch.randn_like(flat)
    z = z * (1 + 0.25 * torch.randn(count, 1, 1)) + (8 + 2 * spread[..., None]) * torch.randn_like(z)
    world = world * (1 + 0.08 * torch.randn(count, 1, 1)) + (0.02 + 0.01 * spread[..., None]) * torch.randn_like(world)

    scaled = torch.cat([flat * (2 / CROP) - 1, z * (2 / CROP), visibility[..., None].expand(-1, -1, 2)], -1)
    vector = torch.cat(
        [torch.zeros(count, IMAGE_VECTOR), scaled.flatten(1), world.flatten(1), torch.ones(count, 1)], 1
    )
    landmarks = torch.cat([flat, visibility[..., None]], -1)
    return Encoding(torch.zeros(count, keypoints, 2, 2), vector, landmarks)


def _swap_sides(located: Tensor, pairs: tuple[tuple[int, int], ...], chance: float) -> Tensor:
    """Exchange left and right of a limb in some samples: the branch's typical mistake."""
    left, right = (list(side) for side in zip(*pairs))
    swapped = located.clone()
    swapped[:, left], swapped[:, right] = located[:, right], located[:, left]
    return torch.where((torch.rand(len(located)) < chance)[:, None, None], swapped, located)
