# SPDX-License-Identifier: GPL-3.0-or-later
"""Sight rays of calibrated views: where they meet, and which views contradict the others.

Everything is measured in metres beside a ray, not in pixels: then views of any distance, focal length and resolution
count alike, since a network that sees every person at the same size errs in proportion to that size.

Letters in shapes: B rows (a row is one person in one view), K points of the body, P people. float64, world frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ...robust import robust_cost, robust_weight
from .triangulation import across, normal_equations


@dataclass(frozen=True)
class ConsensusNumbers:
    """Numbers of the consensus of views: metres beside sight rays, set by how exactly landmarks are seen.

    tests/engine/test_multiview.py holds them to synthetic views that mislead; what comes out is measured on the scenes
    of docs/multi-view-accuracy.md (`python -m refit_training.evaluation.measure_rig RIG`).
    """

    rounds: int = 8
    """Of reweighting; each at least halves what an outlier moves."""
    row_scale: float = 0.08
    least_row_scale: float = 0.05
    """Metres beside the rays at which a view counts a quarter, at most and at least: views that agree are 0.02 to 0.05
    m off, as exactly as landmarks are seen."""
    row_spread: float = 2.5
    """That scale in between, in medians of the views' distances."""
    point_scale: float = 0.10
    """The same for a single point of the body."""
    point_limit: float = 0.5
    """Metres from which on a point tells nothing more of its view."""
    ridge: float = 1e-3
    """Weight of the body's middle, in rays, for points that next to no view sees."""


NUMBERS = ConsensusNumbers()


class Rays(NamedTuple):
    """Where rows see the points of their bodies."""

    origin: Tensor
    """[B,3] the camera's place, metres."""
    direction: Tensor
    """[B,K,3] unit."""
    confidence: Tensor
    """[B,K] 0 to 1."""

    def select(self, rows: Tensor | slice) -> Rays:
        return Rays(self.origin[rows], self.direction[rows], self.confidence[rows])

    def points(self, numbers: Sequence[int] | Tensor) -> Rays:
        """The rays to some of the points."""
        return Rays(self.origin, self.direction[:, numbers], self.confidence[:, numbers])

    def across(self) -> Tensor:
        """Projections [B,K,3,3] onto the planes across the rays."""
        return across(self.direction)

    def beside(self, points: Tensor) -> Tensor:
        """Metres [...,B,K] from the rays to points [...,B,K,3]; what is behind a camera is far off."""
        offset = points - self.origin[:, None]
        along = (offset * self.direction).sum(-1)
        # PyTorch says no type, here and below.
        distance = cast("Tensor", (offset - along[..., None] * self.direction).norm(dim=-1))
        whole = cast("Tensor", offset.norm(dim=-1))
        return torch.where(along > 0, distance, whole + NUMBERS.point_limit)


class Consensus(NamedTuple):
    """What the views of one person agree on."""

    weight: Tensor
    """[B] 0 to 1 per view."""
    distance: Tensor
    """[B] metres beside its rays at which a view sees the points of all."""
    points: Tensor
    """[K,3] triangulated."""
    trust: Tensor
    """[B,K] 0 to 1 per ray: a view may be right but for a hand that it takes for the other."""


def row_distance(distance: Tensor, confidence: Tensor) -> Tensor:
    """The mean distance [...,B] of a row's points [...,B,K], in which no point counts for more than `point_limit`."""
    distance = distance.clamp(max=NUMBERS.point_limit)
    return (confidence * distance).sum(-1) / confidence.sum(-1).clamp(min=1e-9)


def find_consensus(rays: Rays) -> Consensus:
    """Which views of one person see the same points, by triangulation and reweighting.

    Reweighting alone would stop at whatever is nearest to the plain mean, which an outlier has moved. So it starts
    from all views, from all but one, and from every pair. The start that ends with the smallest cost tells which views
    to trust, and with these, each point is taken from the start that explains it best.

    A view in which little of the person is visible counts little from the outset.
    """
    views = len(rays.origin)
    visible = rays.confidence.mean(-1)
    prior = (visible / visible.max().clamp(min=1e-9)).clamp(min=1e-3)
    planes = rays.across()
    weight = _starts(views) * prior
    trust = torch.ones(len(weight), *rays.confidence.shape, dtype=torch.float64)
    found = _reweighted(rays, planes, prior, weight, trust)
    for _ in range(NUMBERS.rounds - 1):
        found = _reweighted(rays, planes, prior, found.weight, found.trust)
    best = int(robust_cost(found.distance, NUMBERS.row_scale, prior).sum(-1).argmin())
    cost = robust_cost(found.beside, NUMBERS.point_scale, found.weight[best, :, None] * rays.confidence).sum(1)
    points = found.points[cost.argmin(0), torch.arange(found.points.shape[1])][None]
    for _ in range(2):
        beside = rays.beside(points[:, None])
        distance, weight = _judge(beside, rays, prior)
        trust = robust_weight(beside, NUMBERS.point_scale)
        points = _triangulate(rays, planes, weight[..., None] * trust * rays.confidence)
        found = _Reweighted(points, beside, distance, weight, trust)
    return Consensus(found.weight[0], found.distance[0], found.points[0], found.trust[0])


class _Reweighted(NamedTuple):
    """A round of reweighting from H starts: points [H,K,3], metres beside them [H,B,K], and what follows for the views."""

    points: Tensor
    beside: Tensor
    distance: Tensor
    weight: Tensor
    trust: Tensor


def _reweighted(rays: Rays, planes: Tensor, prior: Tensor, weight: Tensor, trust: Tensor) -> _Reweighted:
    points = _triangulate(rays, planes, weight[..., None] * trust * rays.confidence)
    beside = rays.beside(points[:, None])
    distance, weight = _judge(beside, rays, prior)
    return _Reweighted(points, beside, distance, weight, robust_weight(beside, NUMBERS.point_scale))


def _starts(views: int) -> Tensor:
    """[H,B] all views, all but one, every pair."""
    starts = [torch.ones(1, views, dtype=torch.float64)]
    if views > 2:
        starts.append(1 - torch.eye(views, dtype=torch.float64))
    if views > 3:
        pairs = torch.tensor(list(combinations(range(views), 2)))
        starts.append(torch.zeros(len(pairs), views, dtype=torch.float64).scatter_(1, pairs, 1.0))
    return torch.cat(starts)


def _judge(beside: Tensor, rays: Rays, prior: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [H,B] and weight [H,B] of views whose rays pass points by [H,B,K] metres."""
    distance = row_distance(beside, rays.confidence)
    if distance.shape[1] == 2:  # which of two is wrong cannot be told, and reweighting would just pick one
        distance = distance.mean(-1, keepdim=True).expand(-1, 2)
    scale = (NUMBERS.row_spread * distance.quantile(0.5, dim=-1, keepdim=True)).clamp(
        NUMBERS.least_row_scale, NUMBERS.row_scale
    )
    return distance, prior * robust_weight(distance, scale)


def _triangulate(rays: Rays, planes: Tensor, weight: Tensor) -> Tensor:
    """The points [H,K,3] nearest to their rays, for weights [H,B,K]."""
    normal, right = normal_equations(rays.origin, planes, weight)
    middle = cast("Tensor", torch.linalg.lstsq(normal.sum(1), right.sum(1)[..., None]).solution)
    normal = normal + NUMBERS.ridge * torch.eye(3, dtype=normal.dtype)
    points = cast("Tensor", torch.linalg.solve(normal, right[..., None] + NUMBERS.ridge * middle[:, None]))
    return points[..., 0]
