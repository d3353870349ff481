# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's motion at whole frames of the scene, made from its poses at the instants of a video. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .motion_results import ABSENT, FILLED, SEEN

BLEND = 5
"""Frames at either end of a part that is done again, over which the old motion becomes the new one."""
STANDS = 0.5
"""Probability above which a foot stands."""
_ROUNDING = 0.01
"""Frames; times of videos are rounded to their time base."""


@dataclass(frozen=True)
class MotionKeys:
    """A body at K frames of the scene, those at which it is there.

    frames [K], rising; rotations [K,24,4]: unit quaternions (w, x, y, z) whose signs do not jump, relative to the parent,
    the first in the world; pelvis [K,3]: in the world, metres; state [K]; std_mm, std_deg [K,24]; contacts [K,2]: whether
    the left and the right foot stands, and guessed [K,24]: joints that no camera shows, None where that is not known.
    """

    frames: np.ndarray
    rotations: np.ndarray
    pelvis: np.ndarray
    state: np.ndarray
    std_mm: np.ndarray
    std_deg: np.ndarray
    contacts: np.ndarray | None = None
    guessed: np.ndarray | None = None


def frames_between(positions: np.ndarray) -> np.ndarray:
    """The whole frames from the first to the last of positions [F] on the scene's time line, at least one."""
    first = int(np.ceil(positions[0] - _ROUNDING))
    return np.arange(first, max(int(np.floor(positions[-1] + _ROUNDING)), first) + 1)


def keys_at(
    frames: np.ndarray,
    positions: np.ndarray,
    rotmats: np.ndarray,
    pelvis: np.ndarray,
    state: np.ndarray,
    std_mm: np.ndarray,
    std_deg: np.ndarray,
    contacts: np.ndarray | None = None,
    guessed: np.ndarray | None = None,
) -> MotionKeys:
    """A motion at whole frames of the scene: rotations by slerp, everything else linearly.

    frames: the wanted ones; positions [F]: where the instants lie on the scene's time line, rising; rotmats [F,24,3,3];
    pelvis [F,3]; state [F], std_mm, std_deg [F,24], contacts [F,2], guessed [F,24]: as in `MovingPerson`. Between an
    instant at which the body is there and one at which it is not, there is none.
    """
    last = len(positions) - 1
    before = np.clip(np.searchsorted(positions, frames, side="right") - 1, 0, max(last - 1, 0))
    after = np.minimum(before + 1, last)
    gap = np.where(after > before, positions[after] - positions[before], 1.0)
    share = np.clip((frames - positions[before]) / gap, 0.0, 1.0)
    share = np.where(share * gap < _ROUNDING, 0.0, np.where((1 - share) * gap < _ROUNDING, 1.0, share))
    before, after = np.where(share == 1.0, after, before), np.where(share == 0.0, before, after)
    kept = (state[before] != ABSENT) & (state[after] != ABSENT)
    before, after, share = before[kept], after[kept], share[kept]

    def between(values: np.ndarray) -> np.ndarray:
        weights = share.reshape(-1, *[1] * (values.ndim - 1))
        return values[before] * (1 - weights) + values[after] * weights

    quaternions = quaternions_of(rotmats)
    filled = (state[before] == FILLED) | (state[after] == FILLED)
    return MotionKeys(
        frames=np.asarray(frames)[kept],
        rotations=continuous(slerp(quaternions[before], quaternions[after], share[:, None])),
        pelvis=between(pelvis),
        state=np.where(filled, FILLED, SEEN),
        std_mm=between(std_mm),
        std_deg=between(std_deg),
        contacts=None if contacts is None else between(contacts) > STANDS,
        guessed=None if guessed is None else guessed[before] & guessed[after],
    )


def quaternions_of(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions [...,4] (w, x, y, z) of rotation matrices [...,3,3]; the largest component is positive.

    Each component is found by dividing by the largest (Shepperd, Journal of Guidance and Control 1978).
    """
    m = np.asarray(matrices, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], axis=-1)
    wx, wy, wz = (m[..., a, b] - m[..., b, a] for a, b in ((2, 1), (0, 2), (1, 0)))
    xy, xz, yz = (m[..., a, b] + m[..., b, a] for a, b in ((0, 1), (0, 2), (1, 2)))
    products = np.stack(
        [
            np.stack([squares[..., 0], wx, wy, wz], axis=-1),
            np.stack([wx, squares[..., 1], xy, xz], axis=-1),
            np.stack([wy, xy, squares[..., 2], yz], axis=-1),
            np.stack([wz, xz, yz, squares[..., 3]], axis=-1),
        ],
        axis=-2,
    )
    largest = np.argmax(np.nan_to_num(squares), axis=-1)[..., None, None]
    row = np.take_along_axis(products, largest, axis=-2)[..., 0, :]
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """The same rotations [K,...,4] with signs by which each is on the side of the one before."""
    if len(quaternions) < 2:
        return quaternions
    turns = np.where((quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0, -1.0, 1.0)
    signs = np.concatenate([np.ones_like(turns[:1]), np.cumprod(turns, axis=0)])
    return quaternions * signs[..., None]


def slerp(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Rotations [...,4] on the shorter way from start to end, unit quaternions; share [...]: 0 at the start, 1 at the end."""
    cosine = (start * end).sum(axis=-1)
    end = np.where(cosine[..., None] < 0, -end, end)
    angle = np.arccos(np.clip(np.abs(cosine), 0.0, 1.0))
    sine = np.sin(angle)
    straight = sine < 1e-6
    divisor = np.where(straight, 1.0, sine)
    first = np.where(straight, 1 - share, np.sin((1 - share) * angle) / divisor)
    second = np.where(straight, share, np.sin(share * angle) / divisor)
    mixed = first[..., None] * start + second[..., None] * end
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def blend_weights(frames: np.ndarray, *, at_start: bool, at_end: bool) -> np.ndarray:
    """The new motion's share [K] at each frame of a part that is done again: ramps at the ends that have a neighbour."""
    ramp = min(BLEND, len(frames) // 2)
    weights = np.ones(len(frames))
    rising = (np.arange(ramp) + 1) / (ramp + 1)
    if at_start:
        weights[:ramp] = rising
    if at_end:
        weights[len(frames) - ramp :] = np.minimum(weights[len(frames) - ramp :], rising[::-1])
    return weights
