# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on the body the backbone puts its landmarks.

A landmark network was taught by people who clicked on photos: its hips are not where the skeleton's are. The network of
this project learned to live with that; whoever compares landmarks with a body directly has to know it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..body import BodyData, BodyModel
from ..body.points import LANDMARK_NAMES

# Left-hand side's offset in millimetres along the axes of the joint that carries the point (at rest: left, up, front),
# and the spread left after it. Made by
#     python -m refit_engine.training.landmark_offsets FEATURES
_OFFSETS: dict[str, tuple[float, float, float, float]] = {
    "nose": (0, 20, -31, 20),
    "eye_inner": (-4, 10, -27, 20),
    "eye": (-8, 8, -31, 20),
    "eye_outer": (-16, 9, -27, 20),
    "ear": (-29, 9, 6, 20),
    "mouth": (-11, 18, -24, 20),
    "shoulder": (-24, -6, 27, 45),
    "elbow": (-1, 0, 28, 38),
    "wrist": (0, -3, 1, 27),
    "pinky": (-27, -15, 25, 30),
    "index": (-28, -15, -20, 25),
    "thumb": (3, 11, -27, 25),
    "hip": (-7, 46, 5, 35),
    "knee": (-2, -15, -16, 30),
    "ankle": (0, 2, 17, 30),
    "heel": (-5, -24, 26, 45),
    "foot_index": (-12, -9, -63, 50),
}


class SeenLandmarks:
    """Poses the 33 points that the backbone means: betas [B,10], rotmats [B,24,3,3] to [B,33,3] metres."""

    def __init__(self, data: BodyData, model: BodyModel) -> None:
        self._points = model.subset(data.landmark_ids)
        self._parents = data.parents.tolist()
        self._joints = data.weights[data.landmark_ids].mean(axis=1).argmax(axis=1).tolist()
        like = model.skeleton.joint_template
        self._offsets = torch.tensor([_offset(name) for name in LANDMARK_NAMES]).to(like)

    def __call__(self, betas: Tensor, rotmats: Tensor) -> Tensor:
        turns = [rotmats[:, 0]]
        for joint, parent in enumerate(self._parents[1:], start=1):
            turns.append(turns[parent] @ rotmats[:, joint])
        carriers = torch.stack([turns[joint] for joint in self._joints], dim=1)
        return self._points(betas, rotmats) + (carriers @ self._offsets[..., None])[..., 0]


def landmark_precision() -> np.ndarray:
    """[33] inverse variances of the backbone's landmarks, 1 for the best."""
    spread = np.array([_OFFSETS[_unsided(name)][3] for name in LANDMARK_NAMES])
    return (spread.min() / spread) ** 2


def _offset(name: str) -> tuple[float, float, float]:
    """Metres."""
    x, y, z, _ = (value / 1000 for value in _OFFSETS[_unsided(name)])
    return (-x if name.startswith("right_") or name.endswith("_right") else x), y, z


def _unsided(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_").removesuffix("_left").removesuffix("_right")
