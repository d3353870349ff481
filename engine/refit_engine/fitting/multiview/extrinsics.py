# SPDX-License-Identifier: GPL-3.0-or-later
"""Extrinsics correction: cameras that a small turn brings into line with the others.

A tripod that was pushed by three degrees still shows the pose; only its word on the place is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import roma
import torch
from torch import Tensor

from ...robust import robust_weight
from .rays import NUMBERS as CONSENSUS
from .rays import Consensus, Rays, find_consensus, row_distance
from .rows import ObservedPoints, Rows


@dataclass(frozen=True)
class ExtrinsicsNumbers:
    """When a camera is turned: rules that were set by hand. docs/multi-view-accuracy.md measures views turned by 3°."""

    doubtful: float = 0.5
    """Weight below which a view's camera is suspected to be turned."""
    turn_limit: float = math.radians(8)
    """A camera that is turned by more is no matter of calibration."""
    turn_gain: float = 0.6
    """Share of the distance that may be left when a camera's rotation is corrected."""


NUMBERS = ExtrinsicsNumbers()


def correct_extrinsics(rows: Rows, seen: ObservedPoints) -> tuple[Rows, Tensor]:
    """The rows with corrected cameras where a small turn contradicts the others, and the angles [B], radians."""
    rotation = rows.rotation.clone()
    rays = rows.rays(seen)
    for own in rows.of_each_person():
        theirs = rays.select(own)
        rotation[own] = rotation[own] @ extrinsic_corrections(theirs, find_consensus(theirs)).mT
    angle = roma.rotmat_geodesic_distance(rotation, rows.rotation)
    translation = -(rotation @ rays.origin[..., None])[..., 0]
    return replace(rows, rotation=rotation, translation=translation), angle


def extrinsic_corrections(rays: Rays, consensus: Consensus) -> Tensor:
    """Turns [B,3,3] about their own places for cameras that see the right person in the wrong direction.

    Cameras that need no turn, and those that no small turn brings into line, keep theirs: identity.
    """
    turns = torch.eye(3, dtype=torch.float64).repeat(len(rays.origin), 1, 1)
    if len(turns) < 3:
        return turns
    target = consensus.points - rays.origin[:, None]
    length = cast("Tensor", target.norm(dim=-1, keepdim=True))  # PyTorch says no type
    target = target / length

    def aligned(trust: Tensor) -> tuple[Tensor, Tensor]:
        turn = roma.special_procrustes(torch.einsum("bk,bki,bkj->bij", trust, target, rays.direction))
        return turn, rays._replace(direction=rays.direction @ turn.mT).beside(consensus.points)

    turn, beside = aligned(rays.confidence)
    for _ in range(CONSENSUS.rounds - 1):
        turn, beside = aligned(rays.confidence * robust_weight(beside, CONSENSUS.point_scale))
    left = row_distance(beside, rays.confidence)
    prior = rays.confidence.mean(-1) / rays.confidence.mean(-1).max()
    helps = (
        (consensus.weight < NUMBERS.doubtful * prior)
        & (left < NUMBERS.turn_gain * consensus.distance)
        & (left < CONSENSUS.row_scale)
    )
    small = roma.rotmat_geodesic_distance(turn, turns) < NUMBERS.turn_limit
    return torch.where((helps & small)[:, None, None], turn, turns)
