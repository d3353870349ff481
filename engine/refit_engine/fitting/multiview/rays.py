# SPDX-License-Identifier: GPL-3.0-or-later
"""Sight rays of calibrated views: where they meet, and which views contradict the others.

Everything is measured in metres beside a ray, not in pixels: then views of any distance, focal length and resolution
count alike, since a network that sees every person at the same size errs in proportion to that size.

Letters in shapes: B rows (a row is one person in one view), K points of the body, P people. float64, world frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import roma
import torch
from torch import Tensor

ROUNDS = 8
"""Of reweighting; each at least halves what an outlier moves."""
ROW_SCALE, LEAST_ROW_SCALE = 0.08, 0.05
"""Metres beside the rays at which a view counts a quarter, at most and at least: views that agree are 0.02 to 0.05 m
off, as exactly as landmarks are seen."""
ROW_SPREAD = 2.5
"""That scale in between, in medians of the views' distances."""
POINT_SCALE = 0.10
"""The same for a single point of the body."""
POINT_LIMIT = 0.5
"""Metres from which on a point tells nothing more of its view."""
DOUBTFUL = 0.5
"""Weight below which a view's camera is suspected to be turned."""
TURN_LIMIT = math.radians(8)
"""A camera that is turned by more is no matter of calibration."""
TURN_GAIN = 0.6
"""Share of the distance that may be left when a camera is turned back."""
SWAP_GAIN, SWAP_LEAST = 0.6, 0.04
"""Share of a part's distance that may be left when left and right are exchanged in a view, and metres to be gained."""
MIRROR_GAIN = 0.7
"""Share of everybody's cost that may be left when a whole view is mirrored."""
UNHEARD = 0.1
"""Weight below which a view, turned or of somebody else, has no say in whether another one is mirrored."""
SUSPECTS = 4
"""So many views, those that count least, are tried with left and right exchanged."""
_RIDGE = 1e-3
"""Weight of the body's middle, in rays, for points that next to no view sees."""


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
        return torch.eye(3, dtype=self.direction.dtype) - self.direction[..., :, None] * self.direction[..., None, :]

    def beside(self, points: Tensor) -> Tensor:
        """Metres [...,B,K] from the rays to points [...,B,K,3]; what is behind a camera is far off."""
        offset = points - self.origin[:, None]
        along = (offset * self.direction).sum(-1)
        distance = (offset - along[..., None] * self.direction).norm(dim=-1)
        return torch.where(along > 0, distance, offset.norm(dim=-1) + POINT_LIMIT)


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


def robust(distance: Tensor, scale: float | Tensor) -> Tensor:
    """Geman and McClure's weight, from 1 at no distance over a quarter at `scale` to 0."""
    return (scale**2 / (scale**2 + distance**2)).square()


def row_distance(distance: Tensor, confidence: Tensor) -> Tensor:
    """The mean distance [...,B] of a row's points [...,B,K], in which no point counts for more than POINT_LIMIT."""
    distance = distance.clamp(max=POINT_LIMIT)
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
    across = rays.across()
    weight = _starts(views) * prior
    trust = torch.ones(len(weight), *rays.confidence.shape, dtype=torch.float64)
    for _ in range(ROUNDS):
        points = _triangulate(rays, across, weight[..., None] * trust * rays.confidence)
        beside = rays.beside(points[:, None])
        distance, weight = _judge(beside, rays, prior)
        trust = robust(beside, POINT_SCALE)
    best = int((prior * distance**2 / (ROW_SCALE**2 + distance**2)).sum(-1).argmin())
    cost = (weight[best, :, None] * rays.confidence * beside**2 / (POINT_SCALE**2 + beside**2)).sum(1)
    points = points[cost.argmin(0), torch.arange(points.shape[1])][None]
    for _ in range(2):
        beside = rays.beside(points[:, None])
        distance, weight = _judge(beside, rays, prior)
        trust = robust(beside, POINT_SCALE)
        points = _triangulate(rays, across, weight[..., None] * trust * rays.confidence)
    return Consensus(weight[0], distance[0], points[0], trust[0])


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
    scale = (ROW_SPREAD * distance.quantile(0.5, dim=-1, keepdim=True)).clamp(LEAST_ROW_SCALE, ROW_SCALE)
    return distance, prior * robust(distance, scale)


