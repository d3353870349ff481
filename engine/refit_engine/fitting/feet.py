# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet at the landmarks of heel and toes, and flat on the floor where they seem to stand there.

The loop follows feet less exactly than the landmarks that it is given: they are small. And one picture tells little of how a
foot is pitched that points at the camera. Only the ankles turn; everything else stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import roma
import torch
from torch import Tensor

from ..body import SMPL_PARENTS
from ..body.points import LANDMARK_NAMES
from ..crop import CROP_SIZE
from ..network import CropCamera
from ..network.geometry import project_to_crop
from .shown import FEET

__all__ = ["FEET_NUMBERS", "FootNumbers", "global_rotations", "laid_flat", "toward_landmarks"]


@dataclass(frozen=True)
class FootNumbers:
    """Numbers of feet; docs/floor-and-height.md says what chose them. Deviations are standard deviations."""

    landmark: float = 0.06
    """Metres by which heel and toes may be off their landmarks,"""
    turn: float = float(np.radians(20))
    """and radians by which the loop's foot may be off about each axis, where landmarks are followed."""
    robust: float = 2.0
    """Deviations from which a landmark counts less and less."""
    near: float = 0.06
    """Metres above the lowest point of the body up to which a foot may stand on the floor."""
    standing: float = 0.6
    """Share of such feet that stand flat,"""
    flat: float = float(np.radians(4))
    """which are pitched by so much,"""
    other: float = float(np.radians(25))
    """and those on toes or heels by so much."""
    error: float = float(np.radians(7))
    """How far off the foot is that was found."""


FEET_NUMBERS = FootNumbers()
_SIDES = ("left", "right")
_ANKLES: list[int] = FEET[:, 0].tolist()
_ANKLE_POINTS = [LANDMARK_NAMES.index(f"{side}_ankle") for side in _SIDES]
_ENDS = [[LANDMARK_NAMES.index(f"{side}_{name}") for name in ("heel", "foot_index")] for side in _SIDES]
_ROUNDS, _SMALL = 4, 1e-4


def global_rotations(rotmats: Tensor, joint: int) -> Tensor:
    """How a joint is turned in the frame of the body [B,3,3], of rotations [B,24,3,3] against the parents."""
    found = rotmats[:, joint]
    while (joint := SMPL_PARENTS[joint]) >= 0:
        found = rotmats[:, joint] @ found
    return found


def toward_landmarks(
    rotmats: Tensor,
    joints: Tensor,
    points: Tensor,
    landmarks: Tensor,
    cam: Tensor,
    camera: CropCamera,
    followed: Tensor,
    numbers: FootNumbers = FEET_NUMBERS,
) -> Tensor:
    """Rotations [B,24,3,3] whose ankles let heel and toes be seen from the ankle as their landmarks are.

    joints: [B,24,3], points: [B,33,3] of the body's landmarks, metres, before translation; landmarks: [B,33,2] crop pixels;
    cam: [B,3] weak-perspective camera of the crops; followed: [B,2] whose left and right foot is seen.
    Gauss-Newton, with the turn from where the loop has the foot as prior. All in double precision.
    """
    ankle, ends = joints[:, _ANKLES, None, None], points[:, _ENDS][:, :, None]
    wanted = landmarks[:, _ENDS] - landmarks[:, _ANKLE_POINTS, None]
    ankle_pixels = project_to_crop(points[:, _ANKLE_POINTS], cam, camera)[:, :, None]
    metre = CROP_SIZE / 2 * cam[:, 0].clamp(min=_SMALL)  # crop pixels, at the depth of the body

    def off(turns: Tensor) -> Tensor:
        """In deviations, [B,2,M,7], for feet turned by M rotation vectors [B,2,M,3]."""
        turned = ankle + (ends - ankle) @ roma.rotvec_to_rotmat(turns).mT
        seen = torch.unflatten(project_to_crop(turned.flatten(1, 3), cam, camera), 1, turned.shape[1:4])
        missed = (seen - (ankle_pixels + wanted)[:, :, None]) / (numbers.landmark * metre)[:, None, None, None, None]
        missed = missed / torch.sqrt(1 + missed.square().sum(-1, keepdim=True) / numbers.robust**2)
        # Of people whom the network could not follow, nothing is finite.
        return torch.cat([missed.flatten(3), turns / numbers.turn], dim=-1).nan_to_num(0.0, 0.0, 0.0)

    turn = ankle.new_zeros((*followed.shape, 3))
    steps = _SMALL * torch.cat([turn.new_zeros(1, 3), torch.eye(3).to(turn)])
    for _ in range(_ROUNDS):
        rows = off(turn[:, :, None] + steps)
        slopes = ((rows[:, :, 1:] - rows[:, :, :1]) / _SMALL).mT
        gradient = slopes.mT @ rows[:, :, :1].mT
        change = cast("Tensor", torch.linalg.solve(slopes.mT @ slopes, gradient))  # PyTorch says no type
        turn = turn - change[..., 0]
    return _turned(rotmats, roma.rotvec_to_rotmat(turn * followed[..., None]))


