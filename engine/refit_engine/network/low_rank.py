# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-rank changes of a given network's convolutions (Hu et al., "LoRA", ICLR 2022).

A weight W becomes W + up·down, where `up` and `down` are thin: the given network stays as it is, in its own file, and
what training added is small. Biases are few and change freely.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .modules import named_modules

__all__ = ["adapt", "apply_changes", "changes_of", "resume_changes"]


class LowRankChange(nn.Module):
    """What is added to a convolution's weight [O,I,h,w]: nothing at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        inputs = weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inputs, device=weight.device) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return weight + (self.up @ self.down).view_as(weight)


def adapt(network: nn.Module, names: Iterable[str], rank: int) -> None:
    """Makes the named convolutions of a frozen network trainable, in place."""
    for name in names:
        convolution = network.get_submodule(name)
        weight, bias = convolution.weight, convolution.bias
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            raise TypeError(f"{name} is no convolution with a bias")
        parametrize.register_parametrization(convolution, "weight", LowRankChange(weight, rank))
        bias.requires_grad_(True)


def changes_of(network: nn.Module) -> dict[str, Tensor]:
    """What training changed in an adapted network: `NAME.up` [O,R], `NAME.down` [R,I·h·w], `NAME.bias` [O]."""
    changes: dict[str, Tensor] = {}
    for name, module in named_modules(network):
        if parametrize.is_parametrized(module, "weight"):
            change, bias = module.get_submodule("parametrizations.weight.0"), module.bias
            if isinstance(change, LowRankChange) and isinstance(bias, Tensor):
                changes |= {f"{name}.up": change.up, f"{name}.down": change.down, f"{name}.bias": bias}
    return changes


def resume_changes(network: nn.Module, changes: dict[str, Tensor]) -> None:
    """Adapts a network as it was given with changes that go on from these."""
    names = [name.removesuffix(".up") for name in changes if name.endswith(".up")]
    for name in names:
        adapt(network, [name], changes[f"{name}.up"].shape[1])
    with torch.no_grad():
        for name, parameter in changes_of(network).items():
            parameter.copy_(changes[name])


def apply_changes(network: nn.Module, changes: dict[str, Tensor]) -> None:
    """Builds the changes into a network as it was given, in place. Raises KeyError or RuntimeError if they are another's."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in changes.items():
            convolution, _, kind = name.rpartition(".")
            if kind == "bias":
                parameters[name].copy_(value)
            elif kind == "up":
                weight = parameters[f"{convolution}.weight"]
                weight += (value @ changes[f"{convolution}.down"]).view_as(weight)
            elif kind != "down":
                raise KeyError(name)
