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
# (for hip, knee and elbow on a body with other joints, whose places are taken off here)
#     python -m refit_training.assets.landmark_offsets FEATURES
_MEASURED: dict[str, tuple[float, float, float, float]] = {
    "nose": (0, 17, -21, 29),
    "eye_inner": (-2, 7, -18, 26),
    "eye": (-6, 4, -23, 26),
    "eye_outer": (-12, 6, -19, 27),
    "ear": (-25, 6, 11, 29),
    "mouth": (-9, 16, -14, 29),
    "shoulder": (-20, -2, 27, 53),
    "elbow": (-1, -2, 21, 42),
    "wrist": (4, -10, -2, 32),
    "pinky": (-24, -17, 24, 34),
    "index": (-24, -14, -20, 24),
    "thumb": (5, 7, -27, 26),
    "hip": (27, 35, 2, 47),
    "knee": (1, 21, -14, 47),
    "ankle": (4, 6, 16, 37),
    "heel": (-1, -22, 26, 53),
    "foot_index": (-11, -12, -51, 58),
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
