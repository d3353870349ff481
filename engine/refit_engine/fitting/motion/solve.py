# SPDX-License-Identifier: GPL-3.0-or-later
"""The most probable motion of one body, given what cameras saw of it.

Gauss and Newton's method on all instants at once. The sum of squares has five parts: landmarks (robust), each picture's own
pose (Student's t), its place, accelerations of all joints' rotations and of the pelvis' place, and feet that stand still. Where up
is known, feet are not below the floor either.
Unknowns of an instant: small turns of the 24 joints about their own axes, radians, and a shift of the pelvis, metres.

F instants, O observations, U = 75 unknowns, K = 33 landmarks. float64, world frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import roma
import torch
from torch import Tensor

from ...body import LandmarkBody
from ...body.landmarks import landmark_spread
from ...body.model import PosedPoints
from .banded import Banded, covariances, factor, solve
from .contacts import FOOT_POINTS, across_gaps, standing
from .footing import Footing, floor_terms, near_floor
from .numbers import NUMBERS, MotionNumbers
from .observations import NEAREST, Motion, Observations, first_motion, when_seen

UNKNOWNS = 75
_TURNS = 72
_CHUNK = 128


@dataclass(frozen=True)
class Solution:
    """motion; joint_std_m, joint_std_rad: [F,24] as in `confidence`; standing: [F-1,6], see `contacts`."""

    motion: Motion
    joint_std_m: Tensor
    joint_std_rad: Tensor
    standing: Tensor


def solve_motion(
    seen: Observations,
    times: Tensor,
    body: LandmarkBody,
    betas: Tensor,
    numbers: MotionNumbers = NUMBERS,
    footing: Footing | None = None,
    before: Motion | None = None,
    told: Callable[[float], None] = lambda _: None,
) -> Solution:
    """The motion over the instants `times` [F], seconds, of a body of shape `betas` [10]; the first and last are observed.

    body: in float64. footing: the floor, where it is known. before: the motion as it was solved before, over the same instants:
    feet stand where it says so, too; with one camera, they stand nowhere without it. told: gets the share of the steps that is
    done at most; raises Cancelled to stop.
    """
    motion = first_motion(seen, times) if before is None else before
    feet = None if before is None else feet_of_motion(before, body, betas)
    stands = _standing(seen, times, feet, footing, numbers)
    steps_left = numbers.steps
    last = torch.zeros(len(times), UNKNOWNS, dtype=torch.float64)
    share = torch.ones(len(times), dtype=torch.float64)
    while True:
        matrix, right = normal_equations(motion, seen, times, stands, body, betas, numbers, footing)
        with _one_thread():
            factors = factor(matrix)
            step = limited(solve(factors, right), numbers)
        share = share_of_step(share, step, last, numbers)
        last = share[:, None] * step
        motion, steps_left = moved(motion, last), steps_left - 1
        told(1 - steps_left / numbers.steps)
        if not steps_left or step.abs().max() < numbers.converged:
            break
    with _one_thread():
        covariance = covariances(factors)
    position, rotation = _joint_deviations(motion, covariance, body, betas)
    position = torch.hypot(numbers.std_factor * position, torch.full_like(position, numbers.slow_error))
    position[:, 0] = 0.0  # places are relative to the pelvis
    return Solution(motion, position, numbers.std_factor * rotation, stands)


def _standing(
    seen: Observations, times: Tensor, feet: Tensor | None, footing: Footing | None, numbers: MotionNumbers
) -> Tensor:
    """Which points of the feet stand [F-1,6]; feet: [F,6,3] where they were before. One camera does not tell it without them."""
    if feet is None and len(seen.views()) == 1:
        return times.new_zeros(len(times) - 1, len(FOOT_POINTS))
    stands = standing(seen, times, numbers, feet)
    if feet is not None:
        stands = across_gaps(stands, feet, times, seen.instants(), numbers)
    return stands if feet is None or footing is None else stands * near_floor(feet, footing, numbers)


def feet_of_motion(motion: Motion, body: LandmarkBody, betas: Tensor) -> Tensor:
    """FOOT_POINTS [F,6,3] of a motion, world frame, metres."""
    posed = body.pose(betas.expand(len(motion.pelvis), -1), motion.rotmats)
    return (posed.points - posed.joints[:, :1] + motion.pelvis[:, None])[:, FOOT_POINTS]


def limited(step: Tensor, numbers: MotionNumbers) -> Tensor:
    """A step of which no unknown is longer than the equations can be trusted for."""
    return step.clamp(-numbers.longest_step, numbers.longest_step)


def share_of_step(share: Tensor, step: Tensor, last: Tensor, numbers: MotionNumbers) -> Tensor:
    """How much of a step [F,U] is taken at each instant [F]: less where it turns back on the last one, so that none goes to and fro.

    Where a limb is nearly straight, the equations take its joints to move points less than they do, and the step is too long.
    """
    lengths = (step.square().sum(dim=1) * last.square().sum(dim=1)).sqrt().clamp(min=torch.finfo(step.dtype).tiny)
    back = (step * last).sum(dim=1) / lengths < numbers.turned_back
    return torch.where(back, share / 2, (share * numbers.share_growth).clamp(max=1))


def moved(motion: Motion, step: Tensor) -> Motion:
    """The motion after a step [F,U] of its unknowns."""
    turns = roma.rotvec_to_rotmat(step[:, :_TURNS].reshape(len(step), -1, 3))
    return Motion(motion.rotmats @ turns, motion.pelvis + step[:, _TURNS:])


def normal_equations(
    motion: Motion,
    seen: Observations,
    times: Tensor,
    stands: Tensor,
    body: LandmarkBody,
    betas: Tensor,
    numbers: MotionNumbers,
    footing: Footing | None = None,
) -> tuple[Banded, Tensor]:
    """The damped matrix over all instants, and the right side [F,U]."""
    frames = len(times)
    matrix = Banded(
        numbers.damping * torch.eye(UNKNOWNS, dtype=torch.float64).repeat(frames, 1, 1),
        torch.zeros(max(frames - 1, 0), UNKNOWNS, UNKNOWNS, dtype=torch.float64),
        torch.zeros(max(frames - 2, 0), UNKNOWNS, dtype=torch.float64),
    )
    right = torch.zeros(frames, UNKNOWNS, dtype=torch.float64)
    posed = body.pose(betas.expand(frames, -1), motion.rotmats)
    slopes = point_slopes(posed, body, posed.points)
    points = posed.points - posed.joints[:, :1] + motion.pelvis[:, None]
    then = when_seen(motion, seen, times)
    _add_landmarks(matrix, right, seen, points_seen(then, seen, points, body, betas), slopes, numbers)
    _add_poses(matrix, right, seen, then, numbers)
    _add_places(matrix, right, seen, then, numbers)
    _add_accelerations(matrix, right, motion, times, numbers)
    _add_contacts(matrix, right, points[:, FOOT_POINTS], slopes[:, FOOT_POINTS], stands, times, numbers)
    if footing is not None:
        _add_floor(matrix, right, points[:, FOOT_POINTS], slopes[:, FOOT_POINTS], stands, footing, numbers)
    return matrix, right


def points_seen(then: Motion, seen: Observations, points: Tensor, body: LandmarkBody, betas: Tensor) -> Tensor:
    """The body's landmarks [O,33,3] when each picture was taken, from the motion at these times and the points [F,33,3] at instants.

    Their slopes are those of the instant: the time between is short.
    """
    if not seen.lag.any():
        return points[seen.frame]
    posed = body.pose(betas.expand(len(then.pelvis), -1), then.rotmats)
    return posed.points - posed.joints[:, :1] + then.pelvis[:, None]


class LandmarkTerms(NamedTuple):
    """Residuals of the landmarks of O observations, in their spreads, for U unknowns."""

    miss: Tensor
    """[O,33,2] how far they are from the body's."""
    moves: Tensor
    """[O,33,2,U] how far each unknown moves the body's."""
    weight: Tensor
    """[O,33]."""


