# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on the body a landmark network puts its landmarks.

BlazePose learned from people who clicked on photographs: its hips, for one, lie four centimetres above the joints that
the legs turn about. Whoever compares its landmarks with a body has to know.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .data import BodyData
from .model import PointBody, PosedPoints, register_constants
from .points import LANDMARK_NAMES

# The left side's distance from `landmark_ids`, in millimetres along the axes of the joint that carries the landmark
# (at rest: left, up, front), and the spread around it. Measured on rendered people, whose bodies are known:
#     python -m refit_training.assets.landmark_offsets FEATURES
_MEASURED: dict[str, tuple[float, float, float, float]] = {
    "nose": (-1, 13, -26, 24),
    "eye_inner": (-5, 4, -21, 21),
    "eye": (-10, 1, -27, 21),
    "eye_outer": (-19, 3, -25, 21),
    "ear": (-35, 7, 12, 21),
    "mouth": (-12, 12, -17, 22),
    "shoulder": (-13, 5, 11, 40),
    "elbow": (6, 7, 9, 27),
    "wrist": (5, 4, 4, 17),
    "pinky": (-15, -8, 25, 18),
    "index": (-20, -12, -17, 17),
    "thumb": (4, 14, -19, 19),
    "hip": (25, 26, 10, 38),
    "knee": (4, 20, 9, 26),
    "ankle": (6, 21, 11, 19),
    "heel": (0, 0, 22, 24),
    "foot_index": (3, 7, -31, 24),
}


class LandmarkBody(PointBody):
    """Poses the 33 points that BlazePose means: betas ``[B, 10]``, rotmats ``[B, 24, 3, 3]`` to ``[B, 33, 3]`` metres."""

    carriers: Tensor
    offsets: Tensor

    def __init__(self, data: BodyData) -> None:
        super().__init__(data, data.landmark_vertices())
        carriers = landmark_carriers(data)
        self.register_buffer("carriers", torch.from_numpy(carriers), persistent=False)
        register_constants(self, offsets=np.array([_offset(name) for name in LANDMARK_NAMES]))

    def pose(self, betas: Tensor, rotmats: Tensor) -> PosedPoints:
        """The landmarks, with the skeleton that carries them."""
        posed = super().pose(betas, rotmats)
        moved: Tensor = (posed.rotations[:, self.carriers] @ self.offsets[..., None])[..., 0]
        return posed._replace(points=posed.points + moved)


def landmark_carriers(data: BodyData) -> np.ndarray:
    """The joint ``[33]`` that most of each landmark hangs on."""
    return data.weights[data.landmark_vertices()].mean(axis=1).argmax(axis=1)


def landmark_spread() -> np.ndarray:
    """``[33]`` metres that the landmarks are off, root mean square."""
    return np.array([_MEASURED[_unsided(name)][3] for name in LANDMARK_NAMES]) / 1000


def landmark_precision() -> np.ndarray:
    """``[33]`` inverse variances of the landmarks, 1 for the most exact."""
    spread = landmark_spread()
    return (spread.min() / spread) ** 2


def _offset(name: str) -> tuple[float, float, float]:
    """Metres."""
    x, y, z, _ = (value / 1000 for value in _MEASURED[_unsided(name)])
    return (-x if name.startswith("right_") or name.endswith("_right") else x), y, z


def _unsided(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_").removesuffix("_left").removesuffix("_right")
