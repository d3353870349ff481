# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes through the multi-view loop: rows, each of which is one person in one view.

Letters in shapes: B rows, K points of the body, P people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ...device import exact
from ...network import CropCamera
from .rays import Rays


class ObservedPoints(NamedTuple):
    """Where rows see the points of their bodies, float64."""

    pixels: Tensor
    """[B,K,2] full-image pixels of the rolled cameras."""
    confidence: Tensor
    """[B,K] 0 to 1."""


@dataclass(frozen=True)
class Rows:
    """Who is seen in each row, from where. The camera is the rolled one that the crop was cut from.

    person: [B] 0…P-1; people: P.
    rotation: [B,3,3] and translation: [B,3], camera from world, metres, float64.
    focal: [B] the camera's true focal length in pixels, float64.
    camera: the crops for the network, on its device; its focal length may be another where the network needs that.
    """

    person: Tensor
    people: int
    rotation: Tensor
    translation: Tensor
    focal: Tensor
    camera: CropCamera

    def sum(self, values: Tensor) -> Tensor:
        """Sums [P,…] over each person's rows of values [B,…]."""
        return values.new_zeros(self.people, *values.shape[1:]).index_add_(0, self.person, values)

    def of_each_person(self) -> list[Tensor]:
        """The numbers of each person's rows."""
        return [(self.person == person).nonzero()[:, 0] for person in range(self.people)]

    def rays(self, seen: ObservedPoints) -> Rays:
        """Sight rays through what was seen."""
        ahead = (seen.pixels - exact(self.camera.principal)[:, None]) / self.focal[:, None, None]
        ahead = torch.cat([ahead, torch.ones_like(ahead[..., :1])], dim=-1)
        length = cast("Tensor", ahead.norm(dim=-1, keepdim=True))  # PyTorch says no type
        direction = ahead / length @ self.rotation
        origin = -(self.rotation.mT @ self.translation[..., None])[..., 0]
        return Rays(origin, direction, seen.confidence)

    def project(self, points: Tensor) -> Tensor:
        """World points [B,K,3] in each row's pixels [B,K,2]; NaN behind the camera."""
        points = points @ self.rotation.mT + self.translation[:, None]
        depth = torch.where(points[..., 2:] > 0, points[..., 2:], torch.nan)
        return points[..., :2] / depth * self.focal[:, None, None] + exact(self.camera.principal)[:, None]

    def working_depth(self) -> Tensor:
        """[B] depth for the network's camera over the true one; see `bounds.working_camera`."""
        return exact(self.camera.focal) / self.focal


class SharedBodies(NamedTuple):
    """Bodies in the world's frame, float64 on the processor."""

    betas: Tensor
    """[P,10]."""
    rotmats: Tensor
    """[P,24,3,3], the root's in the world's frame."""
    transl: Tensor
    """[P,3] metres."""
