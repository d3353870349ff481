# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks refined from heatmaps, as MediaPipe's `RefineLandmarksFromHeatmapCalculator` does.

Regressed landmarks are right about which joint is where and coarse about the exact place; heatmaps are the other way
round. A landmark moves to the weighted mean of the cells in a window around it, as far as one of them is likely.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 3
"""Cells on each side of the landmark's own: MediaPipe's window of 7×7."""
UNLIKELY, LIKELY = 0.4, 0.6
"""Probability of the window's likeliest cell up to which a landmark stays, and from which on it moves all the way. MediaPipe
switches at 0.5, where a picture that is darker by one grey level may move a landmark by several pixels."""


def refine(pixels: Tensor, logits: Tensor, size: float) -> Tensor:
    """Landmarks [B,P,2] (pixels of a square crop of this side), moved by their heatmaps' logits [B,P,h,h].

    Cells count by their index, without half a cell added, as the original does. Landmarks outside the crop stay.
    """
    cells = logits.shape[-1]
    own = (pixels * (cells / size)).trunc().long()
    reach = torch.arange(-RADIUS, RADIUS + 1, device=pixels.device)
    columns, rows = (own[..., axis, None] + reach for axis in (0, 1))
    inside = [(index >= 0) & (index < cells) for index in (columns, rows)]
    places = rows.clamp(0, cells - 1)[..., :, None] * cells + columns.clamp(0, cells - 1)[..., None, :]
    near = torch.unflatten(logits.flatten(2).gather(2, places.flatten(2)).float().sigmoid(), 2, places.shape[2:])
    near = near * (inside[1][..., :, None] & inside[0][..., None, :])
    total = near.sum((2, 3)).clamp(min=1e-9)
    mean = torch.stack([(near.sum(2) * columns).sum(-1), (near.sum(3) * rows).sum(-1)], dim=-1) / total[..., None]
    seen = (pixels >= 0).all(-1) & (own < cells).all(-1)
    share = seen * ((near.amax((2, 3)) - UNLIKELY) / (LIKELY - UNLIKELY)).clamp(0, 1)
    return pixels + share[..., None].to(pixels.dtype) * (mean.to(pixels.dtype) * (size / cells) - pixels)


def peaks_at(pixels: Tensor, logits: Tensor, size: float) -> Tensor:
    """The highest probability [B,P] in a heatmap within a cell of each point [B,P,2]; 0 outside the crop."""
    cells = logits.shape[-1]
    highest = F.max_pool2d(logits.float(), 3, stride=1, padding=1).sigmoid()
    own = (pixels * (cells / size)).floor().long()
    inside = ((own >= 0) & (own < cells)).all(-1)
    column, row = own.clamp(0, cells - 1).unbind(-1)
    return highest.flatten(2).gather(2, (row * cells + column)[..., None])[..., 0] * inside
