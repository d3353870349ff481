# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutions for one person at a time on a processor.

For one image, oneDNN spends much of a convolution on bringing the weights into the order that it computes
in, and the activation reads everything once more. Here the weights stay in that order, and the activation
is applied on the way out, with the operators that PyTorch's own compiler uses.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import movenet
from .backbones import blazepose

Activation = tuple[str, list[float]]
_NONE: Activation = ("none", [])
_RELU: Activation = ("relu", [])
_RELU6: Activation = ("hardtanh", [0.0, 6.0])
_MOVENET = {"none": _NONE, "relu": _RELU, "relu6": _RELU6}


class PackedConv2d(nn.Module):
    """Stands in for a `Conv2d` with what follows it, on maps of `input_shape` [B,C,H,W].

    Other batch sizes and resolutions work too, only less fast. It cannot move to another device.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation, input_shape: list[int]) -> None:
        super().__init__()
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.activation = activation
        self.pads_behind = isinstance(conv, movenet.Conv) and conv.pads_behind
        self.bias = conv.bias
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self.geometry, input_shape)

    def forward(self, maps: Tensor) -> Tensor:
        if self.pads_behind:
            maps = F.pad(maps, (0, 1, 0, 1))
        return torch.ops.mkldnn._convolution_pointwise(
            maps, self.weight, self.bias, *self.geometry, *self.activation, ""
        )


def can_pack() -> bool:
    """Whether this PyTorch has oneDNN and the operators, which it does not promise to keep."""
    names = ("_reorder_convolution_weight", "_convolution_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def pack_convolutions(module: nn.Module, run: Callable[[], object]) -> None:
    """Replaces the convolutions of a module that `run` passes through, in place."""
    shapes: dict[nn.Module, list[int]] = {}

    def note(conv: nn.Module, inputs: tuple[Tensor]) -> None:
        shapes[conv] = list(inputs[0].shape)

    convolutions = [child for child in module.modules() if isinstance(child, nn.Conv2d)]
    hooks = [conv.register_forward_pre_hook(note) for conv in convolutions]
    run()
    for hook in hooks:
        hook.remove()
    _replace(module, shapes)


def _replace(module: nn.Module, shapes: dict[nn.Module, list[int]]) -> None:
    children = list(module.named_children())
    for place, (name, child) in enumerate(children):
        next_name, follower = children[place + 1] if place + 1 < len(children) else ("", None)
        if not isinstance(child, nn.Conv2d) or child not in shapes:
            _replace(child, shapes)
            continue
        activation = _NONE
        if isinstance(child, movenet.Conv):
            activation = _MOVENET[child.activation]
        elif isinstance(child, blazepose.Conv):
            activation = _NONE if child.linear else _RELU6
        elif isinstance(module, nn.Sequential) and isinstance(follower, nn.ReLU):
            activation = _RELU
            setattr(module, next_name, nn.Identity())
        setattr(module, name, PackedConv2d(child, activation, shapes[child]))
