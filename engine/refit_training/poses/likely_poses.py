# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the mixture of everyday poses by which joints are guessed that a picture does not show.

    python -m refit_training.poses.likely_poses --poses poses.npz [--out engine/refit_engine/data/likely_poses.npz]

Of captured and constructed poses, those of people who stand or sit upright with lowered arms weigh most: the library was
made to hold everything that a body can do, and a guess should be what people mostly do.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.fitting.likely_pose import DATA_FILE, DIMENSIONS, LikelyPoses, save_likely_poses

from refit_training.poses.library import PoseLibrary
from refit_training.poses.skeleton import LEFT_RIGHT_SWAP, forward_kinematics

__all__ = ["EVERYDAY", "Everyday", "everyday_weights", "fit_mixture"]

_JOINT = SMPL_JOINT_NAMES.index
_FOUND_FIRST = 20
_MIRROR = np.diag([-1.0, 1, 1])


@dataclass(frozen=True)
class Everyday:
    """What counts as everyday: degrees and metres up to which nothing is strange, and the deviation beyond.

    seated: share of people who sit. arms: least weight of an arm that is held in another way.
    Chosen by looking at the guesses for cut photos, so that legs below a standing trunk are straight.
    """

    lean: tuple[float, float] = (15, 12)
    thigh_standing: tuple[float, float] = (6, 9)
    shin_standing: tuple[float, float] = (8, 10)
    thigh_seated: tuple[float, float] = (10, 10)
    thigh_level: float = 82
    shin_seated: tuple[float, float] = (20, 15)
    hand_above_shoulder: tuple[float, float] = (-0.42, 0.1)
    elbow_above_shoulder: tuple[float, float] = (-0.18, 0.05)
    arms: float = 0.02
    seated: float = 0.1


EVERYDAY = Everyday()


def everyday_weights(rotmats: np.ndarray, usual: Everyday = EVERYDAY) -> np.ndarray:
    """Weights [N] of poses [N,24,3,3] (joint 0 in a world with Y up) that sum to 1."""
    joints = forward_kinematics(rotmats.astype(np.float64))

    def from_down(start: str, end: str) -> np.ndarray:
        return np.stack([_from_down(joints[:, _sided(end, s)] - joints[:, _sided(start, s)]) for s in _SIDES], axis=1)

    def above_shoulder(part: str) -> np.ndarray:
        return np.stack([joints[:, _sided(part, s), 1] - joints[:, _sided("shoulder", s), 1] for s in _SIDES], axis=1)

    lean = 180 - _from_down(joints[:, _JOINT("neck")] - joints[:, _JOINT("pelvis")])
    thigh, shin = from_down("hip", "knee"), from_down("knee", "ankle")
    hands = _usual(above_shoulder("wrist"), usual.hand_above_shoulder)
    arms = np.maximum(hands * _usual(above_shoulder("elbow"), usual.elbow_above_shoulder), usual.arms)
    upright = _usual(lean, usual.lean) * arms.prod(axis=1)
    standing = (_usual(thigh, usual.thigh_standing) * _usual(shin, usual.shin_standing)).prod(axis=1)
    level = np.abs(thigh - usual.thigh_level)
    seated = (_usual(level, usual.thigh_seated) * _usual(shin, usual.shin_seated)).prod(axis=1)
    standing, seated = upright * standing, upright * seated
    return (1 - usual.seated) * standing / standing.sum() + usual.seated * seated / seated.sum()


_SIDES = ("left", "right")


def _sided(part: str, side: str) -> int:
    return _JOINT(f"{side}_{part}")


def _from_down(directions: np.ndarray) -> np.ndarray:
    """Degrees between directions [N,3] and straight down: [N]."""
    length = np.linalg.norm(directions, axis=1)
    return np.degrees(np.arccos(np.clip(-directions[:, 1] / np.maximum(length, 1e-9), -1, 1)))


def _usual(values: np.ndarray, limit: tuple[float, float]) -> np.ndarray:
    start, deviation = limit
    return np.exp(-0.5 * (np.maximum(values - start, 0) / deviation) ** 2)


def fit_mixture(
    rotmats: np.ndarray, weights: np.ndarray, components: int, rounds: int = 40, floor: float = np.radians(4)
) -> LikelyPoses:
    """A mixture of Gaussians over poses [N,24,3,3] and their mirror images, by expectation and maximisation.

    floor: radians added to every deviation, so that few poses do not make a flat Gaussian.
    """
    both = np.concatenate([rotmats, _MIRROR @ rotmats[:, LEFT_RIGHT_SWAP] @ _MIRROR])
    weights = np.tile(weights / weights.sum() / 2, 2)
    vectors = roma.rotmat_to_rotvec(torch.from_numpy(both[:, 1:].astype(np.float64))).numpy().reshape(-1, DIMENSIONS)
    belongs = np.eye(components)[_clusters(vectors, weights, components)]
    shares, means = np.zeros(components), np.zeros((components, DIMENSIONS))
    covariances, logs = np.empty((components, DIMENSIONS, DIMENSIONS)), np.empty(belongs.shape)
    for _ in range(rounds):
        share = belongs * weights[:, None]
        shares = share.sum(axis=0)
        means = (share.T @ vectors) / shares[:, None]
        for k in range(components):
            off = vectors - means[k]
            covariances[k] = (share[:, k, None] * off).T @ off / shares[k] + floor**2 * np.eye(DIMENSIONS)
            factor = np.linalg.cholesky(covariances[k])
            distance = (np.linalg.solve(factor, off.T) ** 2).sum(axis=0)
            logs[:, k] = np.log(shares[k]) - 0.5 * distance - np.log(np.diag(factor)).sum()
        belongs = np.exp(logs - logs.max(axis=1, keepdims=True))
        belongs /= belongs.sum(axis=1, keepdims=True)
    return LikelyPoses(shares, means, covariances)


def _clusters(vectors: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` clusters each vector belongs to, by k-means."""
    centres = vectors[np.random.default_rng(0).choice(len(vectors), count, p=weights)]
    nearest = np.zeros(len(vectors), int)
    for _ in range(_FOUND_FIRST):
        nearest = np.stack([((vectors - centre) ** 2).sum(axis=1) for centre in centres]).argmin(axis=0)
        for k in np.unique(nearest):
            centres[k] = np.average(vectors[nearest == k], axis=0, weights=weights[nearest == k])
    return nearest


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, default=DATA_FILE, help="default: beside the bundled weights")
    parser.add_argument("--samples", type=int, default=40_000, help="poses drawn beside the captured ones")
    parser.add_argument("--components", type=int, default=2)
    options = parser.parse_args(arguments)
    library = PoseLibrary.load(options.poses).part(held_out=False)
    poses = np.concatenate([library.rotmats(), library.sample(np.random.default_rng(0), options.samples)])
    weights = everyday_weights(poses)
    usual = weights > weights.max() * 1e-4
    found = fit_mixture(poses[usual], weights[usual], options.components)
    save_likely_poses(options.out, found)
    bends = np.degrees(np.linalg.norm(found.means.reshape(-1, 23, 3), axis=2)).round()
    for share, bend in zip(found.shares, bends, strict=True):
        named = {name: bend[_JOINT(name) - 1] for name in ("left_hip", "left_knee", "left_shoulder", "left_elbow")}
        print(json.dumps({"share": round(float(share), 2), "poses": int(usual.sum()), "degrees": named}))


if __name__ == "__main__":
    main()
