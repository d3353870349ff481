# SPDX-License-Identifier: GPL-3.0-or-later
"""Gauss-Newton refinement, the last step of a multi-view fit: bodies move to where all views see their landmarks.

Averaging rotations mixes what a view sees well (across its rays) with what it guesses (along them). Sight rays of
several views hold a body in all directions, so a few steps of Gauss and Newton's method on pose, shape and place get
closer than any average, with the network's pose as the prior for all that landmarks do not tell.

P people, K landmarks, U = 85 unknowns: a small turn of each joint, betas, translation. float64, world frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import roma
import torch
from torch import Tensor

from ...device import exact
from ...network.refit import PosePoints
from ...robust import robust_weight
from .rays import Rays
from .rows import Rows, SharedBodies


@dataclass(frozen=True)
class RefinementNumbers:
    """Numbers of the Gauss-Newton refinement. How exact it makes bodies is measured on the scenes of
    docs/multi-view-accuracy.md (`python -m refit_training.evaluation.measure_rig RIG`); only `beta_deviation` was
    chosen on them.
    """

    steps: int = 6
    landmark_deviation: float = 0.04
    """Metres beside its ray that a landmark of one view is off."""
    pose_deviation: float = float(np.radians(25))
    """How far a joint of the network's pose is off."""
    beta_deviation: float = 2.0
    """How far the network's betas are off. People differ by one, but the network's stay near their mean, and several
    views know better: on rendered scenes (docs/multi-view-accuracy.md) one costs 5 %, three gain 1 % more."""
    far: float = 0.10
    """Metres beside its ray at which a landmark counts a quarter."""


NUMBERS = RefinementNumbers()
_TURN = 1e-3  # radians, of the differences that stand for derivatives
_JOINTS, _BETAS = 24, 10
_POSE = 3 * _JOINTS
_FIXED = 1e9


def refine_bodies(
    shared: SharedBodies, points: PosePoints, rays: Rays, weight: Tensor, rows: Rows, like: Tensor, fixed_shape: bool
) -> SharedBodies:
    """Bodies whose landmarks lie near the rows' rays, each row counting `weight` [B], and near the given bodies.

    points: poses the K landmarks; like: a tensor of the kind and on the device that `points` takes.
    fixed_shape: whether the betas are known and stay as they are.
    """
    prior = prior_weights(fixed_shape)
    across = rays.across()
    betas, rotmats, transl = shared.betas, shared.rotmats, shared.transl
    for _ in range(NUMBERS.steps):
        posed, slopes = point_slopes(betas, rotmats, points, like)
        posed = (posed + transl[:, None])[rows.person]
        trust = weight[:, None] * rays.confidence * robust_weight(rays.beside(posed), NUMBERS.far)
        pull = rows.sum(trust[..., None, None] * across)
        miss = rows.sum(trust[..., None] * (across @ (rays.origin[:, None] - posed)[..., None])[..., 0])
        turned = roma.rotmat_to_rotvec(shared.rotmats.mT @ rotmats).flatten(1)
        strayed = torch.cat([turned, betas - shared.betas, torch.zeros_like(transl)], dim=1)
        normal = normal_matrix(slopes, pull, prior)
        right = torch.einsum("pukc,pkc->pu", slopes, miss) - prior * strayed
        step = cast("Tensor", torch.linalg.solve(normal, right))  # PyTorch says no type
        turns, reshaping, shift = torch.split(step, [_POSE, _BETAS, 3], dim=1)
        rotmats = rotmats @ roma.rotvec_to_rotmat(torch.unflatten(turns, 1, (_JOINTS, 3)))
        betas, transl = betas + reshaping, transl + shift
    return SharedBodies(shared.betas if fixed_shape else betas, rotmats, transl)


def prior_weights(fixed_shape: bool) -> Tensor:
    """Weights [U] of the unknowns' own deviations against the landmarks'."""
    prior = torch.zeros(_POSE + _BETAS + 3, dtype=torch.float64)
    prior[:_POSE] = (NUMBERS.landmark_deviation / NUMBERS.pose_deviation) ** 2
    prior[_POSE : _POSE + _BETAS] = (
        _FIXED if fixed_shape else (NUMBERS.landmark_deviation / NUMBERS.beta_deviation) ** 2
    )
    return prior


def normal_matrix(slopes: Tensor, pull: Tensor, prior: Tensor) -> Tensor:
    return torch.einsum("pukc,pkcd,pvkd->puv", slopes, pull, slopes) + torch.diag(prior)


def point_slopes(betas: Tensor, rotmats: Tensor, points: PosePoints, like: Tensor) -> tuple[Tensor, Tensor]:
    """Posed points [P,K,3] and how they change with each unknown [P,U,K,3], by differences.

    Points are linear in betas, so that a step of one is exact there.
    """
    people = len(betas)
    turns = roma.rotvec_to_rotmat(_TURN * torch.eye(_POSE, dtype=torch.float64).view(_POSE, _JOINTS, 3))
    poses = torch.cat([rotmats[:, None].expand(-1, 1 + _BETAS, -1, -1, -1), rotmats[:, None] @ turns], dim=1)
    shapes = betas[:, None].repeat(1, 1 + _BETAS + _POSE, 1)
    shapes[:, 1 : 1 + _BETAS] += torch.eye(_BETAS, dtype=torch.float64)
    posed = exact(points(shapes.flatten(0, 1).to(like), poses.flatten(0, 1).to(like)))
    posed = torch.unflatten(posed, 0, (people, -1))
    here, reshaped, turned = torch.split(posed, [1, _BETAS, _POSE], dim=1)
    shift = torch.eye(3, dtype=torch.float64)[:, None].expand(people, 3, here.shape[2], 3)
    return here[:, 0], torch.cat([(turned - here) / _TURN, reshaped - here, shift], dim=1)
