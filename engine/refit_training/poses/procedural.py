# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing poses from the boxes of `templates`."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import roma
import torch
from torch import Tensor

from refit_training.poses.skeleton import JOINT_COUNT
from refit_training.poses.templates import ARMS, BODIES, DEFAULTS, MIDLINE, SIDED

__all__ = ["draw_templates"]

_ARM_ANGLES = ("arm_raise", "arm_plane", "arm_in", "elbow", "palm", "wrist")
_LEG_COUNT = len(SIDED) - len(_ARM_ANGLES)

# How a bend of the whole spine or neck is shared by its joints (spine1, spine2, spine3; neck, head).
_SPINE_SHARE = {"flex": (0.42, 0.32, 0.26), "lean": (0.36, 0.32, 0.32), "turn": (0.2, 0.4, 0.4)}


@dataclass(frozen=True)
class _Boxes:
    """Templates as arrays: low and high ends of every angle."""

    legs: np.ndarray  # [B,2 sides,6,2]
    midline: np.ndarray  # [B,8,2]
    arms: np.ndarray  # [A,6,2]
    body_weights: np.ndarray  # [B]
    arm_weights: np.ndarray  # [B,A]: which arms go with which body


@cache
def _boxes() -> _Boxes:
    def rows(names: tuple[str, ...], *overrides: dict) -> list:
        merged = dict(DEFAULTS)
        for override in overrides:
            merged.update(override)
        return [merged[name] for name in names]

    legs = [[rows(SIDED[:_LEG_COUNT], body.both, side) for side in (body.lead, body.trail)] for body in BODIES.values()]
    arm_weights = np.zeros((len(BODIES), len(ARMS)))
    names = list(ARMS)
    for row, body in enumerate(BODIES.values()):
        if body.arms:
            for name in body.arms:
                arm_weights[row, names.index(name)] += 1
        else:
            arm_weights[row] = [arms.weight for arms in ARMS.values()]
    return _Boxes(
        np.array(legs, float),
        np.array([rows(MIDLINE, body.both) for body in BODIES.values()], float),
        np.array([rows(_ARM_ANGLES, arms.angles) for arms in ARMS.values()], float),
        np.array([body.weight for body in BODIES.values()]) / sum(body.weight for body in BODIES.values()),
        arm_weights / arm_weights.sum(1, keepdims=True),
    )


def draw_templates(rng: np.random.Generator, count: int) -> Tensor:
    """Poses from the templates, the leading side always left; mirror half of them.

    Sides that share a box move together to a random degree. Joint 0 stands in a frame with Y up, facing +Z.
    Returns quaternions [count,24,4] (x, y, z, w), not yet within joint limits.
    """
    boxes = _boxes()
    kinds = rng.choice(len(boxes.body_weights), count, p=boxes.body_weights)
    together = rng.random((count, 1, 1))
    legs = _between(boxes.legs[kinds], _pair(rng, count, _LEG_COUNT, together))
    midline = _between(boxes.midline[kinds], rng.random((count, len(MIDLINE))))

    cumulative = boxes.arm_weights[kinds].cumsum(1)
    picks = (rng.random((count, 2, 1)) > cumulative[:, None]).sum(2).clip(max=len(ARMS) - 1)
    picks[:, 1] = np.where(rng.random(count) < 0.55, picks[:, 0], picks[:, 1])
    arms = _between(boxes.arms[picks], _pair(rng, count, len(_ARM_ANGLES), together))
    return pose_from_angles(np.concatenate([legs, arms], axis=2), midline)


def pose_from_angles(sided: np.ndarray, midline: np.ndarray) -> Tensor:
    """Quaternions of anatomical angles.

    sided: [n,2,12] degrees, left then right, in the order of `templates.SIDED`; midline: [n,8] degrees, in the order of
    `templates.MIDLINE`. Returns [n,24,4] (x, y, z, w).
    """
    count = len(sided)
    angles = dict(zip(SIDED, torch.from_numpy(np.radians(sided).astype(np.float32)).unbind(-1), strict=True))
    line = dict(zip(MIDLINE, torch.from_numpy(np.radians(midline).astype(np.float32)).unbind(-1), strict=True))
    # Both sides are built as left ones [n,2], then the right one is mirrored.
    zero = torch.zeros(count, 2)
    palm = angles["palm"] / 2
    raised = angles["arm_raise"]
    # Raising the arm sideways above the shoulder turns it out by itself, or the arm bone would meet the blade.
    turn = (
        angles["arm_in"]
        - (raised - torch.pi / 3).clamp_min(0) * (1 - angles["arm_plane"] / (torch.pi / 2)).clamp(0, 1.5) * 0.67
    )
    aside = (_y(-angles["arm_plane"]), _z(raised), _y(angles["arm_plane"]), _z(zero - torch.pi / 2))
    limbs = {
        1: _chain(_x(-angles["hip_flex"]), _z(angles["hip_spread"]), _y(angles["hip_out"])),
        4: _x(angles["knee"]),
        7: _x(angles["point"]),
        10: _x(angles["curl"]),
        16: _chain(*aside, _x(turn)),
        18: _chain(_y(-angles["elbow"]), _x(palm)),
        20: _chain(_x(palm), _z(angles["wrist"])),
    }
    quaternions = torch.zeros(count, JOINT_COUNT, 4)
    quaternions[..., 3] = 1
    flip = torch.tensor([1.0, -1.0, -1.0, 1.0])
    for joint, pair in limbs.items():
        quaternions[:, joint] = pair[:, 0]
        quaternions[:, joint + 1] = pair[:, 1] * flip
    for index, joint in enumerate((3, 6, 9)):
        share = {key: shares[index] for key, shares in _SPINE_SHARE.items()}
        quaternions[:, joint] = _trunk(
            line["spine_flex"] * share["flex"], line["spine_lean"] * share["lean"], line["spine_turn"] * share["turn"]
        )
    for joint in (12, 15):
        quaternions[:, joint] = _trunk(line["neck_flex"] / 2, line["neck_lean"] / 2, line["neck_turn"] / 2)
    quaternions[:, 0] = _chain(_x(line["pitch"]), _z(line["roll"]))
    return quaternions


def _between(boxes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return boxes[..., 0] + (boxes[..., 1] - boxes[..., 0]) * shares


def _pair(rng: np.random.Generator, count: int, angles: int, together: np.ndarray) -> np.ndarray:
    """Uniform shares [count,2,angles] for two sides that agree where `together` is 1."""
    shares = rng.random((count, 2, angles))
    shares[:, 1:] = together * shares[:, :1] + (1 - together) * shares[:, 1:]
    return shares


def _trunk(flex: Tensor, lean: Tensor, turn: Tensor) -> Tensor:
    return _chain(_x(flex), _z(-lean), _y(turn))


def _chain(*quaternions: Tensor) -> Tensor:
    return roma.quat_composition(list(quaternions))


def _about(axis: int, angle: Tensor) -> Tensor:
    result = torch.zeros(*angle.shape, 4)
    result[..., axis] = torch.sin(angle / 2)
    result[..., 3] = torch.cos(angle / 2)
    return result


def _x(angle: Tensor) -> Tensor:
    return _about(0, angle)


def _y(angle: Tensor) -> Tensor:
    return _about(1, angle)


def _z(angle: Tensor) -> Tensor:
    return _about(2, angle)
