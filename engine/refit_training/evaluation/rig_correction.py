# SPDX-License-Identifier: GPL-3.0-or-later
"""Where cameras stood, by the joints that they saw: a calibration is seldom as exact as thousands of joints are together.

Bundle adjustment (Triggs et al. 2000) of the cameras' places and turns and of every joint in every frame, the joints eliminated
(Schur complement). The given calibration is believed as far as its usual errors, which also keeps the world's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch

from .smoothing import Trajectories
from .triangulation import Rig, project, triangulate

__all__ = ["CorrectionSettings", "corrected_rig"]


@dataclass(frozen=True)
class CorrectionSettings:
    """degrees, metres: what calibrations are usually off by. rounds: of trajectories and cameras in turn."""

    degrees: float = 1.0
    metres: float = 0.03
    rounds: int = 4
    settled: float = 1e-3


CORRECTION = CorrectionSettings()


def corrected_rig(
    observed: Sequence[np.ndarray],
    rig: Rig,
    fps: float,
    settings: CorrectionSettings = CORRECTION,
) -> Rig:
    """The rig that agrees best with what it saw of people, pixels [T,C,E,J,2] each (NaN: not seen)."""
    prior = np.tile(np.repeat([np.radians(settings.degrees), settings.metres], 3) ** -2.0, len(rig))
    moved = np.zeros(6 * len(rig))
    current = rig
    for _ in range(settings.rounds):
        normal, right = np.diag(prior), -prior * moved
        for person in observed:
            blocks = _camera_equations(person, triangulate(person, current, fps), current)
            normal, right = normal + blocks[0], right + blocks[1]
        step = np.linalg.solve(normal, right)
        moved = moved + step
        current = _moved(rig, moved.reshape(-1, 6))
        if np.abs(step).max() < settings.settled:
            break
    return current


def _moved(rig: Rig, moves: np.ndarray) -> Rig:
    """Cameras [C] turned by rotation vectors and shifted, [C,6], in their own frames."""
    turns = roma.rotvec_to_rotmat(torch.from_numpy(moves[:, :3])).numpy()
    return Rig(rig.K, turns @ rig.R, np.einsum("cik,ck->ci", turns, rig.t) + moves[:, 3:])


def _camera_equations(observed: np.ndarray, found: Trajectories, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix [6C,6C] and right side [6C] of small moves of the cameras, the joints eliminated."""
    frames, cameras, eyes, joints = observed.shape[:4]
    places = np.nan_to_num(found.points)  # nothing is believed of joints that are not known
    _, slopes, _ = project(places, rig)
    placed = np.einsum("cik,tjk->tcji", rig.R, places) + rig.t[:, None]
    by_place = slopes @ rig.R.mT[:, None]  # of the point in the camera's frame
    by_move = np.concatenate([np.cross(placed[..., None, :], by_place), by_place], axis=-1)
    weight = (found.belief / np.square(found.noise)[:, None]).reshape(frames, cameras, eyes, joints)
    residuals = np.nan_to_num(found.residuals).reshape(frames, cameras, eyes, joints, 2)
    pull = (weight[..., None] * residuals).sum(axis=2)
    weight = weight.sum(axis=2)
    own = np.einsum("tcj,tcjai,tcjak->cik", weight, by_move, by_move)
    mixed = np.einsum("tcj,tcjai,tcjak->tjcik", weight, by_move, slopes)
    points = np.einsum("tcj,tcjai,tcjak->tjik", weight, slopes, slopes)
    usable = (weight > 0).sum(axis=1) > 1
    scale = np.trace(points, axis1=2, axis2=3)[..., None, None]
    points = np.where(usable[..., None, None], points + 1e-6 * scale * np.eye(3), np.eye(3))
    mixed = np.where(usable[..., None, None, None], mixed, 0.0).reshape(frames, joints, 6 * cameras, 3)
    inverse = np.linalg.inv(points)
    normal = -np.einsum("tjai,tjik,tjbk->ab", mixed, inverse, mixed, optimize=True)
    towards = np.einsum("tcja,tcjai->tji", pull, slopes)
    right = np.einsum("tcja,tcjai->ci", pull, by_move).ravel()
    right = right - np.einsum("tjai,tjik,tjk->a", mixed, inverse, towards, optimize=True)
    for camera in range(cameras):
        block = slice(6 * camera, 6 * camera + 6)
        normal[block, block] += own[camera]
    return normal, right
