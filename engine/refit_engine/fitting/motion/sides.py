# SPDX-License-Identifier: GPL-3.0-or-later
"""Left and right limbs that single pictures took for each other, told by their paths in the picture.

Seen from the side, legs cross, and landmarks of some pictures say left of the right leg. A leg that keeps its velocity tells them:
the exchange of a few pictures costs two jumps, which the right assignment does not have.
"""

from __future__ import annotations

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from ...body import SMPL_JOINT_NAMES
from ...body.points import LANDMARK_NAMES
from .numbers import NUMBERS, MotionNumbers
from .observations import Observations

_TRUNK = [LANDMARK_NAMES.index(f"{side}_{part}") for part in ("hip", "shoulder") for side in ("left", "right")]


class _Limbs(NamedTuple):
    """landmarks: [2,P] of the left and the right limb; joints: those whose rotations these landmarks show."""

    landmarks: Tensor
    joints: list[int]


def _limbs(landmarks: tuple[str, ...], joints: tuple[str, ...]) -> _Limbs:
    sides = ("left", "right")
    return _Limbs(
        torch.tensor([[LANDMARK_NAMES.index(f"{side}_{part}") for part in landmarks] for side in sides]),
        [SMPL_JOINT_NAMES.index(f"{side}_{part}") for side in sides for part in joints],
    )


LIMBS = (
    _limbs(("knee", "ankle", "heel", "foot_index"), ("hip", "knee", "ankle", "foot")),
    _limbs(("elbow", "wrist", "pinky", "index", "thumb"), ("shoulder", "elbow", "wrist", "hand")),
)


def with_consistent_sides(seen: Observations, times: Tensor, numbers: MotionNumbers = NUMBERS) -> Observations:
    """The observations with limbs exchanged where their paths say so; poses that pictures gave these limbs count no more.

    times: [F] seconds.
    """
    pixels, confidence, rotmats = seen.pixels.clone(), seen.confidence.clone(), seen.rotmats.clone()
    pose_trust = seen.pose_trust.clone()
    for view in seen.views():
        rows = (seen.view == view).nonzero()[:, 0]
        own = seen.select(rows)
        stamps = times[own.frame] + own.lag
        for limbs in LIMBS:
            swapped = exchanged(_paths(own, limbs.landmarks), stamps, numbers)
            if not swapped.any():
                continue
            left, right = limbs.landmarks
            there = rows[swapped]
            for value, before in ((pixels, seen.pixels), (confidence, seen.confidence)):
                value[there[:, None], left] = before[there[:, None], right]
                value[there[:, None], right] = before[there[:, None], left]
            pose_trust[there[:, None], limbs.joints] = 0.0
            rotmats[rows[:, None], limbs.joints] = _between(own.rotmats[:, limbs.joints], swapped, stamps)
    return seen._replace(pixels=pixels, confidence=confidence, rotmats=rotmats, pose_trust=pose_trust)


def exchanged(paths: Tensor, stamps: Tensor, numbers: MotionNumbers = NUMBERS) -> Tensor:
    """In which of N pictures [N] two limbs are taken for each other; paths: [N,2,P,2] metres, stamps: [N] seconds.

    The cheapest row of choices (Viterbi): pictures that are exchanged cost something, and so do accelerations.
    """
    count = len(paths)
    choices = torch.stack([paths, paths.flip(1)], dim=1)
    price = torch.tensor([0.0, numbers.exchange_price], dtype=paths.dtype)
    if count < 3:
        return torch.zeros(count, dtype=torch.bool)
    interval = stamps[1:] - stamps[:-1]
    joined = interval < numbers.exchange_gap
    ratio = (interval[1:] / interval[:-1]).reshape(-1, *[1] * 6)
    step = choices[1:, None, :] - choices[:-1, :, None]
    jump = _cost(step, numbers)  # [N-1, last, now]
    cost = _cost(step[1:, None] - ratio * step[:-1, :, :, None], numbers)  # [N-2, before last, last, now]
    both = joined[1:] & joined[:-1]
    best = price[:, None] + price + jump[0] * joined[0]
    came: list[Tensor] = []
    for place in range(count - 2):
        now = cost[place] if both[place] else (jump[place + 1] * joined[place + 1]).expand(2, 2, 2)
        total = best[..., None] + now + price
        best, where = total.min(dim=0)
        came.append(where)
    last = int(best.flatten().argmin())
    row = [last % 2, last // 2]
    for where in reversed(came):
        row.append(int(where[row[-1], row[-2]]))
    return torch.tensor(row[::-1], dtype=torch.bool)


def _cost(moves: Tensor, numbers: MotionNumbers) -> Tensor:
    """What it costs that limbs move unexpectedly by [...,2,P,2] metres: [...]."""
    return torch.log1p(moves.square().sum(dim=-1) / numbers.exchange_bend**2).mean(dim=-1).sum(dim=-1)


def _paths(rows: Observations, landmarks: Tensor) -> Tensor:
    """Landmarks [O,2,P,2] beside the trunk, in metres at the body's depth."""
    middle = rows.pixels[:, _TRUNK].mean(dim=1)
    return (rows.pixels[:, landmarks] - middle[:, None, None]) / rows.focal[:, None, None] * rows.depth.median()


def _between(rotmats: Tensor, wrong: Tensor, stamps: Tensor) -> Tensor:
    """Rotations [N,J,3,3] in which those of the wrong rows [N] are replaced by what lies between the right ones beside them."""
    right = (~wrong).nonzero()[:, 0]
    if not len(right):
        return rotmats
    after = torch.searchsorted(right, torch.arange(len(wrong))).clamp(max=len(right) - 1)
    before = right[(after - 1).clamp(min=0)]
    after = right[after]
    span = stamps[after] - stamps[before]
    share = torch.where(span > 0, (stamps - stamps[before]) / torch.where(span > 0, span, 1.0), 0.0).clamp(0, 1)
    turn = roma.rotmat_to_rotvec(rotmats[before].mT @ rotmats[after])
    between = rotmats[before] @ roma.rotvec_to_rotmat(share[:, None, None] * turn)
    return torch.where(wrong[:, None, None, None], between, rotmats)
