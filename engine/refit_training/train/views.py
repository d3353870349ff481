# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies in front of random cameras, seen through the crops that the network is given."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import roma
import torch
from refit_engine.body import BodyData, BodyModel
from refit_engine.network.refit import CropCamera, PosePoints
from torch import Tensor

CROP = 256
# BlazePose landmarks that the region of interest is built from.
SHOULDERS, HIPS = (11, 12), (23, 24)
NEAREST_METRES = 0.35


@dataclass(frozen=True)
class Views:
    """Posed bodies and the crop cameras that see them, `N` of each.

    rotmats: [N,24,3,3], [:,0] in the frame of the rolled camera (X right, Y down, Z forward).
    betas: [N,10].  transl: [N,3] metres.
    focal: [N] pixels.  center: [N,2] crop centre less principal point, pixels; every crop's side is 256.
    camera_from_world: [N,3,3], world Y up.
    """

    rotmats: Tensor
    betas: Tensor
    transl: Tensor
    focal: Tensor
    center: Tensor
    camera_from_world: Tensor

    def __len__(self) -> int:
        return len(self.betas)

    def __getitem__(self, index) -> Views:
        return Views(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def parts(self) -> list[Tensor]:
        """The arrays in the order of the fields."""
        return [getattr(self, f.name) for f in fields(self)]

    def to(self, device: torch.device) -> Views:
        return Views(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def camera(self) -> CropCamera:
        side = torch.full_like(self.focal, CROP)
        return CropCamera(self.center, side, self.focal, torch.zeros_like(self.center))

    def placed(self, pose: PosePoints) -> Tensor:
        """The bodies' points [N,P,3] that `pose` poses, metres in the camera's frame; without gradient."""
        with torch.no_grad():
            return pose(self.betas, self.rotmats) + self.transl[:, None]

    def crop_pixels(self, points: Tensor) -> Tensor:
        """[N,P,3] metres in the camera's frame to crop pixels [N,P,2]."""
        return points[..., :2] / points[..., 2:] * self.focal[:, None, None] + CROP / 2 - self.center[:, None]

    def intrinsics(self) -> Tensor:
        """[N,3,3] intrinsics of the crop itself; the origin is the corner of its first pixel."""
        K = torch.zeros(len(self), 3, 3)
        K[:, 0, 0] = K[:, 1, 1] = self.focal
        K[:, :2, 2] = CROP / 2 - self.center
        K[:, 2, 2] = 1
        return K


def circle_around(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of landmarks [N,33,2]: the middle of the hips [N,2], the way from there to the shoulders [N,2], the farthest one's distance [N]."""
    hips = flat[:, HIPS].mean(1)
    return hips, flat[:, SHOULDERS].mean(1) - hips, (flat - hips[:, None]).norm(dim=-1).amax(1)


def sample_views(rng: np.random.Generator, rotmats: np.ndarray, body: BodyData) -> Views:
    """Put each pose before a random camera and crop it as inference does, with jitter.

    rotmats: [N,24,3,3], global orientation in a world with Y up. Shapes, distances, focal lengths, positions in
    the image, camera pitch and roll are drawn; crops are centred on the hips and turned so that the trunk points up.
    """
    count = len(rotmats)
    normal, uniform = rng.standard_normal, rng.uniform

    def as_tensor(array) -> Tensor:
        return torch.from_numpy(np.asarray(array, dtype=np.float32))

    poses = as_tensor(rotmats)
    betas = as_tensor(np.clip(normal((count, 10)), -3, 3))
    with torch.no_grad():
        points = BodyModel(body).subset(body.landmark_vertices())(betas, poses)

    pitch = as_tensor(np.radians(np.where(uniform(size=count) < 0.7, normal(count) * 12 - 5, normal(count) * 40)))
    roll = as_tensor(np.radians(normal(count) * 4))
    turn = roma.euler_to_rotmat("ZX", torch.stack([roll, pitch], -1))
    camera_from_world = turn @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))

    # side_over_focal: how wide the crop is seen; sets distance and perspective.
    side_over_focal = as_tensor(np.exp(uniform(np.log(0.07), np.log(1.35), count)))
    depth = 2.6 / side_over_focal
    reach = 0.5 * (1.6 - side_over_focal).clamp(0.3, 1.2)
    offset = as_tensor(uniform(-1, 1, (count, 2))) * reach[:, None]
    ray = torch.cat([offset, torch.ones(count, 1)], -1)
    points = points @ camera_from_world.mT
    depth = torch.maximum(depth, NEAREST_METRES - points[..., 2].amin(1))
    transl = ray * depth[:, None]
    points = points + transl[:, None]

    flat = points[..., :2] / points[..., 2:]
    hips, up, radius = circle_around(flat)
    jitter = np.radians(np.where(uniform(size=count) < 0.9, normal(count) * 10, uniform(-180, 180, count)))
    angle = -torch.pi / 2 - torch.atan2(up[:, 1], up[:, 0]) + as_tensor(jitter)
    to_upright = roma.rotvec_to_rotmat(torch.stack([torch.zeros_like(angle), torch.zeros_like(angle), angle], -1))

    side = 2.5 * radius * as_tensor(np.exp(normal(count) * 0.12 + 0.03))
    center = (to_upright[:, :2, :2] @ hips[..., None])[..., 0] + side[:, None] * as_tensor(normal((count, 2)) * 0.04)
    focal = CROP / side
    camera_from_world = to_upright @ camera_from_world
    poses = poses.clone()
    poses[:, 0] = camera_from_world @ poses[:, 0]
    transl = (to_upright @ transl[..., None])[..., 0]
    return Views(poses, betas, transl, focal, center * focal[:, None], camera_from_world)
