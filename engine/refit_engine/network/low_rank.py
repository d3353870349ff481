# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-rank adapters of a given network's convolutions (Hu et al., "LoRA", ICLR 2022).

A weight W becomes W + up·down, where `up` and `down` are thin: the given network stays as it is, in its own file, and
what training added is small. Biases are few and are trained whole.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .modules import named_modules

__all__ = ["adapt", "adapters_of", "apply_adapters", "resume_adapters"]


class LowRankAdapter(nn.Module):
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
        parametrize.register_parametrization(convolution, "weight", LowRankAdapter(weight, rank))
        bias.requires_grad_(True)


def adapters_of(network: nn.Module) -> dict[str, Tensor]:
    """What training changed in an adapted network: `NAME.up` [O,R], `NAME.down` [R,I·h·w], `NAME.bias` [O]."""
    adapters: dict[str, Tensor] = {}
    for name, module in named_modules(network):
        if parametrize.is_parametrized(module, "weight"):
            adapter, bias = module.get_submodule("parametrizations.weight.0"), module.bias
            if isinstance(adapter, LowRankAdapter) and isinstance(bias, Tensor):
                adapters |= {f"{name}.up": adapter.up, f"{name}.down": adapter.down, f"{name}.bias": bias}
    return adapters


def resume_adapters(network: nn.Module, adapters: dict[str, Tensor]) -> None:
    """Adapts a network as it was given with adapters that go on from these."""
    names = [name.removesuffix(".up") for name in adapters if name.endswith(".up")]
    for name in names:
        adapt(network, [name], adapters[f"{name}.up"].shape[1])
    with torch.no_grad():
        for name, parameter in adapters_of(network).items():
            parameter.copy_(adapters[name])


def apply_adapters(network: nn.Module, adapters: dict[str, Tensor]) -> None:
    """Builds the adapters into a network as it was given, in place. Raises KeyError or RuntimeError if they are another's."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in adapters.items():
            convolution, _, kind = name.rpartition(".")
            if kind == "bias":
                parameters[name].copy_(value)
            elif kind == "up":
                weight = parameters[f"{convolution}.weight"]
                weight += (value @ adapters[f"{convolution}.down"]).view_as(weight)
            elif kind != "down":
                raise KeyError(name)
