# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that tell how widely a set of poses covers what bodies can do."""

import numpy as np
import roma
import torch

from refit_training.poses import limits

__all__ = ["describe", "tilt"]

_ROWS = {
    "hip": (1, 2),
    "knee": (4, 5),
    "ankle": (7, 8),
    "spine1": (3,),
    "spine2": (6,),
    "spine3": (9,),
    "neck": (12,),
    "head": (15,),
    "collar": (13, 14),
    "shoulder": (16, 17),
    "elbow": (18, 19),
    "wrist": (20, 21),
}
_PERCENTILES = (1, 10, 50, 90, 99)


def tilt(rotmats: np.ndarray) -> np.ndarray:
    """Angle between the pelvis' own vertical and the world's. [n,24,3,3] -> [n] degrees"""
    return np.degrees(np.arccos(rotmats[:, 0, 1, 1].clip(-1, 1)))


def describe(captured: np.ndarray, samples: np.ndarray) -> str:
    """Table of joint angles (percentiles in degrees) and tilts of captured poses and of samples. [n,24,3,3] each."""
    lines = [f"{'degrees':9}{'':7}{'captured: ' + ' '.join(f'{p}%' for p in _PERCENTILES):32}samples"]
    angles = [_angles(captured), _angles(samples)]
    for name, joints in _ROWS.items():
        for column, axis in enumerate(("hinge", "side", "twist")):
            cells = [np.percentile(each[:, joints, column], _PERCENTILES).round().astype(int) for each in angles]
            lines.append(
                f"{name:9}{axis:7}" + "".join(f"{' '.join(f'{value:4d}' for value in cell):32}" for cell in cells)
            )
    for name, poses in (("captured", captured), ("samples", samples)):
        leaning = tilt(poses)
        shares = [
            np.mean((leaning >= low) & (leaning < high)) for low, high in ((0, 30), (30, 60), (60, 120), (120, 181))
        ]
        lines.append(
            f"tilt of the pelvis, {name}: "
            + ", ".join(
                f"{label} {share:.0%}"
                for label, share in zip(("< 30", "30-60", "60-120", "> 120"), shares, strict=True)
            )
        )
    return "\n".join(lines)


def _angles(rotmats: np.ndarray) -> np.ndarray:
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotmats))
    return np.degrees(limits.to_coordinates(quaternions).numpy())
