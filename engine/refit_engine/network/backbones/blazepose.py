# SPDX-License-Identifier: GPL-3.0-or-later
"""BlazePose GHUM, the pose network of MediaPipe, as a backbone.

The layer plan was read from the graphs of npm `@mediapipe/pose` (Apache-2.0); `refit_training.assets.convert_blazepose`
copies the weights and checks the result against the original. The segmentation branch is left out.

An encoder of inverted residual blocks (stride 32) feeds a decoder that climbs back to stride 4. From there the network
descends a second time, to a 2×2 map from which every landmark is read by a linear layer. A heatmap of each landmark is
read from the decoder's map; landmarks are refined by it. This is the heavy one of MediaPipe's three networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...errors import WeightsFileError
from ..modules import named_modules
from .blazepose_plan import HEAVY, INPUT_SIZE, LANDMARK_NAMES, LANDMARKS, POINTS, BlazePoseConfig, Stage
from .heatmap_refinement import peaks_at, refine
from .output import Backbone, BackboneOutput

__all__ = [
    "LANDMARK_NAMES",
    "BlazePose",
    "BlazePoseConfig",
    "BlazePoseOutput",
    "heatmap_file",
    "load_blazepose",
]

WEIGHTS = Path(__file__).parents[2] / "data" / "blazepose_heavy.safetensors"


class BlazePoseOutput(NamedTuple):
    """Everything the network says about a batch of crops; pixels are those of the 256×256 crop."""

    features: Tensor
    """[B, C, 64, 64] decoder map, stride 4."""
    vector: Tensor
    """[B, V] last 2×2 map, flattened: the landmarks are linear in it."""
    landmarks: Tensor
    """[B, 39, 5] x, y, z in crop pixels (z towards the camera negative, 0 at the hips), visibility, presence 0..1."""
    world: Tensor
    """[B, 39, 3] metres, axes of the crop, origin between the hips."""
    presence: Tensor
    """[B] probability that the crop shows a person."""
    local: Tensor
    """[B, 33, C] the encoder's maps of stride 16 and 32 at the landmarks."""
    refined: Tensor
    """[B, 39, 2] x, y of the landmarks in crop pixels, refined from the heatmaps."""
    peaks: Tensor
    """[B, 39] 0..1, the heatmaps' own probability of those places."""


def relu6_(x: Tensor) -> Tensor:
    """In place: what it gets is read by nobody else."""
    return cast("Tensor", _Relu6.apply(x)) if x.requires_grad else _clamp_(x)


class _Relu6(torch.autograd.Function):
    """`hardtanh_` with the quick clamp: where the result is 0 or 6, nothing flows back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(_clamp_(x))
        return x

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:
        (gradient,), (result,) = grad_outputs, ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, result, 0, 6)


def _clamp_(x: Tensor) -> Tensor:
    if x.dtype == torch.bfloat16:
        # Up to the sign, bfloat16 numbers are ordered as the integers of their bits, 6 is 0x40C0, and torch clamps
        # integers 17 times faster on the CPU: half of the network's time in bfloat16.
        x.view(torch.int16).clamp_(0, 0x40C0)
        return x
    return x.clamp_(0, 6)


class Conv(nn.Conv2d):
    """Convolution with bias (batch norm already folded) that keeps the size, or halves it; ReLU6 unless linear."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)
        self.linear = linear

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch.nn.Conv2d calls it so
        x = input
        if x.requires_grad and self.groups > 1 and self.stride == (2, 2):
            # The gradient of every pixel, half of them zero, is twenty times quicker than the one of a stride.
            x = F.conv2d(x, self.weight, self.bias, 1, self.padding, groups=self.groups)[..., ::2, ::2]
        else:
            x = super().forward(x)
        return x if self.linear else relu6_(x)


def depthwise(channels: int, kernel: int = 3, stride: int = 1) -> Conv:
    return Conv(channels, channels, kernel, stride, groups=channels)


def separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(depthwise(inputs), Conv(inputs, outputs))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width = inputs * stage.expansion
        self.expand = Conv(inputs, width)
        self.depthwise = depthwise(width, stage.kernel, stride)
        self.project = Conv(width, stage.channels, linear=True)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return y + x if self.residual else y


