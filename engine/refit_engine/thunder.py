# SPDX-License-Identifier: GPL-3.0-or-later
"""The 17 joints of the one person in a crop: MoveNet Thunder, the landmark network beside BlazePose.

The layer plan was read from the published graph (Apache-2.0); `refit_training.assets.convert_detector` makes the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .device import exact
from .movenet import JOINTS, OUTPUT_STRIDE, Pyramid, load_weights
from .network.packed import can_pack, pack_convolutions

__all__ = ["CROP", "Thunder", "ThunderKeypoints", "ThunderMaps", "decode"]

WEIGHTS = Path(__file__).parent / "data" / "movenet_thunder.safetensors"
CROP = 256
NEAR = 1.8
"""Cells added to a distance before something is divided by it; the number is the published graph's own."""


class ThunderMaps(NamedTuple):
    """What Thunder says per cell of 4×4 pixels; lengths in cells, y before x. [B, channels, 64, 64]."""

    features: Tensor
    """24: the map that the others were read from."""
    centre: Tensor
    """1: probability that the middle of a person is here."""
    joint: Tensor
    """17: probability that somebody's joint is here."""
    joint_from_centre: Tensor
    """17×2: where the joints of the person whose middle is here should be."""
    joint_offset: Tensor
    """17×2: from here to the exact joint."""


class Thunder(Pyramid):
    """Crop [B,3,256,256] in 0..255, RGB, of one person to maps of stride 4. MobileNetV2 of width 1.75."""

    def __init__(self) -> None:
        sizes = {"centre": 1, "joint": JOINTS, "joint_from_centre": 2 * JOINTS, "joint_offset": 2 * JOINTS}
        super().__init__((56, 32), (40, 56, 112, 168, 280, 560), sizes)

    def forward(self, crop: Tensor) -> ThunderMaps:
        x = self.features(crop)
        maps = ThunderMaps(x, **{name: head(x) for name, head in self.heads.items()})
        return maps._replace(centre=maps.centre.sigmoid(), joint=maps.joint.sigmoid())


def decode(maps: ThunderMaps) -> Tensor:
    """Joints [B,17,3] of the person in the middle of each crop: x, y in crop pixels, score 0…1. As the published graph does.

    The person is the best of the centre map, weighted by how far it lies from the crop's middle. Each joint is the best
    of its map, weighted by how far it lies from where the person expects it.
    """
    cells = maps.centre.shape[-1]
    along = torch.arange(cells, dtype=torch.float32, device=maps.centre.device)
    off = torch.hypot(along[:, None] - cells // 2, along[None] - cells // 2)
    centre = (maps.centre[:, 0] / (off + NEAR)).flatten(1).argmax(1)
    rows = torch.arange(len(centre), device=centre.device)
    expected = torch.unflatten(maps.joint_from_centre.flatten(2)[rows, :, centre], 1, (JOINTS, 2))
    expected = expected + torch.stack([centre // cells, centre % cells], -1)[:, None]
    off = torch.hypot(along[:, None] - expected[..., 0, None, None], along[None] - expected[..., 1, None, None])
    best = (maps.joint / (off + NEAR)).flatten(2).argmax(2)
    offsets = torch.unflatten(maps.joint_offset, 1, (JOINTS, 2)).flatten(3)
    at_best = offsets.gather(3, best[:, :, None, None].expand(-1, -1, 2, -1))
    places = torch.stack([best // cells, best % cells], -1) + at_best[..., 0]
    return torch.cat([places.flip(-1) * OUTPUT_STRIDE, maps.joint.flatten(2).gather(2, best[..., None])], -1)


class ThunderKeypoints:
    """Looks at crops of one person; loads the bundled weights (or `weights`) once. Raises WeightsFileError if they do not fit."""

    def __init__(self, device: torch.device | str = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        self.network = Thunder()
        load_weights(self.network, weights, "MoveNet Thunder", device)
        if self.device.type == "cpu" and can_pack():
            with torch.inference_mode():
                pack_convolutions(self.network, lambda: self.network(torch.zeros(1, 3, CROP, CROP)))

    def look(self, crop: np.ndarray) -> np.ndarray:
        """Joints [17,3] in an RGB crop [256,256,3] uint8: x, y in its pixels, score 0…1."""
        batch = torch.from_numpy(crop).to(self.device).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            joints = decode(self.network(batch.contiguous(memory_format=torch.channels_last)))
        return exact(joints[0]).numpy()
