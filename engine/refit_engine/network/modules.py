# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a network by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import nn


def named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """PyTorch's own, which does not say of which type its results are."""
    return cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
