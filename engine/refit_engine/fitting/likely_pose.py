# SPDX-License-Identifier: GPL-3.0-or-later
"""Likely rotations for joints that a picture does not show, given those that it shows.

A small mixture of Gaussians over the rotation vectors of everyday poses (people who stand, and people who sit), made
from the pose library by `refit_training.poses.likely_poses`. Conditioned on the rotations that are seen, its components
say how the rest goes on: under a straight trunk legs hang straight; below a bent thigh hangs a shin.

B people, 24 joints, 23 of them below the pelvis; D = 69 numbers, K components.
"""

from __future__ import annotations

import functools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import roma
import torch
from torch import Tensor

from ..body import SMPL_PARENTS
from ..device import exact
from ..errors import RefitError
from .confidence import Confidence
from .shown import open_rotations
from .subject import Subject

__all__ = ["DATA_FILE", "LikelyPoses", "LikelyPosesError", "complete", "load_likely_poses", "save_likely_poses"]

DATA_FILE = Path(__file__).parents[1] / "data" / "likely_poses.npz"
FORMAT, VERSION = "refit-likely-poses", 1
DIMENSIONS = 3 * 23
MOST_COMPONENTS = 16


@dataclass(frozen=True)
class LikelyPoseNumbers:
    """Numbers of guessed rotations; docs/confidence.md has what is guessed, and how well."""

    seen_deviation: float = float(np.radians(30))
    """How far a rotation of the network is off where the joint is seen, about each axis. Twice what it is in whole
    pictures: the trunks of cut people are leant too far, and would seem to be those of seated people."""
    least_held: float = 1e-3
    """No rotation is left so open that its observation counts for nothing: the equations stay solvable."""
    sharpness: float = 2.5
    """Power of the components' probabilities. Between standing and sitting there is no likely pose: the likelier wins."""


NUMBERS = LikelyPoseNumbers()


class LikelyPosesError(RefitError):
    """The file with likely poses is missing or damaged."""


@dataclass(frozen=True)
class Completed:
    """rotmats: [B,24,3,3]; confidence: of the completed bodies."""

    rotmats: Tensor
    confidence: Confidence


def complete(subject: Subject, betas: Tensor, rotmats: Tensor, shown: np.ndarray, confidence: Confidence) -> Completed:
    """The followed bodies with likely rotations [B,24,3,3] wherever the picture leaves them open.

    betas: [B,10]; shown: [B,24], see `shown.Shown.bones`. What is shown stays where it is. The deviations grow by what the
    likely poses differ among themselves; those that are not known stay so.
    """
    opened = open_rotations(shown)
    likely, turns = load_likely_poses().complete(exact(rotmats).numpy(), opened)
    result = torch.from_numpy(likely).to(rotmats)
    joints = exact(subject.loop_body.model.joints(betas, result)).numpy()
    mm, deg = 1000 * _swept(joints, turns), np.degrees(turns)
    grown = (torch.hypot(was, torch.from_numpy(more).to(was)) for was, more in zip(confidence, (mm, deg), strict=True))
    return Completed(result, Confidence(*grown))


