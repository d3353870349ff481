# SPDX-License-Identifier: GPL-3.0-or-later
"""From the vector of a landmark network to one that the initial estimate can be read from."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .keypoints import LANDMARK_COUNT

LANDMARK_VALUES = LANDMARK_COUNT * 8 + 1
"""Numbers at the end of a BlazePose vector that were read off as landmarks; the rest is its last feature map."""


class VectorHead(nn.Module):
    """Landmarks and image features, each through a layer of their own, then two layers on their sum.

    The image part begins at nothing: the head can be trained on landmarks alone before it sees an image.
    """

    def __init__(self, vector_size: int, size: int) -> None:
        super().__init__()
        image_size = vector_size - LANDMARK_VALUES
        self.landmarks = nn.Linear(LANDMARK_VALUES, size)
        self.normalise = nn.LayerNorm(image_size)
        self.image = nn.Linear(image_size, size)
        self.mix = nn.Linear(size, size)
        self.out = nn.Linear(size, size)
        nn.init.zeros_(self.image.weight)
        nn.init.zeros_(self.image.bias)

    def forward(self, vector: Tensor) -> Tensor:
        """Backbone vectors [B,D] to [B,size]."""
        image = self.normalise(vector[:, :-LANDMARK_VALUES])
        x = F.relu(self.landmarks(vector[:, -LANDMARK_VALUES:]) + self.image(image))
        return self.out(x + F.relu(self.mix(x)))


def flat_landmarks(vector: Tensor) -> Tensor:
    """The landmarks [B,33,5] in a BlazePose vector [B,D]: x and y in half crops from the crop's middle, z in half crops, visibility, presence."""
    return vector[:, -LANDMARK_VALUES : -1 - 3 * LANDMARK_COUNT].unflatten(1, (LANDMARK_COUNT, 5))


def world_landmarks(vector: Tensor) -> Tensor:
    """The landmarks [B,33,3] in a BlazePose vector [B,D]: metres from the middle of the hips, along the ray to them."""
    return vector[:, -1 - 3 * LANDMARK_COUNT : -1].unflatten(1, (LANDMARK_COUNT, 3))
