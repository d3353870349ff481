# SPDX-License-Identifier: GPL-3.0-or-later
"""HRNet pose trunk with the published ReFit's head (all four scales out).

Trunk: Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019.
Module names are those of public checkpoints.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .output import Backbone, BackboneOutput

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_STAGE_MODULES = (1, 4, 3)
_BLOCKS = 4


def _conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_bn(channels, channels, relu=False)
        self.conv2, self.bn2 = _conv_bn(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(y)).add_(x).relu_()


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 with 64 inner and 256 outer channels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_bn(inputs, 64, 1, relu=False)
        self.conv2, self.bn2 = _conv_bn(64, 64, relu=False)
        self.conv3, self.bn3 = _conv_bn(64, 256, 1, relu=False)
        self.downsample = nn.Sequential(*_conv_bn(inputs, 256, 1, relu=False)) if inputs != 256 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return self.bn3(self.conv3(y)).add_(self.downsample(x)).relu_()


def _exchange(source: int, target: int, channels: list[int]) -> nn.Module:
    """Brings branch `source` to the resolution and channels of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        resize = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_conv_bn(channels[source], channels[target], 1, relu=False), resize)
    halvings = target - source
    widths = [channels[source]] * halvings + [channels[target]]
    return nn.Sequential(
        *(
            nn.Sequential(*_conv_bn(before, after, stride=2, relu=step < halvings - 1))
            for step, (before, after) in enumerate(pairwise(widths))
        )
    )


class ExchangeModule(nn.Module):
    """Four blocks on every branch, then every branch receives the sum of all."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        indices = range(len(channels))
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(c) for _ in range(_BLOCKS))) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(source, target, channels) for source in indices) for target in indices
        )

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        branches = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        outputs: list[Tensor] = []
        for layers in self.fuse_layers:
            first, *others = layers.children()
            total: Tensor = first(branches[0])
            for layer, branch in zip(others, branches[1:], strict=True):
                total = total + layer(branch)
            outputs.append(total.relu())
        return outputs


class HRNet(Backbone):
    """HRNet-W`width`: `channels` 720 and vector 384 for W48, 480 and 256 for W32."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**branch for branch in range(4)]
        self.channels = sum(widths)
        self.vector_size = widths[-1]

        self.conv1, self.bn1 = _conv_bn(3, 64, stride=2, relu=False)
        self.conv2, self.bn2 = _conv_bn(64, 64, stride=2, relu=False)
        self.layer1 = nn.Sequential(Bottleneck(64), *(Bottleneck(256) for _ in range(_BLOCKS - 1)))
        for stage, modules in enumerate(_STAGE_MODULES, start=2):
            setattr(self, f"transition{stage - 1}", _transition(widths[:stage]))
            setattr(self, f"stage{stage}", nn.Sequential(*(ExchangeModule(widths[:stage]) for _ in range(modules))))
        for branch in range(1, 4):
            c = widths[branch]
            setattr(self, f"upsample_stage_{branch + 1}", _upsample(c, doublings=branch))
            setattr(self, f"downsample_stage_{branch}", nn.Sequential(*_conv_bn(widths[branch - 1], c, stride=2)))
        self.final_layer = nn.Sequential(*_conv_bn(self.vector_size, self.vector_size, 1))

        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, crop: Tensor) -> BackboneOutput:
        """RGB crops [B,3,256,256] in 0…1 to features and vector."""
        return self.trunk(self.normalise(crop))

    def normalise(self, crop: Tensor) -> Tensor:
        """Colours as ImageNet classifiers expect them."""
        return (crop - self.mean) / self.std

    def trunk(self, image: Tensor) -> BackboneOutput:
        """Normalised crops [B,3,256,256] to features [B,C,64,64] and vector [B,D]."""
        x = self.bn1(self.conv1(image)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        branches = [self.layer1(x)]
        for stage in range(2, 5):
            transition = getattr(self, f"transition{stage - 1}")
            inputs = branches + branches[-1:] if stage > 2 else branches * 2
            branches = [step(x) for step, x in zip(transition, inputs, strict=True)]
            branches = getattr(self, f"stage{stage}")(branches)
        return BackboneOutput(self._map(branches), self._vector(branches), None)

    def _map(self, branches: list[Tensor]) -> Tensor:
        raised = [getattr(self, f"upsample_stage_{k + 1}")(branches[k]) for k in range(1, 4)]
        # Channels first, whatever the trunk runs with: what follows is faster so (see `winograd`).
        return torch.cat([x.contiguous() for x in (branches[0], *raised)], dim=1)

    def _vector(self, branches: list[Tensor]) -> Tensor:
        y = branches[0]
        for k in range(1, 4):
            y = getattr(self, f"downsample_stage_{k}")(y) + branches[k]
        return self.final_layer(y).mean(dim=(2, 3))


def _transition(widths: list[int]) -> nn.ModuleList:
    """Old branches go on; the coarsest one also starts a new branch of half the resolution."""
    if len(widths) == 2:
        first = nn.Sequential(*_conv_bn(256, widths[0]))
        return nn.ModuleList([first, nn.Sequential(nn.Sequential(*_conv_bn(256, widths[1], stride=2)))])
    new = nn.Sequential(nn.Sequential(*_conv_bn(widths[-2], widths[-1], stride=2)))
    return nn.ModuleList([*(nn.Identity() for _ in widths[:-1]), new])


def _upsample(channels: int, doublings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(doublings):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), *_conv_bn(channels, channels)]
    return nn.Sequential(*layers)
