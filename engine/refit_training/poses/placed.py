# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured motions together with the place of the pelvis, at about the frame rate of a video."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from refit_engine.body import load_body
from scipy.ndimage import gaussian_filter1d

from .retarget import retarget
from .sources import Motion, read_expmap_clips, read_smpl_clips

VIDEO_RATE = 25.0
SMOOTHING = 0.02
"""Seconds, a Gaussian's deviation: places are stored in steps of some millimetres."""
FEET = [7, 8, 10, 11]
"""Ankles and balls of the feet."""
SKATING = 0.35
"""Metres a second below which a captured foot is taken to stand."""
FREE = 0.01
"""How much the captured travel counts beside a foot that stands."""


class PlacedMotion(NamedTuple):
    """rotmats: [F,24,3,3], pelvis: [F,3] metres for a body of the bundled template's size; Y up. rate: frames a second."""

    rotmats: np.ndarray
    pelvis: np.ndarray
    rate: float

    def part(self, start: float, seconds: float) -> PlacedMotion:
        """What happens in some seconds."""
        rows = slice(round(start * self.rate), round((start + seconds) * self.rate))
        return PlacedMotion(self.rotmats[rows], self.pelvis[rows], self.rate)


def read_placed(folder: Path, name: str) -> PlacedMotion:
    """A clip of `cmu_expmap.npz` or `more_clips.npz` under a folder, every n-th frame of it. Raises KeyError."""
    motion, places = _find(folder, name)
    places = gaussian_filter1d(places, SMOOTHING * motion.frame_rate, axis=0, mode="nearest")
    template = load_body().joints_linear()[0]
    hip, ankle = (1, 7) if len(motion.rest) == len(template) else (2, 4)
    leg = _length(motion.rest, motion.parents, hip, ankle)
    scale = _length(template, load_body().parents, 1, 7) / leg  # so that feet cover the same ground
    step = max(1, round(motion.frame_rate / VIDEO_RATE))
    return PlacedMotion(
        retarget(motion.every(step)).astype(np.float64), scale * places[::step], motion.frame_rate / step
    )


def with_planted_feet(joints: np.ndarray, pelvis: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Places [F,3] of the pelvis at which feet that nearly stand do so, and how surely one does [F].

    Captured motions skate a little on another body. joints: [F,24,3] relative to the pelvis, world with Z up.
    """
    moves, travel = np.diff(joints[:, FEET], axis=0) * rate, np.diff(pelvis, axis=0) * rate
    speed = np.linalg.norm(moves + travel[:, None], axis=-1)
    slowest = speed.min(axis=1, keepdims=True)
    weight = np.exp((slowest - speed) / (0.1 * SKATING)) / (1 + (speed / SKATING) ** 6)
    planted = (FREE * travel - (weight[..., None] * moves).sum(axis=1)) / (FREE + weight.sum(axis=1))[:, None]
    places = np.concatenate([np.zeros((1, 3)), np.cumsum(planted, axis=0) / rate])
    middle = (places[:, :2].min(axis=0) + places[:, :2].max(axis=0)) / 2
    return np.column_stack([places[:, :2] - middle, pelvis[:, 2]]), np.append(weight.max(axis=1), weight[-1].max())


def _find(folder: Path, name: str) -> tuple[Motion, np.ndarray]:
    """The clip, and the places [F,3] of its pelvis in the source's unit of length."""
    for path in sorted(folder.rglob("cmu_expmap.npz")):
        with np.load(path) as archive:
            if f"clip.{name}" in archive.files:
                places = archive[f"clip.{name}"][:, :3].astype(np.float64)
                return next(motion for motion in read_expmap_clips(path) if motion.name == name), places
    for path in sorted(folder.rglob("more_clips.npz")):
        with np.load(path) as archive:
            if f"positions.{name}" in archive.files:
                places = archive[f"positions.{name}"][:, 0].astype(np.float64)
                return next(motion for motion in read_smpl_clips(path) if motion.name == name), places
    raise KeyError(f"There is no captured motion {name} under {folder}.")


def _length(joints: np.ndarray, parents: np.ndarray, top: int, bottom: int) -> float:
    """How long the bones are from a joint up to another one above it."""
    total = 0.0
    while bottom != top:
        total += float(np.linalg.norm(joints[bottom] - joints[parents[bottom]]))
        bottom = int(parents[bottom])
    return total
