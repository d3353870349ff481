# SPDX-License-Identifier: GPL-3.0-or-later
"""How near a moving body comes to the true one. F frames, 24 joints, metres, world frame, Z up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from refit_engine.body import SMPL_JOINT_NAMES
from scipy.ndimage import gaussian_filter1d

from .metrics import mpjpe, pa_mpjpe

STILL = 0.05
"""Metres a second below which a foot truly stands."""
LIMBS = [SMPL_JOINT_NAMES.index(name) for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]
FEET = [SMPL_JOINT_NAMES.index(name) for name in ("left_ankle", "right_ankle", "left_foot", "right_foot")]
WIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Deviations in frames of the Gaussians with which a frame-by-frame result is compared."""


@dataclass(frozen=True)
class Errors:
    """acc, acc_abs: mean error of joints' second differences, mm a frame², relative to the pelvis and absolute. mpjpe, pa, world:
    mm, the last without any alignment. across, along: error of the pelvis across and along the first camera's ray, mm.
    speed: correlation of the speeds of wrists and ankles with the truth. peak: their highest speeds over the true ones.
    slide: mm a second of ankles and toes that truly stand; NaN where none does.
    """

    acc: float
    acc_abs: float
    mpjpe: float
    pa: float
    world: float
    across: float
    along: float
    speed: float
    peak: float
    slide: float

    @classmethod
    def mean(cls, several: Sequence[Errors]) -> Errors:
        """The mean over clips; of slides, over those in which a foot stands."""
        return cls(*(float(np.nanmean([getattr(one, field.name) for one in several])) for field in fields(cls)))

    def row(self, name: str) -> str:
        """A line under `HEADER`."""
        return ROW.format(name, *asdict(self).values())


ROW = "  {:26} {:6.1f} {:7.1f} {:6.1f} {:6.1f} {:6.0f} {:6.0f} {:6.0f} {:6.3f} {:5.2f} {:6.0f}"
HEADER = "  {:26} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5} {:>6}".format(
    "", "acc", "acc_abs", "mpjpe", "pa", "world", "across", "along", "speed", "peak", "slide"
)


def errors_of(joints: np.ndarray, truth: np.ndarray, rate: float, toward: np.ndarray) -> Errors:
    """Errors of joints [F,24,3] against true ones at `rate` frames a second; toward: [F,3] unit, the first camera's ray."""
    ours, true = torch.from_numpy(joints), torch.from_numpy(truth)
    relative, true_relative = joints - joints[:, :1], truth - truth[:, :1]
    offset = joints[:, 0] - truth[:, 0]
    along = (offset * toward).sum(axis=-1)
    speeds, true_speeds = _speed(relative[:, LIMBS], rate), _speed(true_relative[:, LIMBS], rate)
    stands = _speed(truth[:, FEET], rate) < STILL
    slide = 1000 * float(_speed(joints[:, FEET], rate)[stands].mean()) if stands.any() else float("nan")
    return Errors(
        acc=_millimetres(_bend(relative) - _bend(true_relative)),
        acc_abs=_millimetres(_bend(joints) - _bend(truth)),
        mpjpe=float(mpjpe(ours, true).mean()),
        pa=float(pa_mpjpe(ours, true).mean()),
        world=_millimetres(joints - truth),
        across=_millimetres(offset - along[:, None] * toward),
        along=1000 * float(np.abs(along).mean()),
        speed=float(np.corrcoef(speeds.ravel(), true_speeds.ravel())[0, 1]),
        peak=float(speeds.max(axis=0).sum() / true_speeds.max(axis=0).sum()),
        slide=slide,
    )


def rays(truth: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Unit vectors [F,3] from a camera (R [F,3,3], t [F,3], from the world) to the true pelvis."""
    away = truth[:, 0] + np.einsum("fji,fj->fi", R, t)
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def smoothed(joints: np.ndarray, width: float) -> np.ndarray:
    """Joints [F,24,3] after a Gaussian of `width` frames."""
    return gaussian_filter1d(joints, width, axis=0, mode="nearest")


def best_filter(filtered: Sequence[Errors], acc: float) -> float:
    """The best correlation of speeds of the filters whose acceleration error is not above `acc`; of the smoothest, if all are."""
    smooth = [one for one in filtered if one.acc <= acc] or [min(filtered, key=lambda one: one.acc)]
    return max(one.speed for one in smooth)


def exchanges(joints: np.ndarray, truth: np.ndarray) -> int:
    """How often somebody of joints [N,F,24,3], NaN where absent, becomes another of the true people [M,F,24,3]."""
    distance = np.linalg.norm(joints[:, None] - truth[None], axis=-1).mean(axis=-1)
    changes = 0
    for person in distance:
        there = np.isfinite(person).all(axis=0)
        changes += int((np.diff(person[:, there].argmin(axis=0)) != 0).sum())
    return changes


def within(joints: np.ndarray, truth: np.ndarray, std: np.ndarray) -> float:
    """The share of joints but the pelvis that lie within two deviations [F,24] of the truth, relative to the pelvis."""
    error = np.linalg.norm((joints - joints[:, :1]) - (truth - truth[:, :1]), axis=-1)
    return float((error < 2 * std)[:, 1:].mean())


def largest_step(joints: np.ndarray) -> np.ndarray:
    """[F-1] the largest step of a joint, metres, from frame to frame: a pop is one that is far larger than others."""
    return np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1)


def _bend(values: np.ndarray) -> np.ndarray:
    return values[2:] - 2 * values[1:-1] + values[:-2]


def _speed(values: np.ndarray, rate: float) -> np.ndarray:
    return np.linalg.norm(np.diff(values, axis=0), axis=-1) * rate


def _millimetres(difference: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(difference, axis=-1).mean())
