# SPDX-License-Identifier: GPL-3.0-or-later
"""Feedback windows: what a keypoint's feature map shows around the place where the keypoint is now."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def window_offsets(radius: int, *, device: torch.device | None = None) -> Tensor:
    """Offsets [2r+1,2r+1,2] (x, y) of a square window; x is the slow axis, as in published checkpoints."""
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)


def lookup(maps: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
    """Bilinear samples of each keypoint's own map in a window around it; zero outside of the map.

    `maps` [B,K,N,N]; `points` [B,K,2] in map pixels, 0 being the middle of the first one;
    `offsets` [n,n,2] from `window_offsets`. Returns [B,K,n²].
    """
    batch, count, size, _ = maps.shape
    points = points.clamp(-size, 2 * size)  # a whole window outside; samplers overflow far from the map
    # One keypoint's map is one "image" of the batch, so that each keypoint reads its own channel only.
    grid = 2 * (points.reshape(-1, 1, 1, 2) + offsets) / (size - 1) - 1
    windows = F.grid_sample(maps.reshape(-1, 1, size, size), grid, align_corners=True)
    return windows.view(batch, count, -1)
