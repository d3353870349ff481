# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each joint of a body may be off, as the engine estimated it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

JOINTS = 24


@dataclass(frozen=True)
class JointConfidence:
    """Root mean square errors to expect of 24 joints.

    std_mm [24]: of the position relative to the pelvis, millimetres, zero for the pelvis; std_deg [24]: of the rotation
    relative to the parent, for the pelvis to the camera, degrees. calibrated: False where the network's weights have no
    calibration; the values are too small then, and good for comparing joints only. spread: of a motion that has none, the
    smallest and the largest of its millimetres, and of its degrees.
    """

    std_mm: np.ndarray
    std_deg: np.ndarray
    calibrated: bool
    spread: tuple[float, float, float, float] | None = None

    def overall(self) -> tuple[float, float]:
        """Root mean squares over the joints: millimetres (without the pelvis) and degrees."""
        return float(np.sqrt(np.mean(self.std_mm[1:] ** 2))), float(np.sqrt(np.mean(self.std_deg**2)))

    def worst(self, count: int) -> list[int]:
        """The joints whose place is the least certain, the worst first."""
        return np.argsort(-self.std_mm, kind="stable")[:count].tolist()


def read_confidence(data: Mapping[str, np.ndarray], person: int) -> JointConfidence | None:
    """A person's confidence from a result's arrays; None where it was not estimated or is not in the file."""
    if "joint_std_mm" not in data or "joint_std_deg" not in data:
        return None
    std_mm, std_deg = (np.asarray(data[name][person], dtype=np.float64) for name in ("joint_std_mm", "joint_std_deg"))
    if std_mm.shape != (JOINTS,) or std_deg.shape != (JOINTS,):
        raise ValueError("the standard deviations are not those of 24 joints")
    if not (np.isfinite(std_mm).all() and np.isfinite(std_deg).all()):
        return None
    return JointConfidence(std_mm, std_deg, calibrated=str(data.get("confidence", "")) == "calibrated")
