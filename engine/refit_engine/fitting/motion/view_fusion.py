# SPDX-License-Identifier: GPL-3.0-or-later
"""What several cameras together say of a whole track: which of them are to be trusted, and how large the person is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ...body import LandmarkBody
from ...body.landmarks import landmark_spread
from ...robust import robust_weight
from .banded import factor, solve
from .contacts import standing
from .numbers import MotionNumbers
from .observations import Motion, Observations, when_seen
from .solve import UNKNOWNS, landmark_terms, limited, moved, normal_equations, point_slopes
from .windows import SolvedTrack, segments

ROWS = 400
"""Observations at most, evenly spread, that are asked."""
ROUNDS = 3
FRAMES = 400
"""Of a track, at most, from its beginning, that tell the shape: what all of their landmarks say is in memory together."""


def trusted(
    seen: Observations, track: SolvedTrack, times: Tensor, body: LandmarkBody, betas: Tensor, numbers: MotionNumbers
) -> Observations:
    """The observations with less confidence in cameras that see the person beside the solved track.

    A camera that is not where it is said to be then loses its say, for the whole track.
    """
    factor = torch.ones(int(seen.view.max()) + 1, dtype=torch.float64)
    spread = torch.from_numpy(landmark_spread())
    for view in seen.views():
        part = _some(seen.select(seen.view == view))
        points = _points(part, track, times, body, betas)
        terms = landmark_terms(part, points, points.new_zeros(*points.shape, 1), numbers)
        distance = cast("Tensor", terms.miss.norm(dim=-1))  # PyTorch says no type
        factor[view] = robust_weight((distance * spread).median(), numbers.view_scale)
    return seen._replace(confidence=seen.confidence * (factor / factor.max())[seen.view, None])


def refined_betas(
    seen: Observations, track: SolvedTrack, times: Tensor, body: LandmarkBody, betas: Tensor, numbers: MotionNumbers
) -> Tensor:
    """The shape [10] that is most probable together with the motion, by all that cameras see: rays that cross tell sizes.

    The motion's unknowns are eliminated (Schur's complement): a body that is too small could else bend its legs instead.
    A part of the track is enough.
    """
    start, stop = segments(seen.instants(), times, numbers.longest_gap)[0]
    stop = min(stop, start + FRAMES)
    seen, times = seen.between(start, stop), times[start:stop]
    motion = Motion(track.rotmats[start:stop], track.pelvis[start:stop])
    stands = standing(seen, times, numbers)
    first, level = betas, torch.eye(len(betas), dtype=torch.float64)
    share = min(numbers.independent / len(times), 1.0)
    for _ in range(ROUNDS):
        matrix, right = normal_equations(motion, seen, times, stands, body, betas, numbers)
        factors = factor(matrix)
        points = _points(seen, motion, times, body, betas)
        slopes = torch.stack([_points(seen, motion, times, body, betas + step) for step in level], dim=-1)
        slopes = slopes - points[..., None]
        mixed, own, pull = _shape_equations(seen, motion, body, betas, points, slopes, numbers)
        columns = torch.stack([solve(factors, column) for column in mixed.unbind(dim=2)], dim=2)
        alone = solve(factors, right)
        normal = share * (own - torch.einsum("fub,fuc->bc", mixed, columns)) + level / numbers.beta_std**2
        wanted = share * (pull - torch.einsum("fub,fu->b", mixed, alone)) - (betas - first) / numbers.beta_std**2
        change = cast("Tensor", torch.linalg.solve(normal, wanted))  # PyTorch says no type
        motion, betas = moved(motion, limited(alone - columns @ change, numbers)), betas + change
    return betas


def _shape_equations(
    seen: Observations,
    motion: Motion,
    body: LandmarkBody,
    betas: Tensor,
    points: Tensor,
    slopes: Tensor,
    numbers: MotionNumbers,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normal equations of the landmarks: of the motion's unknowns with the betas [F,U,10], of the betas [10,10], and their right side [10].

    points: [O,33,3] landmarks; slopes: [O,33,3,10] how they move with the betas.
    """
    posed = body.pose(betas.expand(len(motion.pelvis), -1), motion.rotmats)
    of_pose = point_slopes(posed, body, posed.points)
    terms = landmark_terms(seen, points, torch.cat([of_pose[seen.frame], slopes], dim=-1), numbers)
    weighted = (terms.weight[..., None, None] * terms.moves[..., UNKNOWNS:]).flatten(1, 2).mT
    both = (weighted @ terms.moves.flatten(1, 2)).mT
    mixed = torch.zeros(len(motion.pelvis), UNKNOWNS, len(betas), dtype=torch.float64)
    mixed.index_add_(0, seen.frame, both[:, :UNKNOWNS])
    pull = (weighted @ terms.miss.flatten(1)[..., None])[..., 0]
    return mixed, both[:, UNKNOWNS:].sum(dim=0), pull.sum(dim=0)


def _some(seen: Observations) -> Observations:
    """At most ROWS of them, evenly spread."""
    count = len(seen.frame)
    return seen.select(torch.linspace(0, count - 1, min(count, ROWS)).round().long())


def _points(
    seen: Observations, track: SolvedTrack | Motion, times: Tensor, body: LandmarkBody, betas: Tensor
) -> Tensor:
    """The track's landmarks [O,33,3] when each picture was taken, world frame."""
    then = when_seen(Motion(track.rotmats, track.pelvis), seen, times)
    posed = body.pose(betas.expand(len(seen.frame), -1), then.rotmats)
    return posed.points - posed.joints[:, :1] + then.pelvis[:, None]