class ResidualSeparable(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = depthwise(channels)
        self.pointwise = Conv(channels, channels, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return relu6_(self.pointwise(self.depthwise(x)).add_(x))


class Halve(nn.Module):
    """Separable convolution of stride 2 beside a max-pool whose missing channels are zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = Conv(inputs, inputs, kernel=3, stride=2, groups=inputs)
        # TensorFlow's SAME padding of an even size puts the one missing row and column behind the image only.
        self.depthwise.padding = (0, 0)
        self.pointwise = Conv(inputs, outputs, linear=True)
        self.missing = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(F.pad(x, (0, 1, 0, 1))))
        pooled = F.pad(F.max_pool2d(x, 2), (0, 0, 0, 0, 0, self.missing))
        return relu6_(y.add_(pooled))


class Encoder(nn.Module):
    """Image to maps of stride 4, 8, 16, to one of stride 32 and, of that, an expanded one."""

    def __init__(self, config: BlazePoseConfig) -> None:
        super().__init__()
        first = Conv(3, 24, kernel=3, stride=2)
        self.stem = nn.Sequential(first, depthwise(24), Conv(24, config.stem, linear=True))
        self.blocks = nn.ModuleList()
        channels = config.stem
        self.widths: list[int] = []
        """Channels of the maps of stride 4, 8, 16."""
        self.taps: list[int] = []
        """Indices of the blocks before which they are taken: those that halve the resolution."""
        for stage in config.encoder:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                if stride == 2 and self.blocks:
                    self.taps.append(len(self.blocks))
                    self.widths.append(channels)
                self.blocks.append(InvertedResidual(channels, stage, stride))
                channels = stage.channels
        self.top = nn.Sequential(Conv(channels, config.top), depthwise(config.top))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        # The image has 2×128 rows, and the graph pads all sides of it: symmetric padding is exact here and below.
        x = self.stem(x)
        maps: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if index in self.taps:
                maps.append(x)
            x = block(x)
        return maps, x, self.top(x)


class Decoder(nn.Module):
    """Climbs from stride 32 back to 4: bilinear doubling plus the encoder's map."""

    def __init__(self, widths: list[int], top: int, channels: int) -> None:
        super().__init__()
        self.top = nn.Sequential(depthwise(top), Conv(top, channels))
        self.laterals = nn.ModuleList(separable(width, channels) for width in widths)

    def forward(self, maps: list[Tensor], top: Tensor) -> Tensor:
        x = self.top(top)
        for lateral, skip in zip(reversed(self.laterals), reversed(maps), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False).add_(lateral(skip))
        return x


class Descending(nn.Module):
    """From the decoder's map down to the last 2×2 map."""

    def __init__(self, config: BlazePoseConfig, widths: list[int]) -> None:
        super().__init__()
        sources = [*widths[1:], config.top]
        skips = [step for step in config.descents if step.skip]
        self.skips = nn.ModuleList(
            separable(source, step.channels) for source, step in zip(sources, skips, strict=True)
        )
        self.steps = nn.ModuleList()
        channels = config.decoder
        for step in config.descents:
            residuals = (ResidualSeparable(step.channels) for _ in range(step.blocks))
            self.steps.append(nn.Sequential(Halve(channels, step.channels), *residuals))
            channels = step.channels

    def forward(self, features: Tensor, maps: list[Tensor], top: Tensor) -> Tensor:
        x = features
        sources = [*maps[1:], top]
        for index, step in enumerate(self.steps):
            x = step(x)
            if index < len(self.skips):
                x = x + self.skips[index](sources[index])
        return x


class BlazePose(Backbone):
    """Pose network, frozen until `low_rank.adapt` thaws it; as a backbone its forward takes RGB in 0..1, [B, 3, 256, 256].

    `vector` of the backbone output, [B, vector_size], is the concatenation of: the last 2×2 map, flattened; per
    landmark (33), as it was before its refinement, x/128−1, y/128−1, z/128, visibility, presence; per landmark its 3 world coordinates in metres; the
    probability that there is a person at all.
    """

    def __init__(self, config: BlazePoseConfig = HEAVY) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(self.encoder.widths, config.top, config.decoder)
        self.descending = Descending(config, self.encoder.widths)
        last = config.descents[-1].channels
        self.landmark_head = nn.Conv2d(last, POINTS * 5, 2)
        self.world_head = nn.Conv2d(last, POINTS * 3, 2)
        self.presence_head = nn.Conv2d(last, 1, 2)
        self.heatmap_head = nn.Conv2d(config.decoder, POINTS, 1)
        self.channels = config.decoder
        self.vector_size = last * 4 + LANDMARKS * (5 + 3) + 1
        self.local_size = self.encoder.widths[-1] + config.encoder[-1].channels
        self.requires_grad_(False)

    def observe(self, crop: Tensor) -> BlazePoseOutput:
        """All outputs for crops of RGB in 0..1, [B, 3, 256, 256]."""
        maps, deepest, top = self.encoder(crop)
        features = self.decoder(maps, top)
        last = self.descending(features, maps, top)
        # Pixels need more than the 8 bits of bfloat16, whatever the rest of the network runs in.
        with torch.autocast(last.device.type, enabled=False):
            exact = last.float()
            landmarks, world, presence = (
                F.conv2d(exact, head.weight.float(), None if head.bias is None else head.bias.float()).flatten(1)
                for head in (self.landmark_head, self.world_head, self.presence_head)
            )
            heatmaps = F.conv2d(features.float(), self.heatmap_head.weight, self.heatmap_head.bias)
        landmarks = landmarks.view(-1, POINTS, 5)
        refined = refine(landmarks[..., :2], heatmaps, INPUT_SIZE)
        return BlazePoseOutput(
            features=features,
            vector=last.flatten(1),
            landmarks=torch.cat([landmarks[..., :3], landmarks[..., 3:].sigmoid()], dim=-1),
            world=world.view(-1, POINTS, 3),
            presence=presence[:, 0].sigmoid(),
            local=_read_at([maps[-1], deepest], landmarks[:, :LANDMARKS, :2].detach()),
            refined=refined,
            peaks=peaks_at(refined, heatmaps, INPUT_SIZE),
        )

    def dense_convolutions(self, first_block: int) -> list[str]:
        """Names of the convolutions across channels: the encoder's from a block on (28: none), all that follow, and the heads."""
        names: list[str] = []
        for name, module in named_modules(self):
            if isinstance(module, nn.Conv2d) and module.groups == 1 and name not in ("presence_head", "heatmap_head"):
                part, *rest = name.split(".")
                if part != "encoder" or rest[0] == "top" or (rest[0] == "blocks" and int(rest[1]) >= first_block):
                    names.append(name)
        return names

    def forward(self, crop: Tensor) -> BackboneOutput:
        seen = self.observe(crop)
        landmarks = seen.landmarks[:, :LANDMARKS]
        half = INPUT_SIZE / 2
        scaled = torch.cat([landmarks[..., :2] / half - 1, landmarks[..., 2:3] / half, landmarks[..., 3:]], dim=-1)
        vector = torch.cat(
            [
                seen.vector.float(),
                scaled.flatten(1),
                seen.world[:, :LANDMARKS].flatten(1),
                seen.presence[:, None],
            ],
            dim=1,
        )
        refined = torch.cat([seen.refined[:, :LANDMARKS], landmarks[..., 3:4]], dim=-1)
        # The circle's heatmaps are not worth following: crops then change with a grey level of the picture.
        circle = seen.landmarks[:, LANDMARKS : LANDMARKS + 2, :2]
        return BackboneOutput(seen.features, vector, refined, circle, seen.local, seen.peaks[:, :LANDMARKS])


def _read_at(maps: list[Tensor], pixels: Tensor) -> Tensor:
    """Maps [B,C,h,h] of the crop, read between their cells at pixels [B,P,2] of it: [B,P,all channels]. Outside they go on as at the border."""
    places = (pixels * (2 / INPUT_SIZE) - 1)[:, None].float()
    seen: list[Tensor] = []
    for one in maps:
        # No further than to the middle of the outermost cells: not every device knows padding by the border.
        edge = 1 - 1 / one.shape[-1]
        seen.append(F.grid_sample(one.float(), places.clamp(-edge, edge), align_corners=False))
    return torch.cat(seen, dim=1)[:, :, 0].mT


def heatmap_file(path: Path) -> Path:
    """Where the weights of the heatmaps belong to those of the rest."""
    return path.with_name(f"{path.stem}_heatmaps.safetensors")


def load_blazepose(device: torch.device | str = "cpu", path: Path = WEIGHTS) -> BlazePose:
    """Frozen network in evaluation mode with the bundled weights (float16 on disk, float32 in memory).

    The weights of the heatmaps lie in a file beside the others (`heatmap_file`). Raises WeightsFileError if a file is
    missing or holds another network.
    """
    model = BlazePose()
    try:
        state: dict[str, Tensor] = {}
        for part in (path, heatmap_file(path)):
            with safe_open(part, framework="pt", device=str(device)) as file:
                state |= {name: file.get_tensor(name).float() for name in file.keys()}
        model.to(device).load_state_dict(state)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsFileError(f"{path.name} does not hold the weights of BlazePose heavy.") from error
    # PyTorch's own types know no memory_format of whole modules.
    return model.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
