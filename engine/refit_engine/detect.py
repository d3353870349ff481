# SPDX-License-Identifier: GPL-3.0-or-later
"""People in a photo, with boxes and 17 joints: MoveNet MultiPose.

The layer plan was read from the published graph (Apache-2.0); `refit_training.assets.convert_detector` makes the weights, and
docs/detection.md says why this network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .movenet import COCO_JOINT_NAMES, JOINTS, OUTPUT_STRIDE, Pyramid, load_weights

__all__ = ["COCO_JOINT_NAMES", "Detection", "MoveNet", "PersonDetector"]

WEIGHTS = Path(__file__).parent / "data" / "detector_movenet.safetensors"
STRIDE = 32
FIRST_LOOK = 256
"""Pixels of the longer side that the network sees, as published; a multiple of STRIDE. Large people fall apart at
higher resolutions."""
SECOND_LOOK = 512
"""The same for people who are small in the image; they have fewer pixels then than the network was made for."""
SMALL = 0.4
"""Long side of a small person's box, in long sides of the image."""
PART = 0.7
"""A small person with this share of the box inside another's is taken for a part of that one."""
CANDIDATES = 32
THRESHOLD = 0.15
SEEN_JOINT = 0.127
"""The published graph rates a person by the joints above this score (the number is its own)."""
BOX_STEP = 1 / 16  # pixels
OVERLAP = 0.5
"""Intersection over union above which two boxes are one person."""


@dataclass(frozen=True)
class Detection:
    """One person in pixels of the image, origin at the corner of the first pixel.

    bbox_xywh: x, y, width, height; score: 0 to 1; joints: [17,3] x, y and score 0 to 1 in the order of
    COCO_JOINT_NAMES.
    """

    bbox_xywh: tuple[float, float, float, float]
    score: float
    joints: np.ndarray


class Maps(NamedTuple):
    """What MoveNet says per cell of 4×4 pixels; lengths in cells, y before x. [B, channels, H/4, W/4]."""

    centre: Tensor
    """1: probability that the middle of a person's box is here."""
    box_offset: Tensor
    """2: from here to the exact middle."""
    box_size: Tensor
    """2: height and width."""
    joint: Tensor
    """17: probability that somebody's joint is here."""
    joint_from_centre: Tensor
    """17×2: where the joints of the person whose middle is here should be."""
    joint_offset: Tensor
    """17×2: from here to the exact joint."""


class MoveNet(Pyramid):
    """MultiPose: image [B,3,H,W] in 0..255, RGB, sides multiples of 32, to maps of stride 4. MobileNetV2 of width 1.5."""

    def __init__(self) -> None:
        sizes = {
            "centre": 1,
            "box_offset": 2,
            "box_size": 2,
            "joint": JOINTS,
            "joint_from_centre": 2 * JOINTS,
            "joint_offset": 2 * JOINTS,
        }
        super().__init__((48, 24), (40, 48, 96, 144, 240, 480), sizes)

    def forward(self, image: Tensor) -> Maps:
        x = self.features(image)
        maps = Maps(**{name: head(x) for name, head in self.heads.items()})
        return maps._replace(centre=maps.centre.sigmoid(), joint=maps.joint.sigmoid())


