# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each joint of a multi-view body may be off: the covariance of `adjust`'s least squares.

The normal matrix of the last step knows how firmly sight rays hold each joint: little across the ray of a single view,
well where several views cross, hardly where all of them are blocked or distrusted. Two factors, measured on rendered
scenes (`refit_training.evaluation.measure_view_confidence`), turn its deviations into the errors that really occur. Definitions of the
deviations are those of `confidence`, but the pelvis' rotation is the one in the world. Places are ranked well (rank
correlation with the true error 0.58 over joints), rotations hardly: points say little of turns about a limb's own axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..confidence import Confidence

POSITION_FACTOR, ROTATION_FACTOR = 0.41, 0.46
"""RMS error over the bare deviation: 0.40 and 0.48 for two cameras, 0.42 and 0.45 for four, ten scenes each."""
_JOINTS = 24


def joint_deviations(covariance: Tensor, slopes: Tensor) -> Confidence:
    """Standard deviations of P people's joints, float64.

    covariance: [P,U,U] of the unknowns, of which the first 72 are small turns of the joints, radians.
    slopes: [P,U,24,3] how the joints' places change with them, metres.
    """
    relative = slopes - slopes[:, :, :1]
    variance = torch.einsum("pujc,puv,pvjc->pj", relative, covariance, relative)
    turns = covariance.diagonal(dim1=1, dim2=2)[:, : 3 * _JOINTS].unflatten(1, (_JOINTS, 3)).sum(dim=2)
    return Confidence(
        1000 * POSITION_FACTOR * variance.clamp(min=0).sqrt(),
        torch.rad2deg(ROTATION_FACTOR * turns.clamp(min=0).sqrt()),
    )
