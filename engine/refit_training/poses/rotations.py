# SPDX-License-Identifier: GPL-3.0-or-later
"""Swing and twist: the coordinates in which poses are limited, shared between joints and made noisy.

Quaternions are (x, y, z, w) as in roma, scalar part not negative.
"""

import roma
import torch
from torch import Tensor

__all__ = ["canonical", "join_swing_twist", "split_swing_twist", "twist_about"]


def canonical(quaternions: Tensor) -> Tensor:
    """Of the two quaternions of every rotation, the one with w >= 0. [...,4] both."""
    return torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)


def twist_about(quaternions: Tensor, axes: Tensor) -> Tensor:
    """Signed angle of the part of each rotation that turns about `axes`, with q = swing * twist.

    quaternions: [...,4]; axes: [...,3] unit. Returns [...] radians.
    """
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
