# SPDX-License-Identifier: GPL-3.0-or-later
"""Averaging with the mirrored crop, as the published evaluation does: twice the cost, slightly better poses."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from ..body.joints import SMPL_JOINT_NAMES, mirrored_order
from ..device import exact
from .estimate import Estimate
from .geometry import CropCamera, rotmats_to_6d

_MIRRORED_JOINTS = mirrored_order(SMPL_JOINT_NAMES)


def mirror_camera(camera: CropCamera) -> CropCamera:
    """The camera of the crop mirrored left to right, `crop.flip(-1)`."""
    x = 2 * camera.principal[:, 0] - camera.center[:, 0]
    return camera._replace(center=torch.stack([x, camera.center[:, 1]], dim=1))


def mirror_rotmats(rotmats: Tensor) -> Tensor:
    """The pose [B,24,3,3] of the mirrored person: left and right swapped, rotations reflected at x = 0."""
    sign = rotmats.new_tensor([-1, 1, 1])
    return rotmats[:, _MIRRORED_JOINTS] * sign[:, None] * sign


def flip_average(estimate: Estimate, mirrored: Estimate) -> Estimate:
    """The mean of a crop's and its mirror image's estimate: rotations on SO(3) (by SVD), betas; the camera is the crop's."""
    rotmats = roma.special_procrustes(exact(estimate.rotmats() + mirror_rotmats(mirrored.rotmats())) / 2)
    return Estimate(rotmats_to_6d(rotmats).to(estimate.cam), (estimate.betas + mirrored.betas) / 2, estimate.cam)