def landmark_terms(seen: Observations, points: Tensor, slopes: Tensor, numbers: MotionNumbers) -> LandmarkTerms:
    """Distances of landmarks from a body's points [O,33,3], which move by `slopes` [O,33,3,U] with the unknowns.

    They are measured in metres at the depth of the picture's own fit, so that no body gains by going away.
    """
    there = seen.in_camera(points)
    depth = there[..., 2:].clamp(min=NEAREST)
    scale = seen.depth[:, None, None] / torch.from_numpy(landmark_spread())[:, None]
    miss = (seen.pixels - seen.project(points)) / seen.focal[:, None] * scale
    moves = seen.rotation[:, None] @ slopes
    moves = (moves[:, :, :2] - (there[..., :2] / depth)[..., None] * moves[:, :, 2:]) * (scale / depth)[..., None]
    trust = 1 / (1 + miss.square().sum(-1) / numbers.landmark_scale**2)
    return LandmarkTerms(miss, moves, numbers.landmark_weight * seen.confidence**numbers.confidence_power * trust)


def point_slopes(posed: PosedPoints, body: LandmarkBody, points: Tensor, influence: Tensor | None = None) -> Tensor:
    """How points [F,K,3], relative to the pelvis, move with each unknown: [F,K,3,U].

    influence: [K,24] how much each joint moves each point; the landmarks' by default.
    """
    influence = body.influence if influence is None else influence
    levers = points[:, :, None] - posed.joints[:, None]
    # PyTorch says no type.
    pushes = cast("Tensor", torch.linalg.cross(posed.rotations.mT[:, None], levers[:, :, :, None], dim=-1))
    turns = pushes * influence[..., None, None]
    shift = torch.eye(3, dtype=points.dtype).expand(*points.shape[:2], 3, 3)
    return torch.cat([turns.flatten(2, 3).mT, shift], dim=3)