def laid_flat(
    rotmats: np.ndarray,
    lowest: np.ndarray,
    up: np.ndarray,
    up_std: float,
    may: np.ndarray,
    numbers: FootNumbers = FEET_NUMBERS,
) -> np.ndarray:
    """Rotations [N,24,3,3] with feet laid flat as far as they probably are.

    lowest: [N,2] metres from the lowest point of the body up to that of the left and the right foot; up: [3], in the frame of the
    bodies; up_std: radians that it is off; may: [N,2] bool, which feet can stand on the floor.
    The pitch is what is expected of a foot that was found with this one (a mixture of two Gaussians: flat, or anyhow).
    """
    result = torch.from_numpy(rotmats.astype(np.float64))
    turns = np.tile(np.eye(3), (len(rotmats), 2, 1, 1))
    for side, ankle in enumerate(_ANKLES):
        feet = global_rotations(result, ankle).numpy()
        for row in np.flatnonzero(may[:, side] & (lowest[:, side] <= numbers.near)):
            turns[row, side] = _levelled(feet[row], up, up_std, numbers)
    return _turned(result, torch.from_numpy(turns)).numpy()


def _levelled(foot: np.ndarray, up: np.ndarray, up_std: float, numbers: FootNumbers) -> np.ndarray:
    """The turn [3,3] of a foot [3,3] towards level: about the axis across it first, then about its length."""
    pitch = float(np.arcsin(np.clip(foot[:, 2] @ up, -1, 1)))
    # What up is off by, feet on the true floor seem to be pitched by.
    variance = np.array([numbers.flat, numbers.other]) ** 2 + up_std**2 + numbers.error**2
    shares = np.array([numbers.standing, 1 - numbers.standing]) * np.exp(-0.5 * pitch**2 / variance) / np.sqrt(variance)
    shares /= shares.sum()
    taken = shares * numbers.error**2 / variance  # of the tilt, by kind of foot
    across = np.cross(up, foot[:, 2])
    length = np.linalg.norm(across)
    if length < _SMALL:  # the foot points straight up or down
        return np.eye(3)
    pitched = _rotation(across / length * taken.sum() * pitch)
    roll = float(np.arcsin(np.clip((pitched @ foot[:, 0]) @ up, -1, 1)))
    ahead = pitched @ foot[:, 2]
    return _rotation(-ahead * taken[0] * roll) @ pitched


def _rotation(vector: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(vector)).numpy()


def _turned(rotmats: Tensor, turns: Tensor) -> Tensor:
    """Rotations [B,24,3,3] whose feet are turned by [B,2,3,3] in the frame of the body."""
    result = rotmats.clone()
    for side, ankle in enumerate(_ANKLES):
        above = global_rotations(rotmats, SMPL_PARENTS[ankle])
        result[:, ankle] = above.mT @ turns[:, side] @ above @ rotmats[:, ankle]
    return result
