# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints of one person in the world, from what several eyes see through several calibrated cameras in all frames of a recording.

T frames, C cameras, E eyes, J joints. Pixels are those of a lens without distortion, origin at the corner of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from refit_engine.fitting.multiview.triangulation import crossing

from .smoothing import SMOOTHING, SmoothingSettings, Trajectories, fit_trajectories

__all__ = ["Rig", "filled", "project", "robust_start", "triangulate"]

START_PIXELS = 20.0
"""Distance at which an observation counts a half for the two rays that are tried."""
SECOND_NETWORK = 0.1
"""What the second observation of a camera adds to the first: that two eyes agree on one picture proves little."""
NARROW = np.radians(3.0)
NEAREST = 0.2  # metres
LEAST_SQUARED_SINE = 1e-6


@dataclass(frozen=True)
class Rig:
    """K: [C,3,3]; R: [C,3,3], t: [C,3] camera from world, metres (X right, Y down, Z forward)."""

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray

    def __getitem__(self, index) -> Rig:
        return Rig(self.K[index], self.R[index], self.t[index])

    def __len__(self) -> int:
        return len(self.K)


def project(points: np.ndarray, rig: Rig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of points [T,J,3]: pixels [T,C,J,2], their slopes [T,C,J,2,3], and depths [T,C,J]."""
    placed = np.einsum("cik,tjk->tcji", rig.R, points) + rig.t[:, None]
    depth = placed[..., 2]
    # A point at or behind the camera must not stop the others.
    safe = np.where(np.abs(depth) < NEAREST, NEAREST, depth)
    focal = rig.K[:, [0, 1], [0, 1]][:, None]
    flat = placed[..., :2] / safe[..., None]
    slopes = np.zeros((*flat.shape, 3))
    slopes[..., 0, 0], slopes[..., 1, 1] = focal[..., 0] / safe, focal[..., 1] / safe
    slopes[..., 2] = -focal * flat / safe[..., None]
    return flat * focal + rig.K[:, None, :2, 2], slopes @ rig.R[:, None], depth


def triangulate(observed: np.ndarray, rig: Rig, fps: float, settings: SmoothingSettings = SMOOTHING) -> Trajectories:
    """Trajectories of joints seen at pixels [T,C,E,J,2] (NaN: not seen). Their series are cameras times eyes, [C·E].

    A joint that no two cameras ever see at once is NaN.
    """
    frames, cameras, eyes, joints = observed.shape[:4]
    start = robust_start(observed, rig)
    ever = np.any(np.all(np.isfinite(start), axis=-1), axis=0)

    def linearize(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, slopes, _ = project(points, rig)
        return np.repeat(pixels, eyes, axis=1), np.repeat(slopes, eyes, axis=1)

    flat = observed.reshape(frames, cameras * eyes, joints, 2)
    found = fit_trajectories(flat[:, :, ever], linearize, filled(start[:, ever]), fps, settings)
    return found if ever.all() else found.spread(ever)


def robust_start(observed: np.ndarray, rig: Rig) -> np.ndarray:
    """Places [T,J,3] of joints seen at pixels [T,C,E,J,2], frame by frame; NaN where no two cameras see one.

    Of all pairs of rays of different cameras the one whose point most observations agree with (RANSAC, exhaustive).
    """
    seen = np.all(np.isfinite(observed), axis=-1)
    pixels = np.where(seen[..., None], observed, 0.0)
    origins = -np.einsum("cki,ck->ci", rig.R, rig.t)
    rays = (pixels - rig.K[:, None, None, :2, 2]) / rig.K[:, [0, 1], [0, 1]][:, None, None]
    rays = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
    rays = np.einsum("cki,tcejk->tceji", rig.R, rays / np.linalg.norm(rays, axis=-1, keepdims=True))
    frames, cameras, eyes, joints = seen.shape
    best, places = np.zeros((frames, joints)), np.full((frames, joints, 3), np.nan)
    for (one, eye), (other, second) in combinations(np.ndindex(cameras, eyes), 2):
        if one == other:
            continue
        middle, sine = _meeting(origins[one], rays[:, one, eye], origins[other], rays[:, other, second])
        projected, _, depth = project(middle, rig)
        votes = seen / (1 + np.square(pixels - projected[:, :, None]).sum(axis=-1) / START_PIXELS**2)
        votes = votes * (depth > NEAREST)[:, :, None]
        value = votes.max(axis=2).sum(axis=1) + SECOND_NETWORK * votes.sum(axis=(1, 2))
        better = seen[:, one, eye] & seen[:, other, second] & (sine > np.sin(NARROW)) & (value > best)
        best = np.where(better, value, best)
        places = np.where(better[..., None], middle, places)
    return places


def _meeting(
    origin: np.ndarray, rays: np.ndarray, other: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The middle [T,J,3] of where unit rays [T,J,3] pass each other, and the sine [T,J] of the angle between them."""
    at, at_other, squared = crossing(origin, rays, other, others, LEAST_SQUARED_SINE)
    middle = (origin + at[..., None] * rays + other + at_other[..., None] * others) / 2
    return middle, np.sqrt(np.maximum(squared, LEAST_SQUARED_SINE))


def filled(places: np.ndarray) -> np.ndarray:
    """Places [T,J,3] with the gaps (NaN) of every joint interpolated."""
    frames = np.arange(len(places))
    filled = places.copy()
    for joint in range(places.shape[1]):
        known = np.isfinite(places[:, joint, 0])
        for axis in range(places.shape[2]):
            filled[:, joint, axis] = np.interp(frames, frames[known], places[known, joint, axis])
    return filled