def _add_landmarks(
    matrix: Banded, right: Tensor, seen: Observations, points: Tensor, slopes: Tensor, numbers: MotionNumbers
) -> None:
    """points: [O,33,3] when each picture was taken; slopes: [F,33,3,U]."""
    for rows in _chunks(len(seen.frame)):
        part = seen.select(rows)
        terms = landmark_terms(part, points[rows], slopes[part.frame], numbers)
        weighted = (terms.weight[..., None, None] * terms.moves).flatten(1, 2).mT
        matrix.diagonal.index_add_(0, part.frame, weighted @ terms.moves.flatten(1, 2))
        right.index_add_(0, part.frame, (weighted @ terms.miss.flatten(1)[..., None])[..., 0])


def _add_poses(matrix: Banded, right: Tensor, seen: Observations, then: Motion, numbers: MotionNumbers) -> None:
    """Each picture's own pose and depth, of the motion [O] when it was taken."""
    std, freedom = np.radians(numbers.pose_deg), numbers.pose_freedom
    miss = roma.rotmat_to_rotvec(then.rotmats.mT @ seen.rotmats) / std
    trust = (freedom + 3) / (freedom + miss.square().sum(-1, keepdim=True))
    weight = numbers.pose_weight * trust * seen.pose_trust[..., None].expand_as(miss)
    diagonal = matrix.diagonal.diagonal(dim1=1, dim2=2)
    diagonal[:, :_TURNS].index_add_(0, seen.frame, (weight / std**2).flatten(1))
    right[:, :_TURNS].index_add_(0, seen.frame, (weight * miss / std).flatten(1))

    ahead = seen.rotation[:, 2]
    short = seen.depth - seen.in_camera(then.pelvis[:, None])[:, 0, 2]
    inverse = numbers.pose_weight / numbers.depth_std**2
    matrix.diagonal[:, _TURNS:, _TURNS:].index_add_(0, seen.frame, inverse * ahead[:, :, None] * ahead[:, None])
    right[:, _TURNS:].index_add_(0, seen.frame, inverse * short[:, None] * ahead)


def _add_places(matrix: Banded, right: Tensor, seen: Observations, then: Motion, numbers: MotionNumbers) -> None:
    """Where each picture's own fit has the pelvis across the ray, in metres at its depth."""
    there = seen.in_camera(then.pelvis[:, None])[:, 0]
    depth = there[:, 2:].clamp(min=NEAREST)
    slant = there[:, :2] / depth
    scale = seen.depth[:, None] / numbers.across_std
    miss = (seen.slant - slant) * scale
    moves = (seen.rotation[:, :2] - slant[..., None] * seen.rotation[:, 2:]) * (scale / depth)[..., None]
    trust = 1 / (1 + miss.square().sum(-1) / numbers.landmark_scale**2)
    weighted = (numbers.pose_weight * trust)[:, None, None] * moves.mT
    matrix.diagonal[:, _TURNS:, _TURNS:].index_add_(0, seen.frame, weighted @ moves)
    right[:, _TURNS:].index_add_(0, seen.frame, (weighted @ miss[..., None])[..., 0])


