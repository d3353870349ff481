# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of the people in a photo: YOLOv4-tiny, reduced to its person class.

The layer plan follows darknet's `yolov4-tiny.cfg`; `training.convert_detector` makes the weights, and docs/detection.md
says why this network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from .errors import WeightsFileError

__all__ = ["Detection", "PersonDetector", "YoloTiny"]

WEIGHTS = Path(__file__).parent / "data" / "detector_yolov4_tiny.safetensors"
STRIDE = 32
LONG_SIDE = 640
"""Pixels of the longer side that the network sees; a multiple of STRIDE."""
THRESHOLD = 0.3
OVERLAP = 0.5
"""Intersection over union above which two boxes are one person."""
ANCHORS = {32: ((81, 82), (135, 169), (344, 319)), 16: ((23, 27), (37, 58), (81, 82))}
"""Typical widths and heights in pixels, per stride of the output map."""
CENTRE_SCALE = 1.05
"""Centres may lie slightly outside of their cell (darknet's scale_x_y)."""


@dataclass(frozen=True)
class Detection:
    """One person. bbox_xywh: x, y, width, height in pixels of the image, corner origin; score: 0 to 1."""

    bbox_xywh: tuple[float, float, float, float]
    score: float


class Conv(nn.Conv2d):
    """Convolution (batch norm folded in) that keeps the size, or halves it, and darknet's leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.1, inplace=True)


class PartialStage(nn.Module):
    """Cross-stage partial block: half of the channels pass two convolutions, all pass on beside the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.entry = Conv(channels, channels)
        self.first = Conv(half, half)
        self.second = Conv(half, half)
        self.merge = Conv(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map of twice the channels at half the resolution, and the merged map before it."""
        x = self.entry(x)
        first = self.first(x.chunk(2, dim=1)[1])
        merged = self.merge(torch.cat([self.second(first), first], dim=1))
        return F.max_pool2d(torch.cat([x, merged], dim=1), 2), merged


class YoloTiny(nn.Module):
    """Image [B,3,H,W], RGB 0..1, sides multiples of 32, to one map per stride.

    A map is [B,3,6,h,w]: per anchor the raw centre x, y, log width and height, objectness and person logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 32, stride=2), Conv(32, 64, stride=2))
        self.stages = nn.ModuleList(PartialStage(channels) for channels in (64, 128, 256))
        self.neck = nn.Sequential(Conv(512, 512), Conv(512, 256, kernel=1))
        self.coarse = nn.Sequential(Conv(256, 512), nn.Conv2d(512, 3 * 6, 1))
        self.rise = Conv(256, 128, kernel=1)
        self.fine = nn.Sequential(Conv(128 + 256, 256), nn.Conv2d(256, 3 * 6, 1))

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        x = self.stem(image)
        for stage in self.stages:
            x, merged = stage(x)
        x = self.neck(x)
        risen = F.interpolate(self.rise(x), scale_factor=2, mode="nearest")
        maps = {32: self.coarse(x), 16: self.fine(torch.cat([risen, merged], dim=1))}
        return {stride: y.unflatten(1, (3, 6)) for stride, y in maps.items()}


def decode(maps: dict[int, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N,4] (x, y, w, h in the network's pixels) and scores [N] of the first image of a batch."""
    boxes, scores = [], []
    for stride, output in maps.items():
        y = output[0].float().cpu()
        rows, columns = torch.meshgrid(torch.arange(y.shape[2]), torch.arange(y.shape[3]), indexing="ij")
        centre = y[:, :2].sigmoid() * CENTRE_SCALE - (CENTRE_SCALE - 1) / 2
        centre = (centre + torch.stack([columns, rows])) * stride
        size = y[:, 2:4].exp() * torch.tensor(ANCHORS[stride], dtype=torch.float32)[:, :, None, None]
        boxes.append(torch.cat([centre - size / 2, size], dim=1).permute(0, 2, 3, 1).reshape(-1, 4))
        scores.append((y[:, 4].sigmoid() * y[:, 5].sigmoid()).reshape(-1))
    return torch.cat(boxes).numpy(), torch.cat(scores).numpy()


class PersonDetector:
    """Finds people; loads the bundled weights (or `weights`) once. Raises WeightsFileError if they do not fit."""

    def __init__(self, device: torch.device | str = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        self.network = YoloTiny()
        try:
            with safe_open(weights, framework="pt") as file:
                state = {name: file.get_tensor(name).float() for name in file.keys()}
            self.network.load_state_dict(state)
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsFileError(f"{weights.name} does not hold the weights of the person detector.") from error
        self.network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """People in an RGB image [H,W,3] uint8, the most certain first; boxes are clipped to the image."""
        height, width = image.shape[:2]
        scale = LONG_SIDE / max(height, width)
        # Whole strides instead of a padded square: the slight change of proportions costs nothing, the padding time.
        target = [max(1, round(side * scale / STRIDE)) * STRIDE for side in (width, height)]
        shrinks = target[0] < width
        resized = cv2.resize(image, target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        batch = torch.from_numpy(resized).to(self.device).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            boxes, scores = decode(self.network(batch.contiguous(memory_format=torch.channels_last)))

        sure = scores >= THRESHOLD
        to_image = np.array([width / target[0], height / target[1]])
        boxes = (boxes[sure].reshape(-1, 2, 2) * to_image).reshape(-1, 4)
        scores = scores[sure]
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), THRESHOLD, OVERLAP) if len(boxes) else []
        return [Detection(_clip(boxes[i], width, height), float(scores[i])) for i in np.array(kept).reshape(-1)]


def _clip(box: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    low = np.clip(box[:2], 0, (width, height))
    high = np.clip(box[:2] + box[2:], 0, (width, height))
    return (*map(float, low), *map(float, high - low))
