# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations, and the camera between the network's crop and the full image.

Frames: the camera is OpenCV's (X right, Y down, Z forward, metres); pixels are counted from the corner
of the first one. "Full image" is the square-pixel, rolled image that the crop is an axis-aligned part of.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import roma
import torch
from torch import Tensor

CROP_SIZE = 256
"""Side of the network's input, in pixels."""

_MIN_SCALE = 0.02  # a crop that is 100 m wide
_MIN_DEPTH = 0.1  # metres
_DEGENERATE = 1e-8
_OFF_AXIS, _MIDDLE_SIZE, _SIZE_SPREAD = 2.8, 0.24, 0.06
"""Bring the box's angles to about -1…1: CLIFF's numbers (Li et al., ECCV 2022, its code), from boxes of Human3.6M."""


class CropCamera(NamedTuple):
    """Where a batch of square crops was taken, and with which camera."""

    center: Tensor
    """[B,2] middle of the crop, full-image pixels."""
    side: Tensor
    """[B] side of the crop, full-image pixels."""
    focal: Tensor
    """[B] focal length, pixels."""
    principal: Tensor
    """[B,2] principal point, full-image pixels."""


def rotmats_from_6d(pose6d: Tensor) -> Tensor:
    """Rotations whose first two columns are given, by Gram-Schmidt.

    `pose6d` [B,6J]: per joint a 3×2 matrix, row after row. Returns [B,J,3,3]. Finite for any finite input.
    """
    columns = pose6d.reshape(pose6d.shape[0], -1, 3, 2)
    return roma.special_gramschmidt(columns, epsilon=_DEGENERATE)


def rotmats_to_6d(rotmats: Tensor) -> Tensor:
    """The inverse of `rotmats_from_6d`: [B,J,3,3] to [B,6J]."""
    return rotmats[..., :2].reshape(rotmats.shape[0], -1)


def bbox_features(camera: CropCamera) -> Tensor:
    """Where and how large the crop is in the camera's view, roughly normalised, the paper's c_bbox: [B,3]."""
    focal = camera.focal[:, None]
    offset = _OFF_AXIS * (camera.center - camera.principal) / focal
    size = (camera.side[:, None] - _MIDDLE_SIZE * focal) / (_SIZE_SPREAD * focal)
    return torch.cat([offset, size], dim=1)


def translation(cam: Tensor, camera: CropCamera) -> Tensor:
    """The body's translation in the full camera's frame.

    `cam` [B,3] is (s, tx, ty): the crop is 2/s metres wide at the body's depth, and the body is (tx, ty)
    metres off the crop's middle. Returns [B,3] metres; finite, with positive depth, for s <= 0 as well.
    """
    scale = camera.side * _positive(cam[:, 0], _MIN_SCALE)
    middle = 2 * (camera.center - camera.principal) / scale[:, None]
    depth = 2 * camera.focal / scale
    return torch.cat([cam[:, 1:] + middle, depth[:, None]], dim=1)


def cam_from_translation(transl: Tensor, camera: CropCamera) -> Tensor:
    """The inverse of `translation`: [B,3] metres to (s, tx, ty) [B,3]; bodies behind the camera are put before it."""
    depth = transl[:, 2].clamp(min=_MIN_DEPTH)
    scale = 2 * camera.focal / (camera.side * depth)
    middle = (camera.center - camera.principal) * (depth / camera.focal)[:, None]
    return torch.cat([scale[:, None], transl[:, :2] - middle], dim=1)


def project(points: Tensor, cam: Tensor, camera: CropCamera) -> Tensor:
    """Body points [B,K,3] (metres, before translation) to full-image pixels [B,K,2]."""
    return _perspective(points, translation(cam, camera), camera.focal) + camera.principal[:, None]


def full_to_crop(pixels: Tensor, camera: CropCamera) -> Tensor:
    """Full-image pixels [B,K,2] to crop pixels, 0…256 inside the crop."""
    corner = camera.center - camera.side[:, None] / 2
    return (pixels - corner[:, None]) * (CROP_SIZE / camera.side)[:, None, None]


def crop_to_full(pixels: Tensor, camera: CropCamera) -> Tensor:
    """The inverse of `full_to_crop`."""
    corner = camera.center - camera.side[:, None] / 2
    return pixels * (camera.side / CROP_SIZE)[:, None, None] + corner[:, None]


def project_to_crop(points: Tensor, cam: Tensor, camera: CropCamera) -> Tensor:
    """Body points [B,K,3] through the full camera to crop pixels [B,K,2] (full-frame adjusted reprojection)."""
    return full_to_crop(project(points, cam, camera), camera)


def crop_only(camera: CropCamera) -> CropCamera:
    """The same crop with its own middle taken for the principal point, as networks before CLIFF assumed."""
    return camera._replace(principal=camera.center)


def ray_rotation(camera: CropCamera) -> Tensor:
    """The smallest turn that takes the optical axis to the ray through the crop's middle: [B,3,3].

    What a crop shows looks as if a camera were aimed at it: an orientation read off the crop is relative to that ray.
    """
    offset = (camera.center - camera.principal) / camera.focal[:, None]
    length = cast("Tensor", offset.norm(dim=1, keepdim=True))  # PyTorch says no type
    angle = torch.atan(length) / length.clamp(min=_DEGENERATE)
    axis = torch.stack([-offset[:, 1], offset[:, 0], torch.zeros_like(offset[:, 0])], dim=1)
    return roma.rotvec_to_rotmat(axis * angle)


def _perspective(points: Tensor, transl: Tensor, focal: Tensor) -> Tensor:
    moved = points + transl[:, None]
    return focal[:, None, None] * moved[..., :2] / _positive(moved[..., 2:], _MIN_DEPTH)


def _positive(value: Tensor, floor: float) -> Tensor:
    """`value` where it is at least `floor`; below, a smooth continuation that stays positive.

    Published checkpoints never come near the floor. An untrained or misled network does, and then has to
    find back: a clamp would take its gradient away, and a bare division gives infinities and mirrored points.
    """
    below = floor / (2 - value.clamp(max=floor) / floor)
    return torch.where(value < floor, below, value)
