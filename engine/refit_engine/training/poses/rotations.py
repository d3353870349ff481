# SPDX-License-Identifier: GPL-3.0-or-later
"""Swing and twist: the coordinates in which poses are limited, shared between joints and made noisy.

Quaternions are (x, y, z, w) as in roma, scalar part not negative.
"""

import roma
import torch
from torch import Tensor

__all__ = ["canonical", "join_swing_twist", "rotation_between", "split_swing_twist", "twist_about"]


def canonical(quaternions: Tensor) -> Tensor:
    """Of the two quaternions of every rotation, the one with w >= 0. [...,4] both."""
    return torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)


def twist_about(quaternions: Tensor, axes: Tensor) -> Tensor:
    """Signed angle of the part of each rotation that turns about `axes`: q = swing * twist. [...,4],[...,3] -> [...] rad"""
    along = (quaternions[..., :3] * axes).sum(-1)
    angle = 2 * torch.atan2(along, quaternions[..., 3])
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def split_swing_twist(quaternions: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """q = swing * twist, twist about `axes`, swing about an axis at right angles to it.

    quaternions: [...,4]; axes: [...,3] unit. Returns swing [...,3] rotation vectors and twist [...] radians.
    """
    twist = twist_about(quaternions, axes)
    undo = roma.rotvec_to_unitquat(axes * -twist[..., None])
    swing = canonical(roma.quat_product(quaternions, undo))
    return roma.unitquat_to_rotvec(swing), twist


def join_swing_twist(swing: Tensor, twist: Tensor, axes: Tensor) -> Tensor:
    """Inverse of `split_swing_twist`. Returns [...,4]."""
    return roma.quat_product(roma.rotvec_to_unitquat(swing), roma.rotvec_to_unitquat(axes * twist[..., None]))


def rotation_between(start: Tensor, end: Tensor) -> Tensor:
    """Smallest rotation that takes unit vectors to unit vectors, as rotation vectors. [...,3],[...,3] -> [...,3]"""
    cross = torch.linalg.cross(start, end)
    sine = cross.norm(dim=-1, keepdim=True)
    cosine = (start * end).sum(-1, keepdim=True)
    return cross / sine.clamp_min(1e-9) * torch.atan2(sine, cosine)
