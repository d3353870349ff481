# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each joint of a multi-view body may be off: the covariance of the refinement's least squares.

The normal matrix of the last step knows how firmly sight rays hold each joint: little across the ray of a single view,
well where several views cross, hardly where all of them are blocked or distrusted. Two factors, measured on rendered
scenes (`refit_training.evaluation.measure_view_confidence`), turn its deviations into the errors that really occur.
Definitions of the deviations are those of `confidence`, but the pelvis' rotation is the one in the world. Places are
ranked well (rank correlation with the true error 0.58 over joints), rotations hardly: points say little of turns about
a limb's own axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ...network.refit import PosePoints
from ...robust import robust_weight
from ..confidence import Confidence
from .rays import Rays
from .refinement import NUMBERS as REFINEMENT
from .refinement import normal_matrix, point_slopes, prior_weights
from .rows import Rows, SharedBodies


@dataclass(frozen=True)
class CovarianceNumbers:
    """RMS errors over the bare deviations, measured on ten rendered scenes for each number of cameras
    (`python -m refit_training.evaluation.measure_view_confidence`).
    """

    position_factor: float = 0.41
    """0.40 for two cameras, 0.42 for four."""
    rotation_factor: float = 0.46
    """0.48 for two cameras, 0.45 for four."""


NUMBERS = CovarianceNumbers()
_JOINTS = 24


def unknowns_covariance(
    bodies: SharedBodies, points: PosePoints, rays: Rays, weight: Tensor, rows: Rows, like: Tensor, fixed_shape: bool
) -> Tensor:
    """How uncertain the unknowns [P,U,U] of refined bodies are, if all is off as `refinement` assumes."""
    posed, slopes = point_slopes(bodies.betas, bodies.rotmats, points, like)
    beside = rays.beside((posed + bodies.transl[:, None])[rows.person])
    trust = weight[:, None] * rays.confidence * robust_weight(beside, REFINEMENT.far)
    pull = rows.sum(trust[..., None, None] * rays.across())
    normal = normal_matrix(slopes, pull, prior_weights(fixed_shape))
    inverse = cast("Tensor", torch.linalg.inv(normal))  # PyTorch says no type
    return REFINEMENT.landmark_deviation**2 * inverse


def joint_deviations(covariance: Tensor, slopes: Tensor) -> Confidence:
    """Standard deviations of P people's joints, float64.

    covariance: [P,U,U] of the unknowns, of which the first 72 are small turns of the joints, radians.
    slopes: [P,U,24,3] how the joints' places change with them, metres.
    """
    relative = slopes - slopes[:, :, :1]
    variance = torch.einsum("pujc,puv,pvjc->pj", relative, covariance, relative)
    turns = torch.unflatten(covariance.diagonal(dim1=1, dim2=2)[:, : 3 * _JOINTS], 1, (_JOINTS, 3)).sum(dim=2)
    return Confidence(
        1000 * NUMBERS.position_factor * variance.clamp(min=0).sqrt(),
        torch.rad2deg(NUMBERS.rotation_factor * turns.clamp(min=0).sqrt()),
    )
