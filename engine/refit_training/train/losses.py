# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervision of every estimate of the loop by the exact labels of synthetic people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from refit_engine.network.geometry import CROP_SIZE
from refit_engine.network.refit import CropCamera, Estimate
from torch import Tensor

DECAY = 0.85
NEAREST_METRES = 0.1


@dataclass(frozen=True)
class LossOptions:
    """What may differ from one run to another.

    dead_zone: crop pixels by which a point may be off in the picture at no cost; weight_2d: of the errors in the picture.
    """

    dead_zone: float = 0.0
    weight_2d: float = 10.0

    def weights(self) -> dict[str, float]:
        """Of the terms of `estimate_losses`."""
        return {"keypoints2d": self.weight_2d, "keypoints3d": 5.0, "rotations": 1.0, "betas": 0.1, "depth": 0.2}


@dataclass(frozen=True)
class Labels:
    """rotmats [B,24,3,3], betas [B,10], transl [B,3] and points [B,P,3] = posed points without transl, metres, camera frame."""

    rotmats: Tensor
    betas: Tensor
    transl: Tensor
    points: Tensor


def project_normalised(points: Tensor, camera: CropCamera) -> Tensor:
    """Camera-frame points [B,P,3] to crop coordinates [B,P,2] in units of half a crop; (0,0) is the crop's centre."""
    depth = points[..., 2:].clamp(min=NEAREST_METRES)
    pixels = points[..., :2] / depth * camera.focal[:, None, None] + (camera.principal - camera.center)[:, None]
    return pixels * (2 / camera.side)[:, None, None]


def estimate_losses(
    estimate: Estimate,
    points: Tensor,
    labels: Labels,
    camera: CropCamera,
    ours: CropCamera,
    options: LossOptions = LossOptions(),
) -> dict[str, Tensor]:
    """Loss terms of one estimate, each averaged over the batch.

    points: [B,P,3] of the estimate, posed as labels.points are.  The first point is the root that 3D errors
    are relative to. ours: the camera that the estimate is taken to be seen by, `camera` but for ablations.
    """
    transl = estimate.translation(ours)
    truth2d = project_normalised(labels.points + labels.transl[:, None], camera)
    ours2d = project_normalised(points + transl[:, None], ours)
    # Far outside the crop an early estimate would drown the others; bound its pull.
    pixel_error = ((ours2d - truth2d).clamp(-4, 4).abs() - options.dead_zone * (2 / CROP_SIZE)).clamp(min=0)
    ours3d, truth3d = points - points[:, :1], labels.points - labels.points[:, :1]
    return {
        "keypoints2d": pixel_error.mean(),
        "keypoints3d": (ours3d - truth3d).abs().mean(),
        "rotations": (estimate.rotmats() - labels.rotmats).square().mean(),
        "betas": (estimate.betas - labels.betas).square().mean(),
        "depth": (transl[:, 2].clamp(min=NEAREST_METRES).log() - labels.transl[:, 2].log()).abs().mean(),
    }


def total_loss(per_estimate: list[dict[str, Tensor]], options: LossOptions = LossOptions()) -> Tensor:
    """Weighted sum over terms and over the T+1 estimates, late ones counting most (0.85^(T-t))."""
    last, weights = len(per_estimate) - 1, options.weights()
    return torch.stack(
        [
            DECAY ** (last - t) * cast("Tensor", sum(weights[name] * value for name, value in terms.items()))
            for t, terms in enumerate(per_estimate)
        ]
    ).sum()