def _swept(joints: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """By how many metres joints [B,24,3] are off where each joint's rotation is off by `turns` [B,24] radians.

    Two of the three axes of a turn move a point, each by its distance.
    """
    square = np.zeros(turns.shape)
    for joint in range(1, len(SMPL_PARENTS)):
        above = SMPL_PARENTS[joint]
        while above >= 0:
            square[:, joint] += 2 / 3 * turns[:, above] ** 2 * ((joints[:, joint] - joints[:, above]) ** 2).sum(axis=1)
            above = SMPL_PARENTS[above]
    return np.sqrt(square)


@dataclass(frozen=True)
class LikelyPoses:
    """A mixture: shares [K] sum to 1; means [K,D] rotation vectors, radians; covariances [K,D,D]."""

    shares: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def complete(self, rotmats: np.ndarray, open_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses [B,24,3,3] with each rotation moved to its likely value as far as it is open [B,24], 0 to 1.

        Also by how many radians [B,24] it may be off for being open, root mean square.
        """
        result, std = rotmats.copy(), np.zeros(open_.shape)
        for row in np.flatnonzero((open_[:, 1:] > 0).any(axis=1)):
            share = open_[row, 1:]
            below = torch.from_numpy(rotmats[row, 1:].astype(np.float64))
            likely, variance = self._likely(roma.rotmat_to_rotvec(below).numpy().ravel(), 1 - share)
            aim = roma.rotvec_to_rotmat(torch.from_numpy(likely.reshape(-1, 3)))
            step = torch.from_numpy(share[:, None]) * roma.rotmat_to_rotvec(below.mT @ aim)
            turned = (below @ roma.rotvec_to_rotmat(step)).numpy()
            result[row, 1:] = np.where(share[:, None, None] > 0, turned, result[row, 1:])
            std[row, 1:] = share * np.sqrt(variance.reshape(-1, 3).sum(axis=1))
        return result, std

    def _likely(self, vector: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Likely rotation vectors [D] and their variances [D], for those of the network [D], held so far [23]."""
        noise = np.repeat(NUMBERS.seen_deviation**2 / np.maximum(held, NUMBERS.least_held), 3)
        means: list[np.ndarray] = []
        variances: list[np.ndarray] = []
        logs: list[float] = []
        for share, mean, covariance in zip(self.shares, self.means, self.covariances, strict=True):
            observed = covariance + np.diag(noise)
            gain = cast("np.ndarray", np.linalg.solve(observed, covariance)).T  # NumPy says no type, here and below
            off = vector - mean
            means.append(mean + gain @ off)
            variances.append(np.diag(covariance) - np.einsum("ij,ij->i", gain, covariance))
            fit = off @ cast("np.ndarray", np.linalg.solve(observed, off))
            logs.append(float(np.log(share) - 0.5 * (fit + np.linalg.slogdet(observed)[1])))
        weight = np.exp(NUMBERS.sharpness * (np.array(logs) - max(logs)))
        weight /= weight.sum()
        likely = weight @ np.array(means)
        spread = weight @ (np.array(variances) + (np.array(means) - likely) ** 2)
        return likely, np.maximum(spread, 0)


def save_likely_poses(path: Path, poses: LikelyPoses) -> None:
    """Write a mixture: 16 bits a number, of each covariance one half."""
    rows, columns = np.tril_indices(DIMENSIONS)
    np.savez_compressed(
        path,
        format=np.array(FORMAT),
        version=np.array(VERSION),
        shares=poses.shares.astype(np.float32),
        means=poses.means.astype(np.float16),
        factors=np.linalg.cholesky(poses.covariances)[:, rows, columns].astype(np.float16),
    )


@functools.cache
def load_likely_poses(path: Path = DATA_FILE) -> LikelyPoses:
    """Read a mixture. Raises LikelyPosesError where the file is missing, damaged or of another kind."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["format"]) != FORMAT or int(data["version"]) != VERSION:
                raise ValueError("it has another format")
            shares, means, halves = (data[name].astype(np.float64) for name in ("shares", "means", "factors"))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise LikelyPosesError(f"{Path(path).name} cannot be read: {error}.") from error
    rows, columns = np.tril_indices(DIMENSIONS)
    count = len(shares) if shares.ndim == 1 else 0
    if not 0 < count <= MOST_COMPONENTS or means.shape != (count, DIMENSIONS) or halves.shape != (count, len(rows)):
        raise LikelyPosesError(f"{Path(path).name} does not hold the numbers that it should.")
    factors = np.zeros((count, DIMENSIONS, DIMENSIONS))
    factors[:, rows, columns] = halves
    sound = all(np.isfinite(values).all() for values in (shares, means, factors)) and (shares > 0).all()
    if not sound or not (np.diagonal(factors, axis1=1, axis2=2) > 0).all():
        raise LikelyPosesError(f"{Path(path).name} holds numbers that are no mixture.")
    return LikelyPoses(shares / shares.sum(), means, factors @ factors.swapaxes(1, 2))
