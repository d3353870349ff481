# SPDX-License-Identifier: GPL-3.0-or-later
"""People made of 17 joints who move before cameras, all of them known."""

from __future__ import annotations

import numpy as np
from refit_engine.detect import COCO_JOINT_NAMES
from refit_training.evaluation.triangulation import Rig, project

K = np.array([[840.0, 0, 270], [0, 840, 480], [0, 0, 1]])
# Metres, Z up, facing -Y, standing on the ground; the body's left is +X.
_STANDING = {
    "nose": (0, -0.1, 1.6), "eye": (0.03, -0.08, 1.63), "ear": (0.07, 0, 1.62), "shoulder": (0.18, 0, 1.42),
    "elbow": (0.25, 0, 1.15), "wrist": (0.28, -0.05, 0.9), "hip": (0.1, 0, 0.92), "knee": (0.11, 0, 0.5),
    "ankle": (0.11, 0.03, 0.08),
}  # fmt: skip


def ring(angles: tuple[float, ...] = (0.3, 1.7, 3.3, 4.9), distance: float = 4.0) -> Rig:
    """Cameras on a circle that look at the middle of the stage."""
    turns, shifts = [], []
    for number, angle in enumerate(angles):
        place = np.array([distance * np.cos(angle), distance * np.sin(angle), 1.1 + 0.3 * (number % 3)])
        ahead = np.array([0, 0, 0.9]) - place
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        turns.append(np.stack([right, np.cross(ahead, right), ahead]))
        shifts.append(-turns[-1] @ place)
    return Rig(np.tile(K, (len(angles), 1, 1)), np.array(turns), np.array(shifts))


def motion(rng: np.random.Generator, frames: int, fps: float, along: np.ndarray | None = None) -> np.ndarray:
    """Joints [T,17,3] of somebody who waves arms and legs at up to 1.5 Hz; along: [T,3] way that the body goes."""
    joints = np.array([_STANDING[name.split("_")[-1]] for name in COCO_JOINT_NAMES])
    joints[[name.startswith("right_") for name in COCO_JOINT_NAMES], 0] *= -1
    time = np.arange(frames)[:, None, None] / fps
    swing = 0.06 * np.sin(2 * np.pi * rng.uniform(0.3, 1.5, (1, 17, 1)) * time + rng.uniform(0, 6, (1, 17, 3)))
    turn = 0.6 * np.sin(time[:, 0, 0])
    rotation = np.zeros((frames, 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(turn)
    rotation[:, 1, 0] = np.sin(turn)
    rotation[:, 0, 1] = -rotation[:, 1, 0]
    rotation[:, 2, 2] = 1
    moved = (joints + swing) @ rotation.mT
    return moved if along is None else moved + along[:, None]


def seen(
    truth: np.ndarray, rig: Rig, rng: np.random.Generator, noise: float = 4.0, wrong: float = 0.05, lasting: float = 0.8
) -> np.ndarray:
    """Pixels [T,C,2,17,2] in which two eyes see joints [T,17,3].

    noise: pixels, of which the share `lasting` goes on into the next frame; wrong: share of joints that are far off.
    """
    pixels = np.repeat(project(truth, rig)[0][:, :, None], 2, axis=2)
    error = np.zeros_like(pixels)
    fresh = rng.normal(size=pixels.shape) * noise
    error[0] = fresh[0]
    for frame in range(1, len(error)):
        error[frame] = lasting * error[frame - 1] + np.sqrt(1 - lasting**2) * fresh[frame]
    astray = rng.random(pixels.shape[:-1]) < wrong
    error[astray] += rng.normal(size=(astray.sum(), 2)) * 60
    return pixels + error
