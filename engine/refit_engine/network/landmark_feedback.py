# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bundled network does beyond the paper: it starts along the ray to the person, and it follows landmarks.

A window of 7×7 cells cannot see a limb that is far off. The backbone's landmarks can: the update also reads how far the body
is from them, and what step a classical fitter would take towards them (`landmark_step`). Each stream's gate decides how much
of that step is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from .estimate import Estimate
from .geometry import CropCamera, project_to_crop, ray_rotation
from .keypoints import LANDMARK_COUNT
from .landmark_step import landmark_step
from .update import BETAS, CAM, HIDDEN, POSE, STREAMS, StreamLinear

if TYPE_CHECKING:
    from ..body import LandmarkBody

FEATURES = 64
INPUTS = FEATURES + POSE + CAM
"""Numbers that the update reads beside the paper's."""
_REACH, _LIMIT = 64.0, 2.0  # crop pixels per unit, units

Update = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Hidden state and feedback [B,X] to the next hidden state and the change [B,157] of pose, betas and camera."""


class LandmarkFeedback(NamedTuple):
    """The landmarks of B crops, and the layers that read them."""

    layer: nn.Linear
    gate: StreamLinear
    body: LandmarkBody
    camera: CropCamera
    landmarks: Tensor
    """[B,33,3] x, y in crop pixels, visibility."""

    def update(
        self, update: Update, hidden: Tensor, feedback: Tensor, estimate: Estimate, rotmats: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The paper's update with landmarks in its feedback, and what the gates take of the landmark step."""
        x2d = project_to_crop(self.body(estimate.betas, rotmats), estimate.cam, self.camera)
        features = self.layer(landmark_residual(self.landmarks, x2d)).relu()
        step = landmark_step(estimate, self.body, self.camera, self.landmarks)
        hidden, change = update(hidden, torch.cat([feedback, features, step], dim=1))
        return hidden, change + self._accepted(step, hidden)

    def _accepted(self, step: Tensor, hidden: Tensor) -> Tensor:
        """What the streams take of the landmark step [B,147], each its own share, as a change of the state [B,157]."""
        share = (torch.einsum("sbh,soh->bs", hidden, self.gate.weight) + self.gate.bias[:, 0]).sigmoid()
        pose = torch.unflatten(step[:, :POSE], 1, (STREAMS - 2, -1)) * share[:, :-2, None]
        return torch.cat([pose.flatten(1), step.new_zeros(len(step), BETAS), step[:, POSE:] * share[:, -1:]], dim=1)


def landmark_layers() -> tuple[nn.Linear, StreamLinear]:
    """`LandmarkFeedback.layer` and `gate`, untrained."""
    return nn.Linear(LANDMARK_COUNT * 3, FEATURES), StreamLinear(STREAMS, HIDDEN, 1)


def landmark_residual(landmarks: Tensor, projected: Tensor) -> Tensor:
    """How far the backbone's own landmarks [B,33,3] are from the body's [B,33,2], in crop pixels: [B,99]."""
    target, visibility = torch.split(landmarks, [2, 1], dim=2)
    residual = ((target - projected) / _REACH).clamp(-_LIMIT, _LIMIT)
    return torch.cat([residual * visibility, visibility], dim=2).flatten(1)


def turned_to_ray(state: Tensor, camera: CropCamera) -> Tensor:
    """The state [B,157] with its root turned as if the camera were aimed at the crop: what a crop shows is relative to that."""
    root = ray_rotation(camera) @ torch.unflatten(state[:, :6], 1, (3, 2))
    return torch.cat([root.flatten(1), state[:, 6:]], dim=1)
