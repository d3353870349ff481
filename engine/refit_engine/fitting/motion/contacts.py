# SPDX-License-Identifier: GPL-3.0-or-later
"""When feet stand: their landmarks hardly move in the picture, nor in space.

The speed of a point in the picture, in metres at the body's depth, tells more than its speed in space, whose depth wanders. But a
foot that swings towards the camera hardly moves in the picture, so both are asked where there is one camera.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from ...body.points import LANDMARK_NAMES
from .numbers import NUMBERS, MotionNumbers
from .observations import NEAREST, Observations

FOOT_POINTS = tuple(
    LANDMARK_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "heel", "foot_index")
)
"""Left ankle, heel and toe, then the right ones."""
_RIDGE = 1e-3
"""Of the velocity along the ray of a single camera, which nothing is known of: none."""
_REACH = 3.0
"""Deviations of the smoothing kernel after which it is cut off."""
_STANDS = 0.5
"""Probability from which a foot beside a gap is taken to stand."""


def standing(seen: Observations, times: Tensor, numbers: MotionNumbers = NUMBERS, feet: Tensor | None = None) -> Tensor:
    """Probabilities [F-1,6] that each of FOOT_POINTS stands from one instant to the next; 0 where one is not seen.

    A point's velocity is the one that all cameras' pictures agree on best, in which a camera counts as much as it sees the point; of
    a single camera, the part across its ray. times: [F] seconds. Cameras may move: what counts is how far a point is from where one
    that stands would be. feet: [F,6,3] FOOT_POINTS of a motion that was solved before, for a single camera: what counts is the
    geometric mean of both speeds.
    """
    count = len(times)
    normal = torch.zeros(count - 1, len(FOOT_POINTS), 3, 3, dtype=torch.float64)
    pull = torch.zeros(count - 1, len(FOOT_POINTS), 3, dtype=torch.float64)
    for view in seen.views():
        rows = seen.select(seen.view == view)
        pairs = ((rows.frame[1:] - rows.frame[:-1]) == 1).nonzero()[:, 0]
        now, after = rows.select(pairs), rows.select(pairs + 1)
        smooth = _smoothed(rows, times, numbers.contact_smoothing)
        still = now.back_project(smooth[pairs])
        scale = (after.depth[:, None] / after.focal)[:, None]
        moved = (smooth[pairs + 1] - after.project(still)) * scale
        interval = times[after.frame] + after.lag - times[now.frame] - now.lag
        across = _across(after, still)
        weight = torch.minimum(now.confidence, after.confidence)[:, FOOT_POINTS, None] ** 2
        normal.index_add_(0, now.frame, weight[..., None] * across.mT @ across)
        moving = moved / interval[:, None, None]
        pull.index_add_(0, now.frame, weight * (across.mT @ moving[..., None])[..., 0])
    seen_at_all = normal.diagonal(dim1=-2, dim2=-1).sum(-1)
    ridge = (_RIDGE * seen_at_all + 1e-12)[..., None, None] * torch.eye(3, dtype=torch.float64)
    velocity = cast("Tensor", torch.linalg.solve(normal + ridge, pull))  # PyTorch says no type, here and below.
    speed = cast("Tensor", velocity.norm(dim=-1))
    if feet is not None and len(seen.views()) == 1:
        in_space = cast("Tensor", (feet[1:] - feet[:-1]).norm(dim=-1)) / (times[1:] - times[:-1])[:, None]
        speed = (speed * in_space).sqrt()
    probability = 1 / (1 + (speed / numbers.contact_speed) ** numbers.contact_steepness)
    return torch.where((seen_at_all > 0) & probability.isfinite(), probability, 0.0)


def across_gaps(
    stands: Tensor, feet: Tensor, times: Tensor, observed: Tensor, numbers: MotionNumbers = NUMBERS
) -> Tensor:
    """Probabilities [F-1,6] that FOOT_POINTS stand, where nobody looked for a moment as well.

    A foot that stands before the gap stays as long as it can still reach its later place at the speed of a swing; the other one
    stands from then on, if it does afterwards. feet: [F,6,3] of a motion that was solved before. observed: [N] instants, rising.
    """
    bridged = stands.clone()
    instants = cast("list[int]", observed.tolist())  # PyTorch says no type
    for first, last in pairwise(instants):
        if last - first > 1 and float(times[last] - times[first]) <= numbers.bridged_gap:
            _bridge(bridged, stands, feet, times, first, last, numbers)
    return bridged


def _bridge(
    bridged: Tensor, stands: Tensor, feet: Tensor, times: Tensor, first: int, last: int, numbers: MotionNumbers
) -> None:
    """Fill in the contacts between the instants `first` and `last`, which alone are observed."""
    early = int(torch.searchsorted(times, times[first] - numbers.gap_edge))
    late = int(torch.searchsorted(times, times[last] + numbers.gap_edge))
    if first == early:
        return
    before = stands[early:first].reshape(-1, 2, 3).amax(dim=(0, 2)) > _STANDS
    apart = cast("Tensor", (feet[last] - feet[first]).reshape(2, 3, 3).norm(dim=-1)).mean(dim=1)  # PyTorch says no type
    foot = int(torch.where(before, apart, torch.inf).argmin())
    lifted = float(times[last]) - float(apart[foot]) / numbers.swing_speed
    if not before[foot] or lifted <= times[first]:
        return
    middle = 0.5 * (times[1:] + times[:-1])
    own, other = slice(3 * foot, 3 * foot + 3), slice(3 - 3 * foot, 6 - 3 * foot)
    bridged[(middle > times[first]) & (middle < lifted), own] = stands[early:first, own].amax(dim=0)
    landing = stands[last:late, other].amax(dim=1) > _STANDS
    if landing.any():
        landed = last + int(landing.nonzero()[0, 0])
        stays = before[1 - foot] and apart[1 - foot] < numbers.same_place
        down = (middle > (times[first] if stays else lifted)) & (middle < times[landed])
        bridged[down, other] = stands[landed, other]


def _across(rows: Observations, points: Tensor) -> Tensor:
    """How moves of points [O,K,3] in the world show across the rows' rays, at their depth: [O,K,2,3]."""
    there = rows.in_camera(points)
    slant = there[..., :2] / there[..., 2:].clamp(min=NEAREST)
    return rows.rotation[:, None, :2] - slant[..., None] * rows.rotation[:, None, 2:]


