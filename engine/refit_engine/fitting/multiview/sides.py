# SPDX-License-Identifier: GPL-3.0-or-later
"""Left and right: views that take one side of a person for the other, against what the other views see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ...robust import robust_cost
from .rays import NUMBERS as CONSENSUS
from .rays import Consensus, Rays, find_consensus, row_distance
from .rows import ObservedPoints, Rows


@dataclass(frozen=True)
class SideNumbers:
    """When left and right are exchanged. Made with one of the scenes of docs/multi-view-accuracy.md in sight, where a
    view from behind has them exchanged from head to foot.
    """

    swap_gain: float = 0.6
    swap_least: float = 0.04
    """Share of a part's distance that may be left when left and right are exchanged in a view, and metres to be
    gained."""
    mirror_gain: float = 0.7
    """Share of everybody's cost that may be left when a whole view is mirrored."""
    unheard: float = 0.1
    """Weight below which a view, turned or of somebody else, has no say in whether another one is mirrored."""
    suspects: int = 4
    """So many views, those that count least, are tried with left and right exchanged."""


NUMBERS = SideNumbers()


def side_order(rows: Rows, seen: ObservedPoints, parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
    """Which of the points [B,K] seen by a row is which, left and right exchanged where it contradicts the others."""
    rays = rows.rays(seen)
    order = torch.arange(seen.pixels.shape[1]).repeat(len(seen.pixels), 1)
    for own in rows.of_each_person():
        for (left, right), swapped in zip(parts, find_swapped(rays.select(own), parts).mT, strict=True):
            for row in cast("list[int]", own[swapped].tolist()):
                order[row, [*left, *right]] = torch.tensor([*right, *left])
    return order


def find_swapped(rays: Rays, parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
    """Where a view of one person takes left for right, against what the others see: [B,len(parts)].

    Seen from behind, a landmark network may well exchange the legs, or everything. Where other views see the person
    from the side, one such view can win the rest over: so the views that fit worst are also tried with all parts
    exchanged.

    parts: the points of the left and of the right side of each part of the body, in the same order.
    """
    views = len(rays.origin)
    if views < 3:
        return torch.zeros(views, len(parts), dtype=torch.bool)
    order = torch.arange(rays.direction.shape[1])
    for left, right in parts:
        order[[*left, *right]] = torch.tensor([*right, *left])
    straight = consensus = find_consensus(rays)
    least, crossed = NUMBERS.mirror_gain, rays.points(order)
    for row in cast("list[int]", straight.weight.argsort()[: NUMBERS.suspects].tolist()):
        mixed = _exchanged(rays, crossed, torch.arange(views) == row)
        trial = find_consensus(mixed)
        # A view that agrees with nobody either way, turned or of somebody else, has no say.
        heard = straight.weight.maximum(trial.weight) > NUMBERS.unheard
        share = float(_cost(trial, mixed)[heard].sum() / _cost(straight, rays)[heard].sum().clamp(min=1e-9))
        if share < least:
            least, consensus = share, trial
    swapped: list[Tensor] = []
    for left, right in parts:
        both = [*left, *right]
        points = consensus.points[both]
        as_seen, exchanged = (
            row_distance(r.beside(points), r.confidence) for r in (rays.points(both), crossed.points(both))
        )
        swapped.append((exchanged < NUMBERS.swap_gain * as_seen) & (as_seen - exchanged > NUMBERS.swap_least))
    return torch.stack(swapped, dim=1)


def _exchanged(straight: Rays, crossed: Rays, rows: Tensor) -> Rays:
    """The one rays, with the other ones in some rows [B]."""
    return Rays(
        straight.origin,
        torch.where(rows[:, None, None], crossed.direction, straight.direction),
        torch.where(rows[:, None], crossed.confidence, straight.confidence),
    )


def _cost(consensus: Consensus, rays: Rays) -> Tensor:
    """What each view's [B] rays leave unexplained."""
    beside = rays.beside(consensus.points)
    return robust_cost(beside, CONSENSUS.point_scale, rays.confidence).sum(-1)
