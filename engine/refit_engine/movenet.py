# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two networks of the MoveNet family share: MultiPose (`detect`) and Thunder (`thunder`).

MobileNetV2 down to stride 32, a feature pyramid back up to stride 4, and heads of CenterNet on that map. The layer plans
were read from the published graphs (Apache-2.0); `refit_training.assets.convert_detector` makes the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .device import is_out_of_memory
from .errors import WeightsFileError

__all__ = ["COCO_JOINT_NAMES", "JOINTS", "OUTPUT_STRIDE", "Conv", "Pyramid", "load_weights", "stored_weights"]

OUTPUT_STRIDE = 4
BLOCKS = ((2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))
"""Blocks of each stage of MobileNetV2, without its first one, and by how much the first of them reduces the map."""

# fmt: off
COCO_JOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)
# fmt: on
JOINTS = len(COCO_JOINT_NAMES)

LARGE = 2**15
"""Numbers from which a weight is stored in 8 bits. Those of the first stages and of the heads are small and matter most."""


class Conv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding of even sizes: a stride of 2 pads behind the image only."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        activation: Literal["relu6", "relu", "none"] = "relu6",
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)
        self.activation = activation
        self.pads_behind = stride == 2

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch.nn.Conv2d calls it so
        x = super().forward(F.pad(input, (0, 1, 0, 1)) if self.pads_behind else input)
        if self.activation == "relu6":
            return x.clamp_(0, 6)
        return x.relu_() if self.activation == "relu" else x


class InvertedResidual(nn.Module):
    """MobileNetV2's block: sixfold expansion, depthwise 3×3, linear projection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        width = 6 * inputs
        self.expand = Conv(inputs, width)
        self.depthwise = Conv(width, width, kernel=3, stride=stride, groups=width)
        self.project = Conv(width, outputs, activation="none")
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return y.add_(x) if self.residual else y


def separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = Conv(inputs, inputs, kernel=3, groups=inputs, bias=False, activation="none")
    return nn.Sequential(depthwise, Conv(inputs, outputs, activation="relu"))


class Pyramid(nn.Module):
    """Image [B,3,H,W] in 0..255, RGB, sides multiples of 32, to a map [B,24,H/4,W/4], and from it the heads' maps.

    stem: channels of the first two convolutions; stages: channels of the six that follow; heads: channels of each map.
    """

    def __init__(self, stem: tuple[int, int], stages: tuple[int, ...], heads: Mapping[str, int]) -> None:
        super().__init__()
        first, channels = stem
        self.stem = nn.Sequential(
            Conv(3, first, kernel=3, stride=2),
            Conv(first, first, kernel=3, groups=first),
            Conv(first, channels, activation="none"),
        )
        self.stages = nn.ModuleList()
        for outputs, (count, stride) in zip(stages, BLOCKS, strict=True):
            block = InvertedResidual(channels, outputs, stride)
            self.stages.append(nn.Sequential(block, *(InvertedResidual(outputs, outputs, 1) for _ in range(count - 1))))
            channels = outputs
        self.top = nn.Sequential(Conv(channels, 1280), Conv(1280, 64, activation="none"))
        widths = (64, 32, 24)
        self.laterals = nn.ModuleList(
            Conv(inputs, width, activation="none") for inputs, width in zip(stages[2::-1], widths, strict=True)
        )
        self.merges = nn.ModuleList(
            separable(width, after) for width, after in zip(widths, (*widths[1:], 24), strict=True)
        )
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(separable(24, 96), Conv(96, size, activation="none")) for name, size in heads.items()}
        )

    def features(self, image: Tensor) -> Tensor:
        """The map [B,24,H/4,W/4] that the heads read."""
        x = self.stem(image * (2 / 255) - 1)
        skips: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        x = self.top(x)
        for lateral, merge, skip in zip(self.laterals, self.merges, (skips[2], skips[1], skips[0]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = merge(x.add_(lateral(skip)))
        return x


def stored_weights(network: nn.Module) -> dict[str, Tensor]:
    """A state dict as it lies on disk: float16; large pointwise weights in 8 bits, with one float16 scale per output channel."""
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 4 and tensor.shape[1] > 1 and tensor.numel() >= LARGE:
            scale = (tensor.abs().amax((1, 2, 3)) / 127).clamp(min=1e-7).half()
            codes = (tensor / scale.float()[:, None, None, None]).round().clamp(-127, 127)
            state |= {name: codes.to(torch.int8), f"{name}.scale": scale}
        else:
            state[name] = tensor.half()
    return {name: tensor.contiguous() for name, tensor in state.items()}


def load_weights(network: nn.Module, path: Path, what: str, device: torch.device | str = "cpu") -> None:
    """Fill a network, freeze it and move it to a device. Raises WeightsFileError if the file does not hold `what`."""
    try:
        with safe_open(path, framework="pt") as file:
            network.load_state_dict(dict(_read(file)))
    except (OSError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsFileError(f"{path.name} does not hold the weights of {what}.") from error
    network.eval().requires_grad_(False)
    # PyTorch's own types know no memory_format of whole modules.
    network.to(torch.device(device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _read(file: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and float32 tensors of a file that `stored_weights` filled."""
    names: set[str] = set(file.keys())
    for name in names:
        if not name.endswith(".scale"):
            tensor: Tensor = file.get_tensor(name).float()
            scale = f"{name}.scale"
            yield name, tensor * file.get_tensor(scale).float()[:, None, None, None] if scale in names else tensor
