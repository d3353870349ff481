# SPDX-License-Identifier: GPL-3.0-or-later
"""Backbones: from a crop to a feature map and a global vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor, nn

__all__ = ["BACKBONES", "Backbone", "BackboneOutput"]


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


class Backbone(Protocol):
    """A module that turns RGB crops [B,3,256,256] in 0…1 into a `BackboneOutput`, normalising by itself."""

    channels: int
    vector_size: int

    def __call__(self, crop: Tensor) -> BackboneOutput: ...


def _hrnet(width: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from .hrnet import HRNet

        return HRNet(width)

    return build


def _blazepose() -> nn.Module:
    from .blazepose import BlazePose

    return BlazePose()


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "hrnet_w48": _hrnet(48),
    "hrnet_w32": _hrnet(32),
    "blazepose_heavy": _blazepose,
}
"""Untrained backbones by the name that a `ReFitConfig` gives them."""
