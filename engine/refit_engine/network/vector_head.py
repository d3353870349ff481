# SPDX-License-Identifier: GPL-3.0-or-later
"""From the vector of a landmark network to one that the initial estimate can be read from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .geometry import CROP_SIZE
from .keypoints import LANDMARK_COUNT

LANDMARK_VALUES = LANDMARK_COUNT * 8 + 1
"""Numbers at the end of a BlazePose vector that were read off as landmarks; the rest is its last feature map."""
_LOCAL, _LOCAL_DROPOUT = 48, 0.1
"""Features that are kept of each landmark's, and the share of them that training leaves out: they are easily learned by heart."""


class VectorHead(nn.Module):
    """Landmarks, image features and what is seen at each landmark, each through layers of their own, then two layers on their sum.

    Of the last feature map, too little depth can be read; of the deep maps at the limbs, more. The parts of the image
    begin at nothing: the head can be trained on landmarks alone before it sees an image.
    """

    def __init__(self, vector_size: int, local_size: int, size: int, exact: bool = False) -> None:
        """local_size: features per landmark, 0 for a head that does not read them. exact: whether it reads exact landmarks."""
        super().__init__()
        image_size = vector_size - LANDMARK_VALUES
        self.landmarks = nn.Linear(LANDMARK_VALUES, size)
        self.normalise = nn.LayerNorm(image_size)
        self.image = nn.Linear(image_size, size)
        self.mix = nn.Linear(size, size)
        self.out = nn.Linear(size, size)
        _to_nothing(self.image)
        self.local = None
        if local_size:
            narrow = nn.Sequential(nn.LayerNorm(local_size), nn.Linear(local_size, _LOCAL), nn.ReLU(inplace=True))
            join = nn.Linear(LANDMARK_COUNT * _LOCAL, size)
            _to_nothing(join)
            self.local = nn.Sequential(narrow, nn.Flatten(), nn.Dropout(_LOCAL_DROPOUT), join)
        self.exact = None
        if exact:
            self.exact = nn.Linear(LANDMARK_COUNT * 3, size)
            _to_nothing(self.exact)

    def forward(self, vector: Tensor, local: Tensor | None, landmarks: Tensor | None = None) -> Tensor:
        """Backbone vectors [B,D] and features at their landmarks [B,33,E] to [B,size]; None for landmarks without an image.

        landmarks: [B,33,3] x and y in crop pixels, visibility, as the loop follows them. The vector has them as the
        backbone's last layer gives them: coarser, and without what other networks see.
        """
        image = self.normalise(vector[:, :-LANDMARK_VALUES])
        x = self.landmarks(vector[:, -LANDMARK_VALUES:]) + self.image(image)
        if self.local is not None and local is not None:
            x = x + self.local(local)
        if self.exact is not None and landmarks is not None:
            half_crops = landmarks[..., :2] * (2 / CROP_SIZE) - 1
            x = x + self.exact(torch.cat([half_crops, landmarks[..., 2:]], dim=2).flatten(1))
        x = F.relu(x)
        return self.out(x + F.relu(self.mix(x)))


def _to_nothing(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def flat_landmarks(vector: Tensor) -> Tensor:
    """The landmarks [B,33,5] in a BlazePose vector [B,D]: x and y in half crops from the crop's middle, z in half crops, visibility, presence."""
    return torch.unflatten(vector[:, -LANDMARK_VALUES : -1 - 3 * LANDMARK_COUNT], 1, (LANDMARK_COUNT, 5))


def world_landmarks(vector: Tensor) -> Tensor:
    """The landmarks [B,33,3] in a BlazePose vector [B,D]: metres from the middle of the hips, along the ray to them."""
    return torch.unflatten(vector[:, -1 - 3 * LANDMARK_COUNT : -1], 1, (LANDMARK_COUNT, 3))
