# SPDX-License-Identifier: GPL-3.0-or-later
"""Backbones: from a crop to a feature map and a global vector."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .output import Backbone, BackboneOutput

__all__ = ["BACKBONES", "Backbone", "BackboneOutput"]


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
