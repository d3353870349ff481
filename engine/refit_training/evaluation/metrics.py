# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of bodies against exact labels."""

from __future__ import annotations

import roma
import torch
from torch import Tensor


def mpjpe(ours: Tensor, truth: Tensor) -> Tensor:
    """Mean distance [B] of points [B,P,3] in millimetres, after the first points (the roots) are moved together."""
    return 1000 * ((ours - ours[:, :1]) - (truth - truth[:, :1])).norm(dim=-1).mean(1)


def pa_mpjpe(ours: Tensor, truth: Tensor) -> Tensor:
    """The same [B] after the similarity that aligns the points best (Procrustes)."""
    rotation, translation, scale = roma.rigid_points_registration(ours, truth, compute_scaling=True)
    aligned = scale[:, None, None] * (ours @ rotation.mT) + translation[:, None]
    return 1000 * (aligned - truth).norm(dim=-1).mean(1)


def angle_degrees(ours: Tensor, truth: Tensor) -> Tensor:
    """Angle [B,J] between rotations [B,J,3,3]."""
    return torch.rad2deg(roma.rotmat_geodesic_distance(ours, truth))
