# SPDX-License-Identifier: GPL-3.0-or-later
"""Many poses from some: limbs of different poses combined, mirrored, interpolated, perturbed and turned in space."""

import numpy as np
import roma
import torch
from torch import Tensor

from refit_training.poses import limits
from refit_training.poses.collision import penetration
from refit_training.poses.procedural import draw_templates
from refit_training.poses.retarget import share_arm_elevation
from refit_training.poses.skeleton import JOINT_COUNT, LEFT_RIGHT_SWAP

__all__ = ["enlarge"]

_CONSTRUCTED = 0.5  # share of poses from templates; the others start from motion capture
_INTERPOLATED = 0.12
_LIMB_MIX = {  # parts that are taken from another pose, and how often
    (13, 14, 16, 17, 18, 19, 20, 21, 22, 23): 0.25,
    (13, 16, 18, 20, 22): 0.08,
    (14, 17, 19, 21, 23): 0.08,
    (1, 2, 4, 5, 7, 8, 10, 11): 0.06,
    (1, 4, 7, 10): 0.06,
    (2, 5, 8, 11): 0.06,
    (3, 6, 9): 0.12,
    (12, 15): 0.25,
}
_ANY_TILT, _OTHER_TILT = 0.05, 0.10
_DEEPEST = 0.035  # metres of overlap that soft tissue takes

# Standard deviation in degrees of (hinge, side, twist), before a scale drawn for each pose.
_NOISE = {
    1: (7, 5, 6), 3: (4, 3, 3), 4: (8, 1, 2), 6: (3, 3, 3), 7: (7, 4, 4), 9: (3, 3, 3), 10: (7, 1, 1), 12: (5, 4, 6),
    13: (2, 2, 1), 15: (5, 4, 6), 16: (9, 9, 10), 18: (9, 1, 8), 20: (9, 5, 7), 22: (5, 1, 1),
}  # fmt: skip


def _noise_table() -> Tensor:
    table = np.zeros((JOINT_COUNT, 3), np.float32)
    for joint, deviation in _NOISE.items():
        table[joint] = table[LEFT_RIGHT_SWAP[joint]] = np.radians(deviation)
    return torch.from_numpy(table)


_DEVIATION = _noise_table()


def enlarge(quaternions: np.ndarray, weights: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Poses that vary more than the given ones.

    quaternions: [N,24,4] (x, y, z, w), joint 0 in a world with Y up; weights [N] sum to 1.
    Returns [count,24,3,3] float32, joint 0 in a world with Y up, heading uniform.
    """
    captured = torch.from_numpy(quaternions)
    kept: list[np.ndarray] = []
    missing = count
    while missing > 0:
        drawn = _propose(captured, weights, rng, int(missing * 1.2) + 8)
        good = drawn[penetration(drawn) < _DEEPEST][:missing]
        kept.append(good)
        missing -= len(good)
    return np.concatenate(kept)


def _propose(captured: Tensor, weights: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    pool = _pool(captured, weights, rng, 2 * count)
    first, second = pool[:count], pool[count:]

    poses = first.clone()
    for joints, share in _LIMB_MIX.items():
        rows = torch.from_numpy(rng.permutation(count)[: rng.binomial(count, share)])
        poses[rows[:, None], torch.tensor(joints)] = second[rows[:, None], torch.tensor(joints)]

    rows = torch.from_numpy(np.flatnonzero(rng.random(count) < _INTERPOLATED))
    share = torch.from_numpy(rng.uniform(0.1, 0.9, len(rows)).astype(np.float32))
    poses[rows] = _slerp(poses[rows], second[rows], share)

    coordinates = limits.to_coordinates(poses)
    scale = rng.gamma(2.0, 0.5, (count, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(coordinates.shape, dtype=np.float32)
    body = limits.from_coordinates(limits.clamp_coordinates(coordinates + torch.from_numpy(noise * scale) * _DEVIATION))
    body[:, 0] = _turned(poses[:, 0], rng)
    return roma.unitquat_to_rotmat(body).numpy()


def _pool(captured: Tensor, weights: np.ndarray, rng: np.random.Generator, count: int) -> Tensor:
    """Captured and constructed poses in random order, half of them mirrored. [count,24,4]"""
    constructed = int(rng.binomial(count, _CONSTRUCTED))
    picked = captured[torch.from_numpy(rng.choice(len(captured), count - constructed, p=weights))]
    built = roma.unitquat_to_rotmat(draw_templates(rng, constructed)).numpy()
    built = roma.rotmat_to_unitquat(torch.from_numpy(share_arm_elevation(built)))
    pool = torch.cat([picked, built])[torch.from_numpy(rng.permutation(count))]
    mirrored = torch.from_numpy(rng.random(count) < 0.5)
    flipped = pool[mirrored][:, LEFT_RIGHT_SWAP] * torch.tensor([1.0, -1.0, -1.0, 1.0])
    pool[mirrored] = flipped
    return pool


def _slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Interpolate each row by its own share. [n,24,4],[n,24,4],[n] -> [n,24,4]"""
    between = roma.quat_product(roma.quat_conjugation(start), end)
    step = roma.unitquat_to_rotvec(between) * share[:, None, None]
    return roma.quat_product(start, roma.rotvec_to_unitquat(step))


def _turned(roots: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary the tilt of the pelvis and make its heading uniform. [n,4] -> [n,4]"""
    count = len(roots)
    tilt = rng.normal(0, np.radians(6), count)
    kind = rng.random(count)
    tilt = np.where(kind < _OTHER_TILT, rng.normal(0, np.radians(40), count), tilt)
    direction = rng.uniform(0, 2 * np.pi, count)
    axis = np.stack([np.cos(direction), np.zeros(count), np.sin(direction)], axis=1)
    lean = roma.rotvec_to_unitquat(torch.from_numpy((axis * tilt[:, None]).astype(np.float32)))
    heading = torch.zeros(count, 4)
    half = torch.from_numpy(rng.uniform(-np.pi / 2, np.pi / 2, count).astype(np.float32))
    heading[:, 1], heading[:, 3] = torch.sin(half), torch.cos(half)
    turned = roma.quat_composition([heading, lean, roots])
    anyhow = torch.from_numpy(kind > 1 - _ANY_TILT)
    free = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((count, 4), dtype=np.float32)), dim=-1)
    return torch.where(anyhow[:, None], free, turned)