def of_feet(standing_points: Tensor) -> Tensor:
    """Probabilities [F,2] that the left and the right foot stands at each instant, from [F-1,6] between them.

    A foot stands with any of its points, and at both ends of an interval in which it does not move.
    """
    feet = standing_points.reshape(-1, 2, 3).amax(dim=2)
    none = feet.new_zeros(1, 2)
    return torch.maximum(torch.cat([feet, none]), torch.cat([none, feet]))


def _smoothed(rows: Observations, times: Tensor, seconds: float) -> Tensor:
    """The foot points [O,6,2] of one camera's rows, averaged over a Gaussian of that deviation; a moving camera's as if it
    stood where it was at the row's instant."""
    stamps = times[rows.frame] + rows.lag
    reach = int((_REACH * seconds / (stamps[1:] - stamps[:-1]).min()).ceil()) if len(stamps) > 1 else 0
    reach = min(reach, len(stamps) - 1)
    points = rows.pixels[:, FOOT_POINTS]
    places = rows.back_project(points)
    total, weights = torch.zeros_like(points), points.new_zeros(len(points))
    for shift in range(-reach, reach + 1):
        here = torch.arange(max(0, -shift), min(len(stamps), len(stamps) - shift))
        there = here + shift
        weight = torch.exp(-0.5 * ((stamps[there] - stamps[here]) / seconds) ** 2)
        total[here] += weight[:, None, None] * rows.select(here).project(places[there])
        weights[here] += weight
    return total / weights[:, None, None]