def turn_back(rays: Rays, consensus: Consensus) -> Tensor:
    """Turns [B,3,3] about their own places for cameras that see the right person in the wrong direction.

    A tripod that was pushed by three degrees still shows the pose; only its word on the place is lost. Cameras that need
    no turn, and those that no small turn brings into line, keep theirs: identity.
    """
    turns = torch.eye(3, dtype=torch.float64).repeat(len(rays.origin), 1, 1)
    if len(turns) < 3:
        return turns
    target = consensus.points - rays.origin[:, None]
    target = target / target.norm(dim=-1, keepdim=True)
    trust = rays.confidence
    for _ in range(ROUNDS):
        turn = roma.special_procrustes(torch.einsum("bk,bki,bkj->bij", trust, target, rays.direction))
        turned = rays._replace(direction=rays.direction @ turn.mT)
        beside = turned.beside(consensus.points)
        trust = rays.confidence * robust(beside, POINT_SCALE)
    left = row_distance(beside, rays.confidence)
    prior = rays.confidence.mean(-1) / rays.confidence.mean(-1).max()
    helps = (consensus.weight < DOUBTFUL * prior) & (left < TURN_GAIN * consensus.distance) & (left < ROW_SCALE)
    small = roma.rotmat_geodesic_distance(turn, turns) < TURN_LIMIT
    return torch.where((helps & small)[:, None, None], turn, turns)


def find_swapped(rays: Rays, parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
    """Where a view of one person takes left for right, against what the others see: [B,len(parts)].

    Seen from behind, a landmark network may well exchange the legs, or everything. Where other views see the person from
    the side, one such view can win the rest over: so the views that fit worst are also tried with all parts exchanged.

    parts: the points of the left and of the right side of each part of the body, in the same order.
    """
    views = len(rays.origin)
    if views < 3:
        return torch.zeros(views, len(parts), dtype=torch.bool)
    order = torch.arange(rays.direction.shape[1])
    for left, right in parts:
        order[[*left, *right]] = torch.tensor([*right, *left])
    straight = consensus = find_consensus(rays)
    least, crossed = MIRROR_GAIN, rays.points(order)
    for row in straight.weight.argsort()[:SUSPECTS].tolist():
        mixed = _exchanged(rays, crossed, torch.arange(views) == row)
        trial = find_consensus(mixed)
        # A view that agrees with nobody either way, turned or of somebody else, has no say.
        heard = straight.weight.maximum(trial.weight) > UNHEARD
        share = float(_cost(trial, mixed)[heard].sum() / _cost(straight, rays)[heard].sum().clamp(min=1e-9))
        if share < least:
            least, consensus = share, trial
    swapped = []
    for left, right in parts:
        both = [*left, *right]
        points = consensus.points[both]
        as_seen, exchanged = (
            row_distance(r.beside(points), r.confidence) for r in (rays.points(both), crossed.points(both))
        )
        swapped.append((exchanged < SWAP_GAIN * as_seen) & (as_seen - exchanged > SWAP_LEAST))
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
    return (rays.confidence * beside**2 / (POINT_SCALE**2 + beside**2)).sum(-1)


def _triangulate(rays: Rays, across: Tensor, weight: Tensor) -> Tensor:
    """The points [H,K,3] nearest to their rays, for weights [H,B,K]."""
    origin = rays.origin[:, None, :, None]
    normal = torch.einsum("hbk,bkij->hkij", weight, across)
    right = torch.einsum("hbk,bki->hki", weight, (across @ origin)[..., 0])
    middle = torch.linalg.lstsq(normal.sum(1), right.sum(1)[..., None]).solution
    normal = normal + _RIDGE * torch.eye(3, dtype=normal.dtype)
    return torch.linalg.solve(normal, right[..., None] + _RIDGE * middle[:, None])[..., 0]
