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
