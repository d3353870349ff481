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
    "nose": (-1, 13, -23, 22),
    "eye_inner": (-5, 3, -16, 20),
    "eye": (-11, 1, -22, 20),
    "eye_outer": (-19, 3, -20, 21),
    "ear": (-33, 6, 13, 20),
    "mouth": (-13, 12, -14, 21),
    "shoulder": (-10, 26, -3, 31),
    "elbow": (-7, 6, 10, 21),
    "wrist": (5, 3, 4, 16),
    "pinky": (-14, -8, 26, 17),
    "index": (-20, -11, -19, 17),
    "thumb": (5, 14, -20, 19),
    "hip": (31, 27, 12, 37),
    "knee": (2, 20, 8, 23),
    "ankle": (8, 21, 7, 17),
    "heel": (1, -2, 16, 23),
    "foot_index": (7, 7, -23, 19),
}


_WITH_PARENT = ("shoulder", "elbow", "ankle")
"""Landmarks that turn with the bone before the joint: a raised arm takes the shoulder's landmark along less than the arm.
Spread 36, 23 and 18 mm in the joint's own frame, 31, 21 and 17 in its parent's."""


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
    """The joint ``[33]`` whose frame each landmark's offset is given in: the one that most of it hangs on, or that one's parent."""
    most = data.weights[data.landmark_vertices()].mean(axis=1).argmax(axis=1)
    inner = np.array([_unsided(name) in _WITH_PARENT for name in LANDMARK_NAMES])
    return np.where(inner, data.parents[most], most)


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
