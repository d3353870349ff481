# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backbone is, and what it says of crops."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class BackboneOutput(NamedTuple):
    """What the rest of the network sees of the crop."""

    features: Tensor
    """[B,C,64,64]."""
    vector: Tensor
    """[B,D]."""
    landmarks: Tensor | None
    """[B,33,3]: x, y in crop pixels and visibility 0…1, from backbones that find landmarks themselves."""
    circle: Tensor | None = None
    """[B,2,2] crop pixels: the middle of the hips, and the point above it on the circle around the body."""
    local: Tensor | None = None
    """[B,33,E]: what deep maps show at the landmarks."""
    peaks: Tensor | None = None
    """[B,33] 0…1: how likely the landmarks' own heatmaps call their places."""


class Backbone(nn.Module):
    """A module that turns RGB crops [B,3,256,256] in 0…1 into a `BackboneOutput`, normalising by itself."""

    channels: int
    vector_size: int
    local_size: int = 0
    """Features at each landmark; 0 for backbones without landmarks."""
