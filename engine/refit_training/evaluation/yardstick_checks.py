# SPDX-License-Identifier: GPL-3.0-or-later
"""How exact a yardstick is: by what is left over, by leaving cameras out, and by cameras and eyes apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from refit_engine.detect import COCO_JOINT_NAMES

from .alignment import trunk_lengths
from .smoothing import Trajectories
from .triangulation import Rig, project, triangulate
from .yardstick_fit import Fitted, smoothed

__all__ = ["picture_checks", "world_checks"]

_USUAL = {2: 1.386, 3: 2.366}
"""Median of chi squared with so many degrees of freedom."""


def world_checks(fitted: Fitted, given: Rig, fps: float) -> tuple[dict[str, Any], float]:
    """Numbers for people, in pixels of the pictures that K belongs to and millimetres, medians over people, frames and joints; and how
    many times the stated error pairs of cameras are apart."""
    cameras, eyes = range(len(given)), range(fitted.observed[0].shape[2])
    residuals = [_distances(one) for one in fitted.found]
    apart = _pairs_apart(fitted, fps)
    times = ratio(*apart)
    checks = {
        "residual_px": _table(
            [[np.concatenate([r[:, c * len(eyes) + e].ravel() for r in residuals]) for e in eyes] for c in cameras]
        ),
        "camera_turned_degrees": [round(_degrees(fitted.rig.R[c] @ given.R[c].T), 2) for c in cameras],
        "without_camera": [_without(fitted, camera, fps) for camera in cameras],
        "pairs_of_cameras_apart_mm": round(1000 * float(np.nanmedian(np.linalg.norm(apart[0], axis=-1))), 1),
        "error_over_stated": round(times, 2),
        "eyes_apart_mm": _eyes_apart(fitted, fps),
        "eyes_differ_mm": {
            name.removeprefix("left_"): round(1000 * float(np.linalg.norm(np.diff(fitted.offsets[:2, joint], axis=0))))
            for joint, name in enumerate(COCO_JOINT_NAMES)
            if not name.startswith("right_")
        },
    }
    return checks, times


def _pairs_apart(fitted: Fitted, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences [M,3] between what two cameras and two others see of a joint, and the covariances [M,3,3] that they should have."""
    cameras = set(range(len(fitted.rig)))
    differences, covariances = [np.empty((0, 3))], [np.empty((0, 3, 3))]
    for pair in combinations(sorted(cameras), 2):
        rest = sorted(cameras - set(pair))
        if len(rest) < 2 or 0 not in pair:
            continue
        for observed in fitted.observed:
            one, other = (_by(observed, list(half), fitted.rig, fps) for half in (pair, rest))
            good = _seen_by_two(observed[:, list(pair)]) & _seen_by_two(observed[:, rest])
            differences.append((one.points - other.points)[good])
            covariances.append((one.covariance + other.covariance)[good])
    return np.concatenate(differences), np.concatenate(covariances)


def ratio(differences: np.ndarray, covariances: np.ndarray) -> float:
    """How many times as large differences [M,D] are as their covariances say, by the median; 1 where there are none."""
    known = np.isfinite(differences).all(axis=-1)
    if not known.any():
        return 1.0
    differences = differences[known]
    squared = np.einsum("mi,mi->m", differences, np.linalg.solve(covariances[known], differences[..., None])[..., 0])
    return float(np.sqrt(np.median(squared) / _USUAL[differences.shape[-1]]))


def _by(observed: np.ndarray, cameras: list[int], rig: Rig, fps: float) -> Trajectories:
    return triangulate(observed[:, cameras], rig[cameras], fps)


def _seen_by_two(observed: np.ndarray) -> np.ndarray:
    """Whether two cameras at least see a joint, [T,17] of pixels [T,C,E,17,2]."""
    return np.isfinite(observed[..., 0]).any(axis=2).sum(axis=1) >= 2


def _without(fitted: Fitted, camera: int, fps: float) -> dict[str, Any]:
    """What the others say of joints: how far that is from what all say, and how far from what this camera sees."""
    others = [one for one in range(len(fitted.rig)) if one != camera]
    moves, misses = [], []
    for observed, found in zip(fitted.observed, fitted.found, strict=True):
        if not _seen_by_two(observed[:, others]).any():
            continue
        left = _by(observed, others, fitted.rig, fps)
        good = _seen_by_two(observed[:, others])
        moves.append(1000 * np.linalg.norm(left.points - found.points, axis=-1)[good])
        miss = np.linalg.norm(observed[:, camera] - project(left.points, fitted.rig)[0][:, camera, None], axis=-1)
        misses.append(np.where(good[:, None], miss, np.nan))
    eyes = range(misses[0].shape[1])
    return {
        "joints_move_mm": round(float(np.nanmedian(np.concatenate(moves))), 1),
        "misses_px": _table([[np.concatenate([miss[:, eye].ravel() for miss in misses]) for eye in eyes]])[0],
    }


def _eyes_apart(fitted: Fitted, fps: float) -> float:
    """Median distance between what BlazePose and Thunder alone say, after their mean offsets."""
    everything = []
    for observed in fitted.observed:
        one, other = (triangulate(observed[:, :, [eye]], fitted.rig, fps).points for eye in (0, 1))
        everything.append(1000 * np.linalg.norm(one - other, axis=-1).ravel())
    return round(float(np.nanmedian(np.concatenate(everything))), 1)


def picture_checks(
    observed: Sequence[np.ndarray], found: Sequence[Trajectories], fps: float
) -> tuple[dict[str, Any], float]:
    """Numbers for people of a single video, and how many times the stated error the eyes are apart."""
    residuals = [_distances(one) for one in found]
    differences, covariances, shares = [], [], []
    for person in observed:
        one, other = (smoothed(person[:, [eye]], fps) for eye in (0, 1))
        good = np.isfinite(person[..., 0]).all(axis=1)
        differences.append((one.points - other.points)[good])
        covariances.append((one.covariance + other.covariance)[good])
        apart = np.linalg.norm(one.points - other.points, axis=-1) / trunk_lengths(one.points)[:, None]
        shares.append(100 * apart[good])
    times = ratio(np.concatenate(differences), np.concatenate(covariances))
    checks = {
        "residual_px": _table([[np.concatenate([r[:, eye].ravel() for r in residuals]) for eye in (0, 1)]])[0],
        "eyes_apart_percent_of_trunk": round(float(np.nanmedian(np.concatenate(shares))), 1),
        "error_over_stated": round(times, 2),
    }
    return checks, times


def _distances(found: Trajectories) -> np.ndarray:
    return np.linalg.norm(found.residuals, axis=-1)


def _table(columns: Sequence[Sequence[np.ndarray]]) -> list[list[float]]:
    return [[round(float(np.nanmedian(values)), 1) for values in row] for row in columns]


def _degrees(rotation: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