def _add_accelerations(matrix: Banded, right: Tensor, motion: Motion, times: Tensor, numbers: MotionNumbers) -> None:
    """Second differences, scaled as if acceleration were white noise: with the interval to the power of 1.5."""
    if len(times) < 3:
        return
    turns = roma.rotmat_to_rotvec(motion.rotmats[:-1].mT @ motion.rotmats[1:]).flatten(1)
    change = torch.cat([turns, motion.pelvis[1:] - motion.pelvis[:-1]], dim=1)
    interval = (times[1:] - times[:-1])[:, None]
    before, after = interval[:-1], interval[1:]
    ratio = after / before
    variance = numbers.acceleration_std() ** 2 * after**2 * (before + after) / 2 / numbers.interval**3
    inverse = 1 / variance
    excess = (
        change[1:] - ratio * change[:-1]
    )  # grows by one with the later state, falls by 1 + ratio with the middle one
    factors = (ratio, -(1 + ratio), torch.ones_like(ratio))
    diagonal = matrix.diagonal.diagonal(dim1=1, dim2=2)
    last = len(times) - 2
    for place, coefficient in enumerate(factors):
        diagonal[place : place + last] += inverse * coefficient**2
        right[place : place + last] -= inverse * coefficient * excess
    following = matrix.next.diagonal(dim1=1, dim2=2)
    following[:-1] += inverse * factors[0] * factors[1]
    following[1:] += inverse * factors[1] * factors[2]
    matrix.second.add_(inverse * factors[0] * factors[2])


def _add_contacts(
    matrix: Banded,
    right: Tensor,
    feet: Tensor,
    slopes: Tensor,
    stands: Tensor,
    times: Tensor,
    numbers: MotionNumbers,
) -> None:
    """Points of the feet [F,6,3] that stand stay where they are."""
    if len(times) < 2:
        return
    std = numbers.contact_std * ((times[1:] - times[:-1]) / numbers.interval).sqrt()[:, None, None]
    slide = (feet[1:] - feet[:-1]) / std
    trust = 1 / (1 + slide.square().sum(-1) / numbers.contact_scale**2)
    weight = (stands * trust)[..., None, None]
    before, after = ((part / std[..., None]).flatten(1, 2) for part in (slopes[:-1], slopes[1:]))
    weight = weight.expand(-1, -1, 3, 1).flatten(1, 2)
    slide = slide.flatten(1)[..., None]
    matrix.diagonal[:-1] += (weight * before).mT @ before
    matrix.diagonal[1:] += (weight * after).mT @ after
    matrix.next.sub_((weight * after).mT @ before)
    right[:-1] += ((weight * before).mT @ slide)[..., 0]
    right[1:] -= ((weight * after).mT @ slide)[..., 0]


def _add_floor(
    matrix: Banded,
    right: Tensor,
    feet: Tensor,
    slopes: Tensor,
    stands: Tensor,
    footing: Footing,
    numbers: MotionNumbers,
) -> None:
    """Points of the feet [F,6,3] stand on the floor, and are nowhere below it."""
    terms = floor_terms(feet, stands, footing, numbers)
    moves = torch.einsum("i,fkiu->fku", footing.up, slopes)
    weighted = (terms.weight[..., None] * moves).mT
    matrix.diagonal.add_(weighted @ moves)
    right.sub_((weighted @ terms.miss[..., None])[..., 0])


def _joint_deviations(motion: Motion, covariance: Tensor, body: LandmarkBody, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations [F,24] of the joints' places relative to the pelvis, metres, and of their rotations, radians."""
    joint_influence = _descends(body.skeleton.parents)
    positions: list[Tensor] = []
    for rows in _chunks(len(covariance)):
        rotmats = motion.rotmats[rows]
        posed = body.pose(betas.expand(len(rotmats), -1), rotmats)
        slopes = point_slopes(posed, body, posed.joints, joint_influence)[..., :_TURNS]
        spread = torch.einsum("fkiu,fuv,fkiv->fk", slopes, covariance[rows, :_TURNS, :_TURNS], slopes)
        positions.append(spread.clamp(min=0).sqrt())
    turns = covariance.diagonal(dim1=1, dim2=2)[:, :_TURNS].reshape(len(covariance), -1, 3).sum(-1)
    return torch.cat(positions), turns.clamp(min=0).sqrt()


def _descends(parents: Tensor) -> Tensor:
    """[24,24] 1 where the row's joint moves with the column's; parents: [23] of all but the root."""
    count = len(parents) + 1
    moved = torch.eye(count, dtype=torch.float64)
    for joint, parent in enumerate(cast("list[int]", parents.tolist()), start=1):  # PyTorch says no type
        moved[joint] += moved[parent]
    return moved


def _chunks(count: int) -> Iterator[slice]:
    """Rows in parts that bound the memory."""
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


@contextlib.contextmanager
def _one_thread() -> Generator[None]:
    """Blocks of this size are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
