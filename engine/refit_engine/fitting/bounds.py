# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a result sane under cameras that no network was trained for.

The network reads the angles under which the camera sees the crop (`bbox_features`) and answers with nonsense far beyond
those of its training. There it is given the shortest focal length that it can deal with; the body then stands where it
has the same pixels and the same size in the camera as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from ..network import CropCamera
from .people import CameraPeople


@dataclass(frozen=True)
class CameraBounds:
    """Cameras for which the network is not trusted, a little beyond those of its training."""

    widest_crop: float = 1.6
    """Largest side of a crop in focal lengths: 77 degrees of view. Training goes to 1.35."""
    farthest_off_axis: float = 1.2
    """Largest distance of a crop's middle from the principal point in focal lengths: 50 degrees."""
    nearest: float = 0.05
    """No part of a body comes closer to the camera's plane, metres."""


BOUNDS = CameraBounds()


def working_camera(camera: CropCamera) -> CropCamera:
    """The camera for the network: the same crops, with the focal length [B] raised where it is too short."""
    off_axis = cast("torch.Tensor", (camera.center - camera.principal).norm(dim=-1))  # PyTorch says no type
    least = torch.maximum(camera.side / BOUNDS.widest_crop, off_axis / BOUNDS.farthest_off_axis)
    return camera._replace(focal=torch.maximum(camera.focal, least))


def in_true_camera(people: CameraPeople, shortening: np.ndarray) -> CameraPeople:
    """Bodies seen by the working camera, in the frame of the true one, wholly in front of it.

    shortening: [N] true focal length over the working one, at most 1: at that share of the depth a body has the same
    size in pixels. Where a body would then reach behind the camera, it is moved away along the ray of its pelvis.
    """
    pelvis = people.joints[:, 0].astype(np.float64)
    nearer = np.zeros_like(pelvis)
    nearer[:, 2] = pelvis[:, 2] * (shortening - 1)
    pelvis = pelvis + nearer
    missing = BOUNDS.nearest - (people.vertices[..., 2].min(axis=1) + nearer[:, 2])
    ray = pelvis / np.maximum(pelvis[:, 2:], BOUNDS.nearest)
    ray[:, 2] = 1.0
    return moved(people, nearer + np.maximum(missing, 0)[:, None] * ray)


def moved(people: CameraPeople, by: np.ndarray) -> CameraPeople:
    """Bodies moved by [N,3] metres."""
    if not by.any():
        return people
    return replace(
        people,
        transl=people.transl + by,
        joints=people.joints + by[:, None],
        vertices=people.vertices + by[:, None].astype(np.float32),
    )
