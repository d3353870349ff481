# SPDX-License-Identifier: GPL-3.0-or-later
"""The convolutions of a network in the order in which a graph has them."""

from __future__ import annotations

from torch import nn


def convolutions(part: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of a part of a network, itself included, in the order in which it registers them."""
    return [module for module in part.modules() if isinstance(module, nn.Conv2d)]
