# SPDX-License-Identifier: GPL-3.0-or-later
"""The step that a classical fitter would take towards the backbone's landmarks.

One damped Gauss-Newton step (Levenberg 1944, Marquardt 1963) in joint rotations and translation. It says how far every
joint is from where the landmarks want it, in the very parameters that the update changes: kinematics and perspective
that the network need not learn. How much of it to take, each stream of the update decides.

B bodies, L = 33 landmarks, U = 75 unknowns: turns of the 24 joints about their parents' axes, and a shift of the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import roma
import torch
from torch import Tensor

from .estimate import Estimate
from .geometry import CropCamera, cam_from_translation, crop_to_full, project, rotmats_to_6d, translation

if TYPE_CHECKING:
    from ..body import LandmarkBody
    from ..body.model import PosedPoints

FACE_WEIGHT, HAND_WEIGHT = 0.3, 0.6
"""Eleven landmarks tell of the head, three of each hand: each counts less."""
_FACE, _HANDS = slice(0, 11), slice(17, 23)
_JOINT_DAMPING, _SPINE_DAMPING, _SHIFT_DAMPING = 0.02, 0.05, 0.01
_SPINE = [3, 6, 9, 12, 13, 14]
_LONGEST = 1.0
"""Metres that a landmark pulls by, and radians or metres that a step goes, at most."""
_NEAREST = 0.1  # metres


def landmark_step(estimate: Estimate, body: LandmarkBody, camera: CropCamera, landmarks: Tensor) -> Tensor:
    """What to add to pose6d and cam of an estimate: [B,147].

    landmarks: [B,33,3] x, y in crop pixels, visibility. Their depth is left to the network: what the backbone says of it
    is too far off to help. Bodies for which there is no step get zeros.
    """
    rotmats = estimate.rotmats()
    transl = translation(estimate.cam, camera)
    posed = body.pose(estimate.betas, rotmats)
    depth = (posed.points + transl[:, None])[..., 2].clamp(min=_NEAREST)

    # Metres sideways, at the landmark's depth.
    pixels = crop_to_full(landmarks[..., :2], camera) - project(posed.points, estimate.cam, camera)
    missing = pixels * (depth / camera.focal[:, None])[..., None]
    length = cast("Tensor", missing.norm(dim=2, keepdim=True))  # PyTorch says no type, here and below
    missing = missing * (length.clamp(max=_LONGEST) / length.clamp(min=1e-6))

    moves = _moves(posed, body)
    slope = (posed.points + transl[:, None])[..., :2] / depth[..., None]
    jacobian = (moves[:, :, :2] - slope[..., None] * moves[:, :, 2:]).flatten(1, 2)
    weighted = (jacobian * _weights(landmarks[..., 2]).repeat_interleave(2, dim=1)[..., None]).mT
    normal = weighted @ jacobian + torch.diag(_damping(jacobian))
    factor = cast("Tensor", torch.linalg.cholesky_ex(normal)[0])
    step = torch.cholesky_solve(weighted @ missing.flatten(1)[..., None], factor)[..., 0]
    step = step.nan_to_num(0, 0, 0).clamp(-_LONGEST, _LONGEST)

    turned = roma.rotvec_to_rotmat(torch.unflatten(step[:, :-3], 1, (-1, 3))) @ rotmats
    cam = cam_from_translation(transl + step[:, -3:], camera)
    return torch.cat([rotmats_to_6d(turned) - estimate.pose6d, cam - estimate.cam], dim=1)


def _moves(posed: PosedPoints, body: LandmarkBody) -> Tensor:
    """How each unknown moves each landmark, metres per radian or metre: [B,L,3,U]."""
    level = torch.eye(3).to(posed.points)
    axes = torch.cat([level.expand(len(posed.points), 1, 3, 3), posed.rotations[:, body.skeleton.parents]], dim=1)
    levers = posed.points[:, :, None] - posed.joints[:, None]
    turned = cast("Tensor", torch.linalg.cross(axes.mT[:, None], levers[:, :, :, None], dim=-1))
    turns = turned * body.influence[..., None, None]
    return torch.cat([turns.flatten(2, 3).mT, level.expand(*levers.shape[:2], 3, 3)], dim=3)


def _weights(visibility: Tensor) -> Tensor:
    """Visibility [B,L] to weights [B,L]."""
    weight = visibility.clone()
    weight[:, _FACE] *= FACE_WEIGHT
    weight[:, _HANDS] *= HAND_WEIGHT
    return weight


def _damping(like: Tensor) -> Tensor:
    """[U] square metres: the back, which no landmark lies on, bends less."""
    joints = like.new_full((24, 3), _JOINT_DAMPING)
    joints[_SPINE] = _SPINE_DAMPING
    return torch.cat([joints.flatten(), like.new_full((3,), _SHIFT_DAMPING)])
