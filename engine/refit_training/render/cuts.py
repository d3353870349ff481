# SPDX-License-Identifier: GPL-3.0-or-later
"""Rest-pose coordinates of the body by which painted garments are cut; the shaders compute the same."""

from __future__ import annotations

import numpy as np

from .appearance import Cut

__all__ = ["BodyPlaces"]


class BodyPlaces:
    """Arm and height marks of a body: how far along the arm, and at which level, a rest-pose point lies."""

    def __init__(self, joints: np.ndarray, top: float):
        """`joints` [24,3] SMPL joints in the rest pose, `top` height of the crown; metres, Y up."""
        side = np.abs(joints[:, 0])
        self.arm_marks = [float(side[pair].mean()) for pair in ([16, 17], [18, 19], [20, 21])]
        height = joints[:, 1]
        self.level_marks = [
            float(height[[7, 8]].mean()),
            float(height[[4, 5]].mean()),
            float(height[[1, 2]].mean()) - 0.05,
            float(height[3]) + 0.005,
            float(height[12]) - 0.015,
            float(top),
        ]

    def arm(self, rest: np.ndarray) -> np.ndarray:
        """Along the arm: 0 shoulder, 1 elbow, 2 wrist; -1 below the hips."""
        shoulder, elbow, wrist = self.arm_marks
        x = np.abs(rest[:, 0])
        along = np.where(
            x < elbow,
            (x - shoulder) / (elbow - shoulder),
            1 + (x - elbow) / (wrist - elbow),
        )
        return np.where(rest[:, 1] < self.level_marks[2], -1.0, along)

    def level(self, rest: np.ndarray) -> np.ndarray:
        """Height: 0 ankle, 1 knee, 2 hip, 3 waist, 4 neck, 5 crown, linear between and beyond."""
        marks = np.array(self.level_marks)
        index = np.clip(np.searchsorted(marks, rest[:, 1], side="right") - 1, 0, 4)
        return index + (rest[:, 1] - marks[index]) / (marks[index + 1] - marks[index])

    def inside(self, rest: np.ndarray, cut: Cut) -> np.ndarray:
        """How far inside a cut rest-pose points [N,3] are, in levels; the neckline is left out."""
        level = self.level(rest) - cut.tilt * rest[:, 2]
        return np.minimum(cut.arm - self.arm(rest), np.minimum(level - cut.bottom, cut.top - level))
