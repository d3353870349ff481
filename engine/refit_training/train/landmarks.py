# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backbone would say of a posed body, without rendering it.

Lifting landmarks to a body needs far more poses than can be rendered; this gives them at the price of a matrix
product. The errors of the landmarks are borrowed: those that the backbone made on the rendered person whose
landmarks lie most alike. Of the image itself nothing is known: its part of the vector and the keypoint maps are zero.
"""

from __future__ import annotations

import numpy as np
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.network.backbones.blazepose import LANDMARKS
from refit_engine.network.geometry import ray_rotation
from refit_engine.network.refit import Encoding
from refit_engine.network.vector_head import flat_landmarks, world_landmarks
from torch import Tensor

from refit_training.train.features import FeatureStore
from refit_training.train.views import CROP, HIPS, Views

IMAGE_VECTOR = 1152
NEIGHBOURS = 4
UNDERSTOOD = 6.0
"""Pixels that the median landmark of a person may be off to lend its errors; beyond, the backbone saw something else."""


class LandmarkNoise:
    """Errors of the backbone's landmarks on the people of a feature store."""

    def __init__(self, store: FeatureStore) -> None:
        self._store, self.device = store, store.device
        self._points = LandmarkBody(load_body()).to(self.device)
        self._errors = torch.empty(0, 11 * LANDMARKS, device=self.device)
        self.refresh()

    def refresh(self) -> None:
        """Take in the people whom the store has learned of since the last look."""
        batches = [self._errors]
        for seen, views in self._store.batches(256, maps=False, start=len(self._errors)):
            true = locate(views.placed(self._points), views)
            errors, flags = located(seen.vector) - true, flat_landmarks(seen.vector)[..., 3:]
            batches.append(torch.cat([true[..., :3].flatten(1), errors.flatten(1), flags.flatten(1)], 1))
        self._errors = torch.cat(batches)
        self._good = self._errors[self.understood()]

    def understood(self, within: float = UNDERSTOOD) -> np.ndarray:
        """Numbers of the people whose median landmark is less than so many pixels off. The others would teach to disregard it."""
        errors = self._errors[:, 3 * LANDMARKS : 9 * LANDMARKS].unflatten(1, (LANDMARKS, 6))
        return np.flatnonzero(errors[..., :2].norm(dim=-1).median(dim=1).values.cpu().numpy() < within)

    def borrow(self, located: Tensor) -> tuple[Tensor, Tensor]:
        """Errors [N,33,6] and visibility, presence [N,33,2] of understood people like those with true landmarks [N,33,6]."""
        keys, errors, flags = self._good.split([3 * LANDMARKS, 6 * LANDMARKS, 2 * LANDMARKS], 1)
        near = torch.cdist(located[..., :3].flatten(1), keys).topk(NEIGHBOURS, largest=False).indices
        rows = torch.arange(len(near), device=near.device)
        chosen = near[rows, torch.randint(NEIGHBOURS, (len(near),), device=near.device)]
        return errors[chosen].unflatten(1, (LANDMARKS, 6)), flags[chosen].unflatten(1, (LANDMARKS, 2))


def located(vector: Tensor) -> Tensor:
    """Where a BlazePose vector [N,D] says that the landmarks are, as `locate` gives the true ones: [N,33,6]."""
    pixels = flat_landmarks(vector)[..., :3] * (CROP / 2)
    pixels[..., :2] += CROP / 2
    return torch.cat([pixels, world_landmarks(vector)], -1)


def locate(points: Tensor, views: Views) -> Tensor:
    """Landmarks as the backbone gives them: [N,33,3] metres in the camera's frame to x, y, z in crop pixels and world [N,33,6]."""
    focal = views.focal[:, None]
    hips = points[:, HIPS].mean(1, keepdim=True)
    z = (points[..., 2] - hips[..., 2]) * focal / hips[..., 2]
    return torch.cat([views.crop_pixels(points), z[..., None], (points - hips) @ ray_rotation(views.camera)], -1)


def simulate_encoding(points: Tensor, views: Views, keypoints: int, noise: LandmarkNoise) -> Encoding:
    """Landmarks of `points` [N,33,3] (camera frame, metres) with borrowed errors, beside empty maps of that many keypoints."""
    count, device = len(points), points.device
    located = locate(points, views)
    errors, flags = noise.borrow(located)
    # Photographs are easier to read than rendered people: most of them get less than the borrowed errors.
    located = located + errors * torch.rand(count, 1, 1, device=device)
    flat = located[..., :2] + torch.randn(count, LANDMARKS, 2, device=device)
    world = located[..., 3:] + 0.01 * torch.randn(count, LANDMARKS, 3, device=device)
    scaled = torch.cat([flat * (2 / CROP) - 1, located[..., 2:3] * (2 / CROP), flags], -1)
    image, person = torch.zeros(count, IMAGE_VECTOR, device=device), torch.ones(count, 1, device=device)
    vector = torch.cat([image, scaled.flatten(1), world.flatten(1), person], 1)
    landmarks = torch.cat([flat, flags[..., :1]], -1)
    return Encoding(torch.zeros(count, keypoints, 2, 2, device=device), vector, landmarks)
