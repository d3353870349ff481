# SPDX-License-Identifier: GPL-3.0-or-later
"""People whom calibrated cameras see far smaller or larger than grown-ups go through the loop in a rig of another size.

The network knows grown-ups: the body that it is shown in every update must be one. Sight rays and pictures are the same
in a rig that is scaled about the world's origin, so the loop works there, and the body is scaled back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ...body.points import LANDMARK_NAMES
from ...device import exact
from ...network.refit import PosePoints
from .rays import find_consensus
from .rows import ObservedPoints, Rows, SharedBodies


@dataclass(frozen=True)
class SizeNumbers:
    """Sizes that the loop is shown as they are, in the mean body's: those of grown-ups."""

    smallest: float = 0.9
    largest: float = 1.15


NUMBERS = SizeNumbers()
_BONES = tuple(
    (LANDMARK_NAMES.index(f"{side}_{first}"), LANDMARK_NAMES.index(f"{side}_{second}"))
    for first, second in (
        ("shoulder", "hip"),
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    )
    for side in ("left", "right")
)


def loop_scale(rows: Rows, seen: ObservedPoints, points: PosePoints, like: Tensor) -> Tensor:
    """By what [P] each person's rig is to be divided for the loop: 1 for grown-ups.

    points: poses the body's 33 landmarks, which `seen` has; like: a tensor of the kind that `points` takes.
    """
    straight = torch.eye(3).expand(1, 24, 3, 3).to(like)
    usual = _lengths(exact(points(like.new_zeros(1, 10), straight))[0])
    rays = rows.rays(seen)
    sizes = [(_lengths(find_consensus(rays.select(own)).points) / usual).median() for own in rows.of_each_person()]
    size = torch.stack(sizes)
    return size / size.clamp(NUMBERS.smallest, NUMBERS.largest)


def shrunk(rows: Rows, scale: Tensor) -> Rows:
    """The rows of people whose rigs are divided by `scale` [P]."""
    return replace(rows, translation=rows.translation / scale[rows.person, None])


def growth(v_template: np.ndarray, shapedirs: np.ndarray) -> Tensor:
    """The betas [10] that make a body [V,3] with shapes [V,3,10] twice as large, as nearly as betas can."""
    places = np.tile(np.eye(3), (len(v_template), 1))
    columns = np.column_stack([shapedirs.reshape(-1, shapedirs.shape[2]), places]).astype(np.float64)
    solution = np.linalg.lstsq(columns, v_template.reshape(-1).astype(np.float64), rcond=None)[0]
    return torch.from_numpy(solution[:-3])


def grown_back(
    bodies: SharedBodies, scale: Tensor, grow: Tensor, rest_pelvis: Callable[[Tensor], Tensor]
) -> SharedBodies:
    """Bodies [P] of a divided rig in the true one; grow: [10] the body's `growth`."""
    scale = scale[:, None]
    betas = scale * bodies.betas + (scale - 1) * grow
    place = scale * (exact(rest_pelvis(bodies.betas)) + bodies.transl)
    return SharedBodies(betas, bodies.rotmats, place - exact(rest_pelvis(betas)))


def _lengths(landmarks: Tensor) -> Tensor:
    """The lengths of limbs and trunk between landmarks [33,3]."""
    first, second = zip(*_BONES, strict=True)
    return cast("Tensor", (landmarks[list(first)] - landmarks[list(second)]).norm(dim=-1))  # PyTorch says no type
