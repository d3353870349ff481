# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinct poses from motion capture, kept in a small file, and the endless stream of poses made from them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from scipy.spatial import cKDTree

from refit_training.poses import limits
from refit_training.poses.enlarge import enlarge
from refit_training.poses.retarget import retarget
from refit_training.poses.rotations import canonical
from refit_training.poses.skeleton import forward_kinematics
from refit_training.poses.sources import read_sources

__all__ = ["PoseLibrary"]

log = logging.getLogger(__name__)

_FORMAT, _VERSION = "refit-poses", 2
_KEPT_RATE = 30.0  # frames a second looked at; neighbours at the capture rate are the same pose
_DISTINCT = 14_000
_SAME_POSE = 0.035  # metres, root mean square over joints: closer poses are one
# Hands and feet are captured with few markers: a wild one is put back to rest, a wild trunk or limb drops the frame.
_EXTREMITIES = (7, 8, 10, 11, 20, 21)
_WILD = np.radians(20)


@dataclass(frozen=True)
class PoseLibrary:
    """Poses [N,24,4] unit quaternions (x, y, z, w), joint 0 in a world with Y up; weights [N] sum to 1.

    clips: [N] number of the clip that each comes from.
    """

    quaternions: np.ndarray
    weights: np.ndarray
    clips: np.ndarray

    @classmethod
    def build(cls, mocap_dir: Path) -> "PoseLibrary":
        """Retarget every clip under a folder and keep the poses that differ from each other.

        Takes a few minutes. Raises FileNotFoundError where the folder holds no motion that can be read.
        """
        clips: list[np.ndarray] = []
        for motion in read_sources(Path(mocap_dir)):
            step = max(1, round(motion.frame_rate / _KEPT_RATE))
            clips.append(_cleaned(retarget(motion.every(step))))
            log.info("%s: %d poses", motion.name, len(clips[-1]))
        if not clips:
            raise FileNotFoundError(
                f"No motion capture (cmu_expmap.npz, *.amc.xz, *.bvh, more_clips.npz) under {mocap_dir}."
            )
        poses = np.concatenate(clips)
        origin = np.repeat(np.arange(len(clips)), [len(clip) for clip in clips])
        shapes = _shapes(poses)
        chosen = _farthest_points(shapes, _DISTINCT, _SAME_POSE)
        log.info("%d distinct poses of %d", len(chosen), len(poses))
        quaternions = canonical(roma.rotmat_to_unitquat(torch.from_numpy(poses[chosen]))).numpy()
        return cls(quaternions, _rarity(shapes[chosen]), origin[chosen])

    @classmethod
    def load(cls, path: Path) -> "PoseLibrary":
        """Read a file that `save` wrote. Raises ValueError for any other npz."""
        with np.load(path) as archive:
            if str(archive.get("format")) != _FORMAT or int(archive["version"]) != _VERSION:
                raise ValueError(f"{path} is not a pose library of this version.")
            packed = torch.from_numpy(archive["quaternions"].astype(np.float32))
            weights = archive["weights"].astype(np.float64)
            clips = archive["clips"]
        return cls(torch.nn.functional.normalize(packed, dim=-1).numpy(), weights / weights.sum(), clips)

    def part(self, held_out: bool) -> "PoseLibrary":
        """The poses of the clips kept for testing, every sixth, or of the others."""
        rows = (self.clips % 6 == 5) == held_out
        weights = self.weights[rows]
        return PoseLibrary(self.quaternions[rows], weights / weights.sum(), self.clips[rows])

    def save(self, path: Path) -> None:
        """Write the library: 16 bits a number, a few megabytes."""
        packed = np.rint(self.quaternions * 32767).astype(np.int16)
        np.savez_compressed(
            path,
            format=_FORMAT,
            version=_VERSION,
            quaternions=packed,
            weights=self.weights.astype(np.float32),
            clips=self.clips.astype(np.int16),
        )

    def __len__(self) -> int:
        return len(self.quaternions)

    def rotmats(self) -> np.ndarray:
        """The captured poses themselves. [N,24,3,3] float32"""
        return roma.unitquat_to_rotmat(torch.from_numpy(self.quaternions)).numpy()

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw poses: captured and constructed ones, mixed, mirrored, made noisy, within limits, not through the body.

        Returns [n,24,3,3] float32; joint 0 (global_orient) is in a world with Y up, its heading uniform.
        """
        return enlarge(self.quaternions, self.weights, rng, n)


def _cleaned(poses: np.ndarray) -> np.ndarray:
    """Drop frames with impossible joints, clamp the rest. [T,24,3,3] -> [<=T,24,3,3]"""
    wild = limits.excess(poses) > _WILD
    for joint in _EXTREMITIES:
        poses[wild[:, joint], joint] = np.eye(3)
    wild[:, _EXTREMITIES] = False
    return limits.clamp(poses[~wild.any(1)])


def _shapes(poses: np.ndarray) -> np.ndarray:
    """What makes poses look different: joints around an upright pelvis, plus its tilt.

    poses: [n,24,3,3]. Returns [n,D], scaled so that distances are metres, root mean square over joints.
    """
    body = poses.copy()
    body[:, 0] = np.eye(3)
    joints = forward_kinematics(body)[:, [4, 5, 7, 8, 10, 11, 9, 15, 16, 17, 18, 19, 20, 21, 22, 23]]
    # A tilt counts like moving every joint by its sine at 0.3 m from the pelvis.
    tilt = 0.3 * np.sqrt(joints.shape[1]) * poses[:, 0, 1, :]
    flat = np.concatenate([joints.reshape(len(poses), -1), tilt], axis=1)
    return (flat / np.sqrt(joints.shape[1])).astype(np.float32)


def _farthest_points(points: np.ndarray, count: int, closest: float) -> np.ndarray:
    """Indices of points picked one by one, each the farthest from those before; stops at `count` or at `closest`."""
    squares = np.einsum("nd,nd->n", points, points)
    distance = np.full(len(points), np.inf, np.float32)
    chosen = [0]
    while len(chosen) < count:
        latest = chosen[-1]
        np.minimum(distance, squares + squares[latest] - 2 * points @ points[latest], out=distance)
        farthest = int(distance.argmax())
        if distance[farthest] < closest**2:
            break
        chosen.append(farthest)
    return np.array(chosen)


def _rarity(points: np.ndarray, neighbours: int = 8) -> np.ndarray:
    """Weights that favour poses with few others around them, at most four times the median."""
    if len(points) <= neighbours:
        return np.full(len(points), 1 / len(points))
    distances = np.asarray(cKDTree(points).query(points, neighbours + 1)[0])
    spread = distances[:, 1:].mean(1) ** 2
    weights = np.minimum(spread, 4 * np.median(spread))
    return weights / weights.sum()
