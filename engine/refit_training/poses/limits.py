# SPDX-License-Identifier: GPL-3.0-or-later
"""How far joints go: ranges from clinical tables, widened to what gymnasts and the motion capture data show.

A joint's rotation is split into swing * twist, twist about the bone. With the bone direction `a`, the hinge `h` and
c = a x h, the swing is a 2-vector (about h, about c). A box holds hinges and small joints; hips and shoulders also
have a reach: the largest swing from the middle of the range, for twelve directions. Everything is written for the
left side; right joints are mirrored.

Raising an arm turns it outwards by itself (in the captured poses by 0.85 degrees a degree, from about -120 of twist
overhead to 0 hanging), so the shoulders' twist is counted from there.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import roma
import torch
from torch import Tensor

from refit_training.poses.rotations import canonical, join_swing_twist, split_swing_twist
from refit_training.poses.skeleton import JOINT_COUNT, LEFT_RIGHT_SWAP

__all__ = ["clamp", "clamp_coordinates", "excess", "from_coordinates", "to_coordinates"]


@dataclass(frozen=True)
class _Range:
    """Degrees. hinge: about h; side: about c; twist: about the bone; reach: from the middle (hinge, side).

    axes: the bone and h in the rest pose, such as "-y+x"; a few degrees off the true bone, which keeps hinges pure.
    """

    axes: str
    hinge: tuple[float, float]
    side: tuple[float, float]
    twist: tuple[float, float]
    middle: tuple[float, float] = (0.0, 0.0)
    reach: tuple[float, ...] = ()


# Directions of `reach` start at +hinge and turn towards +side in steps of 30 degrees.
_RANGES = {
    # hinge + = bend back, side + = spread, twist + = knee inwards.
    1: _Range("-y+x", (-145, 60), (-50, 95), (-70, 50), (-45, 15), (97, 97, 90, 78, 82, 95, 100, 92, 75, 62, 68, 85)),
    # + = bend forwards; towards the right; to the left
    3: _Range("+y+x", (-35, 50), (-25, 25), (-15, 15)),
    6: _Range("+y+x", (-25, 35), (-20, 20), (-20, 20)),
    9: _Range("+y+x", (-25, 30), (-20, 20), (-20, 20)),
    12: _Range("+y+x", (-30, 30), (-25, 25), (-40, 40)),
    15: _Range("+y+x", (-30, 30), (-25, 25), (-40, 40)),
    # + = bend
    4: _Range("-y+x", (-5, 152), (-8, 12), (-20, 15)),
    # + = point the toes; roll the sole inwards; toes to the left (outwards)
    7: _Range("+y+x", (-35, 62), (-25, 30), (-25, 30)),
    # + = curl the toes
    10: _Range("+z+x", (-55, 35), (-10, 10), (-8, 8)),
    # + = reach forwards; down
    13: _Range("+x-y", (-20, 25), (-35, 12), (-10, 10)),
    # + = swing forwards; down; turn inwards
    16: _Range(
        "+x-y", (-75, 130), (-95, 100), (-75, 95), (30, 10), (98, 100, 92, 88, 88, 95, 95, 98, 102, 102, 100, 100)
    ),
    # + = bend; (none); half the turn of the palm
    18: _Range("+x-y", (-4, 150), (-10, 10), (-50, 55)),
    # + = bend back; towards the thumb
    20: _Range("+x+z", (-70, 70), (-35, 28), (-50, 55)),
    22: _Range("+x+z", (-25, 12), (-8, 8), (-8, 8)),
}
_DIRECTIONS = 12

_SHOULDERS = [16, 17]
_TURN_PER_RAISE, _UNTURNED_AT = 0.85, np.radians(70)


@dataclass(frozen=True)
class _Tables:
    """The ranges as tensors: frames [24,3,3] columns (a, h, c); low/high [24,3] for (hinge, side, twist); radians."""

    frames: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor
    reach: Tensor


@cache
def _tables() -> _Tables:
    frames = np.tile(np.eye(3), (JOINT_COUNT, 1, 1))
    low, high = np.full((JOINT_COUNT, 3), -np.inf), np.full((JOINT_COUNT, 3), np.inf)
    middle, reach = np.zeros((JOINT_COUNT, 2)), np.full((JOINT_COUNT, _DIRECTIONS), np.inf)
    for joint, limit in _RANGES.items():
        bone, hinge = _axis(limit.axes[:2]), _axis(limit.axes[2:])
        for index in {joint, LEFT_RIGHT_SWAP[joint]}:
            frames[index] = np.stack([bone, hinge, np.cross(bone, hinge)], axis=1)
            low[index], high[index] = np.radians(np.transpose([limit.hinge, limit.side, limit.twist]))
            middle[index] = np.radians(limit.middle)
            if limit.reach:
                reach[index] = np.radians(limit.reach)
    return _Tables(*(torch.from_numpy(array.astype(np.float32)) for array in (frames, low, high, middle, reach)))


def _axis(name: str) -> np.ndarray:
    return (1 if name[0] == "+" else -1) * np.eye(3)["xyz".index(name[1])]


# Mirroring a rotation at x = 0 negates two components of its quaternion; right joints are handled as left ones.
_MIRROR = torch.ones(JOINT_COUNT, 4)
_MIRROR[[2, 5, 8, 11, 14, 17, 19, 21, 23], 1:3] = -1


def to_coordinates(quaternions: Tensor) -> Tensor:
    """(hinge, side, twist) of every joint, right joints as if they were left ones. [n,24,4] -> [n,24,3] radians"""
    frames = _tables().frames
    mirrored = canonical(quaternions * _MIRROR)
    swing, twist = split_swing_twist(mirrored, frames[:, :, 0].expand(len(quaternions), -1, -1))
    flat = torch.einsum("njk,jka->nja", swing, frames[:, :, 1:])
    twist[:, _SHOULDERS] = _wrapped(twist[:, _SHOULDERS] - _natural_turn(flat))
    return torch.cat([flat, twist[..., None]], dim=-1)


def from_coordinates(coordinates: Tensor) -> Tensor:
    """Inverse of `to_coordinates`. [n,24,3] radians -> [n,24,4]"""
    frames = _tables().frames
    swing = torch.einsum("nja,jka->njk", coordinates[..., :2], frames[:, :, 1:])
    axes = frames[:, :, 0].expand(len(coordinates), -1, -1)
    twist = coordinates[..., 2].clone()
    twist[:, _SHOULDERS] += _natural_turn(coordinates)
    return join_swing_twist(swing, twist, axes) * _MIRROR


def _natural_turn(coordinates: Tensor) -> Tensor:
    return _TURN_PER_RAISE * (coordinates[:, _SHOULDERS, 1] - _UNTURNED_AT)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def clamp_coordinates(coordinates: Tensor) -> Tensor:
    """The nearest (hinge, side, twist) within the limits. [n,24,3] radians both"""
    tables = _tables()
    boxed = torch.minimum(torch.maximum(coordinates, tables.low), tables.high)
    reaching = torch.isfinite(tables.reach[:, 0]).nonzero()[:, 0]
    away = boxed[:, reaching, :2] - tables.middle[reaching]
    radius = away.norm(dim=-1).clamp_min(1e-6)
    turn = torch.remainder(torch.atan2(away[..., 1], away[..., 0]), 2 * torch.pi) * (_DIRECTIONS / (2 * torch.pi))
    below = turn.floor().long() % _DIRECTIONS
    share = turn - turn.floor()
    rows = torch.arange(len(reaching)).expand_as(below)
    table = tables.reach[reaching]
    limit = table[rows, below] * (1 - share) + table[rows, (below + 1) % _DIRECTIONS] * share
    shrink = (limit / radius).clamp_max(1.0)[..., None]
    boxed[:, reaching, :2] = tables.middle[reaching] + away * shrink
    return boxed


def clamp(rotmats: np.ndarray) -> np.ndarray:
    """The nearest pose (joint by joint) within anatomical limits; the root is free. [n,24,3,3] -> [n,24,3,3] float32"""
    given = torch.from_numpy(np.asarray(rotmats, np.float32))
    clamped = roma.unitquat_to_rotmat(
        from_coordinates(clamp_coordinates(to_coordinates(roma.rotmat_to_unitquat(given))))
    )
    clamped[:, 0] = given[:, 0]
    return clamped.numpy()


def excess(rotmats: np.ndarray) -> np.ndarray:
    """By what angle each joint is outside its limits. [n,24,3,3] -> [n,24] radians"""
    given = torch.from_numpy(np.asarray(rotmats, np.float32))
    return roma.rotmat_geodesic_distance(given, torch.from_numpy(clamp(rotmats))).numpy()