def decode(maps: Maps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People of the first image, in its pixels: boxes [N,4] (x, y, w, h), joints [N,17,3], scores [N].

    A person is a peak of the centre map. Each joint is the best of its map, weighted by how far it lies from where
    the person expects it, inside the person's box. Follows the published graph, which ends at six people.
    """
    centre = maps.centre[0, 0]
    height, width = centre.shape
    peaks = centre * (centre == F.max_pool2d(centre[None], 5, stride=1, padding=2)[0])
    scores, cells = peaks.flatten().topk(min(CANDIDATES, peaks.numel()))
    cells, scores = cells[scores >= THRESHOLD], scores[scores >= THRESHOLD]
    cell = torch.stack([cells // width, cells % width], -1)

    def at_centre(values: Tensor) -> Tensor:
        return values[0].flatten(1)[:, cells].T

    middle = cell + at_centre(maps.box_offset)
    half = at_centre(maps.box_size).clamp(min=0) / 2
    limit = torch.tensor([height, width], dtype=middle.dtype, device=middle.device)
    low, high = ((middle + side).clamp(min=0).minimum(limit) for side in (-half, half))

    grid = torch.stack(torch.meshgrid(*(torch.arange(n, device=cell.device) for n in (height, width)), indexing="ij"))
    expected = cell[:, None] + torch.unflatten(at_centre(maps.joint_from_centre), 1, (JOINTS, 2))
    squared = (grid - expected[..., None, None]).square().sum(dim=2)
    weighted = maps.joint[0] * torch.exp(-squared / (0.3 * min(height, width)))
    inside = ((grid >= low[..., None, None]) & (grid < high[..., None, None])).all(dim=1)
    joint_scores, best = (weighted * inside[:, None]).flatten(2).max(dim=2)
    offsets = torch.unflatten(maps.joint_offset[0], 0, (JOINTS, 2)).flatten(2)
    offset = offsets.permute(0, 2, 1)[torch.arange(JOINTS, device=best.device), best]
    joints = torch.stack([best // width, best % width], -1) + offset

    seen = joint_scores * (joint_scores > SEEN_JOINT)
    scores = scores * seen.sum(dim=1) / (seen > 0).sum(dim=1).clamp(min=1)
    boxes = torch.cat([low.flip(-1), (high - low).flip(-1)], dim=1)
    pixels = torch.cat([joints.flip(-1) * OUTPUT_STRIDE, joint_scores[..., None]], dim=-1)
    return (boxes * OUTPUT_STRIDE).cpu().numpy(), pixels.cpu().numpy(), scores.cpu().numpy()


class PersonDetector:
    """Finds people; loads the bundled weights (or `weights`) once. Raises WeightsFileError if they do not fit."""

    def __init__(self, device: torch.device | str = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        self.network = MoveNet()
        load_weights(self.network, weights, "the person detector", self.device)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """People in an RGB image [H,W,3] uint8, the most certain first; boxes are clipped to the image."""
        people = self.look(image, FIRST_LOOK)
        if max(image.shape[:2]) > FIRST_LOOK:
            limit = SMALL * max(image.shape[:2])
            small = [one for one in self.look(image, SECOND_LOOK) if max(one.bbox_xywh[2:]) < limit]
            people += [one for one in small if all(_share_inside(one, other) < PART for other in people)]
        return sorted(people, key=lambda one: -one.score)

    def look(self, image: np.ndarray, long_side: int) -> list[Detection]:
        """One pass over the image, its longer side resized to that many pixels (a multiple of 32)."""
        height, width = image.shape[:2]
        scale = long_side / max(height, width)
        # Whole strides instead of a padded square: the slight change of proportions costs nothing, the padding time.
        target = [max(1, round(side * scale / STRIDE)) * STRIDE for side in (width, height)]
        resized = cv2.resize(image, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        batch = torch.from_numpy(resized).to(self.device).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            boxes, joints, scores = decode(self.network(batch.contiguous(memory_format=torch.channels_last)))

        to_image = np.array([width / target[0], height / target[1]])
        boxes = (boxes.reshape(-1, 2, 2) * to_image).reshape(-1, 4)
        joints = joints * (*to_image, 1)
        kept: object = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), THRESHOLD, OVERLAP) if len(boxes) else []
        return [
            Detection(_rounded(boxes[i]), float(scores[i]), joints[i].astype(np.float32))
            for i in np.array(kept, dtype=int).reshape(-1)
        ]


def _rounded(box: np.ndarray) -> tuple[float, float, float, float]:
    """A box [4] in whole BOX_STEPs: its last digits differ with the number of threads, and nobody needs them."""
    x, y, w, h = (round(float(value) / BOX_STEP) * BOX_STEP for value in box)
    return x, y, w, h


def _share_inside(one: Detection, other: Detection) -> float:
    """Share of one's box that lies inside the other's."""
    (x, y, w, h), (u, v, s, t) = one.bbox_xywh, other.bbox_xywh
    shared = max(0.0, min(x + w, u + s) - max(x, u)) * max(0.0, min(y + h, v + t) - max(y, v))
    return shared / (w * h)
