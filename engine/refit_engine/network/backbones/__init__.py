# SPDX-License-Identifier: GPL-3.0-or-later
"""Backbones: from a crop to a feature map and a global vector."""

from __future__ import annotations

from collections.abc import Callable

from .output import Backbone, BackboneOutput

__all__ = ["BACKBONES", "Backbone", "BackboneOutput"]


def _hrnet(width: int) -> Callable[[], Backbone]:
    def build() -> Backbone:
        from .hrnet import HRNet

        return HRNet(width)

    return build


def _blazepose() -> Backbone:
    from .blazepose import BlazePose

    return BlazePose()


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "hrnet_w48": _hrnet(48),
    "hrnet_w32": _hrnet(32),
    "blazepose_heavy": _blazepose,
}
"""Untrained backbones by the name that a `ReFitConfig` gives them."""
