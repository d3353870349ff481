# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who: the same person found among the detections of several calibrated views.

Two detections of different views are a guess at a person, judged by how far their joints' rays pass each other (the
epipolar distance, in metres). A guess is triangulated and gathers, in every view, who lies nearest to it. The guesses
that explain most detections together, each detection once, are the people (one assignment problem, solved as an
integer program). Then assigning every view's detections to the triangulated people and triangulating again take
turns until nothing changes.

All distances are metres from rays, so that views of any resolution and focal length count alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import csr_array

from ...detect import COCO_JOINT_NAMES
from ...robust import robust_weight
from .detection_rays import (
    MIRRORED,
    NUMBERS,
    DetectionRays,
    ViewDetections,
    compare,
    detection_rays,
    part_means,
    per_joint,
    swapped_parts,
)
from .triangulation import across, crossing, normal_equations

# Joints and the distance between them in grown-ups, metres.
_BONES = tuple(
    (COCO_JOINT_NAMES.index(f"{side}_{first}"), COCO_JOINT_NAMES.index(f"{side}_{second}"), length)
    for first, second, length in (
        ("shoulder", "hip", 0.50),
        ("hip", "knee", 0.42),
        ("knee", "ankle", 0.42),
        ("shoulder", "elbow", 0.28),
        ("elbow", "wrist", 0.25),
    )
    for side in ("left", "right")
)


@dataclass(frozen=True)
class PersonViews:
    """One person in C views.

    indices: per view who it is among the view's detections, None where the person is not seen.
    joints_world: [17,3] metres, NaN for a joint that fewer than two views tell of.
    reprojection_errors: [C] pixels, mean over the view's seen joints; misses: [C] the same in metres beside the view's
    rays; NaN where the person is not seen.
    """

    indices: tuple[int | None, ...]
    joints_world: np.ndarray
    reprojection_errors: np.ndarray
    misses: np.ndarray


def match_people(views: Sequence[ViewDetections]) -> list[PersonViews]:
    """The people who are seen in at least two views, the largest in the pictures first.

    Whoever is seen in one view only is left out: nothing but that view would vouch for it. Each detection is used at
    most once.
    """
    rays = detection_rays(views)
    guesses = _guesses(rays)
    people = _settled([_triangulated(rays, *person) for person in _best_together(rays, guesses)], rays)
    area = np.concatenate([np.empty(0), *(np.prod(np.reshape(view.boxes, (-1, 4))[:, 2:], axis=1) for view in views)])
    people.sort(key=lambda person: -area[person.rows].mean())
    return [_person_views(person, rays, views) for person in people]


# ------------------------------------------------------------------------------------------------- guesses from pairs


@dataclass(frozen=True)
class _Guesses:
    """G pairs of detections that may be one person. pairs: [G,2] rows; joints: [G,J,3]; miss: [G] metres."""

    pairs: np.ndarray
    joints: np.ndarray
    miss: np.ndarray


def _guesses(rays: DetectionRays) -> _Guesses:
    """Pairs of different views' detections whose rays meet, in front of both cameras, the best first."""
    first, second = np.nonzero(rays.view[:, None] < rays.view[None, :])
    a, b = rays[first], rays[second]
    straight, mirrored = _meeting(a, b), _meeting(a, b.mirrored())
    swapped = swapped_parts(*(part_means(miss, weight) for _, miss, weight in (straight, mirrored)))
    joints, miss, weight = _meeting(a, b.reordered(swapped))
    enough = (weight > 0).sum(axis=-1) >= NUMBERS.least_joints
    mean = (miss * weight).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9) + _size_cost(joints)
    order = np.argsort(np.where(enough, mean, np.inf), kind="stable")[: NUMBERS.most_guesses]
    order = order[enough[order] & (mean[order] < NUMBERS.pair_tolerance)]
    return _Guesses(np.stack([first, second], axis=1)[order], joints[order], mean[order])


def _meeting(a: DetectionRays, b: DetectionRays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the rays of pairs of people pass each other: midpoints [M,J,3], distances [M,J], weights [M,J].

    The midpoint is NaN, and its weight 0, where one of the two does not see the joint or the rays are parallel.
    """
    least = float(np.sin(NUMBERS.narrow) ** 2)
    at_a, at_b, squared_sine = crossing(a.origin[:, None], a.direction, b.origin[:, None], b.direction, least)
    on_a = a.origin[:, None] + at_a[..., None] * a.direction
    on_b = b.origin[:, None] + at_b[..., None] * b.direction
    ahead = (at_a > NUMBERS.nearest) & (at_b > NUMBERS.nearest)
    miss = np.where(ahead, np.minimum(np.linalg.norm(on_a - on_b, axis=-1), NUMBERS.joint_limit), NUMBERS.joint_limit)
    weight = np.sqrt(a.weight * b.weight) * (squared_sine > least)
    return np.where((weight > 0)[..., None], (on_a + on_b) / 2, np.nan), miss, weight


def size_ratio(joints: np.ndarray) -> np.ndarray:
    """How many times as large as grown-ups bodies [G,J,3] are: [G], 1 where no bone is known."""
    ratios = [
        np.linalg.norm(joints[:, first] - joints[:, second], axis=-1) / length for first, second, length in _BONES
    ]
    median = cast("np.ma.MaskedArray", np.ma.median(np.ma.masked_invalid(ratios), axis=0))  # NumPy says no type
    return median.filled(1.0)


def _size_cost(joints: np.ndarray) -> np.ndarray:
    """Metres [G] for bodies [G,J,3] that are larger or smaller than people are."""
    return NUMBERS.size_cost * (np.log(np.maximum(size_ratio(joints), 1e-3)) / np.log(1.5)) ** 2


def _best_together(rays: DetectionRays, guesses: _Guesses) -> list[tuple[np.ndarray, np.ndarray]]:
    """The people: rows [M] of each and joints [J,3] to begin with; no row twice.

    Maximises, over sets of people who share no detection, the sum of how well each detection is explained, less a
    cost for each person.
    """
    worth: dict[tuple[int, ...], tuple[float, int]] = {}
    for start in range(0, len(guesses.pairs), NUMBERS.chunk):
        chunk = slice(start, start + NUMBERS.chunk)
        means = compare(rays, guesses.joints[chunk]).mean
        for offset, (pair, mean) in enumerate(zip(guesses.pairs[chunk], means, strict=True)):
            guess = start + offset
            gains = 1 - mean / NUMBERS.tolerance
            extra = NUMBERS.person_cost + _size_cost(guesses.joints[guess : guess + 1])[0] / NUMBERS.tolerance
            of_views = ([int(row) for row in np.flatnonzero(rays.view == view)] for view in np.unique(rays.view))
            nearest = [max(rows, key=gains.__getitem__) for rows in of_views]
            both: list[int] = pair.tolist()
            for rows in (both, [row for row in nearest if gains[row] > 0]):
                value = float(gains[rows].sum()) - extra
                key = tuple(rows)
                if len(rows) > 1 and value > worth.get(key, (0.0, 0))[0]:
                    worth[key] = value, guess
    if not worth:
        return []
    sets = list(worth)
    columns = np.concatenate([np.full(len(rows), column) for column, rows in enumerate(sets)])
    used = csr_array((np.ones(len(columns)), (np.concatenate(sets), columns)), shape=(len(rays.view), len(sets)))
    solution = milp(
        [-worth[rows][0] for rows in sets],
        integrality=np.ones(len(sets), dtype=int),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(used, ub=1),
    )
    chosen = [sets[i] for i in np.flatnonzero(np.asarray(solution.x) > 0.5)]
    return [(np.array(rows), guesses.joints[worth[rows][1]]) for rows in chosen]


# ------------------------------------------------------------------------------------------------- triangulated people


@dataclass(frozen=True)
class _Body:
    """A person. rows: [M] detections; joints: [J,3] metres, NaN where unknown."""

    rows: np.ndarray
    joints: np.ndarray


def _triangulated(rays: DetectionRays, rows: np.ndarray, start: np.ndarray) -> _Body:
    """The body that the detections `rows` [M] see, robustly; start: [J,3] roughly where, NaN for unknown joints."""
    own = rays[rows]
    joints, swapped = _triangulated_again(own, start)
    for _ in range(NUMBERS.rounds - 1):
        joints, swapped = _triangulated_again(own, joints)
    # Most views are right about what is left.
    trust = own.weight.sum(axis=-1)
    wrong = (trust[:, None] * (2 * swapped - 1.0)).sum(axis=0) > 0
    return _Body(rows, np.where(per_joint(wrong)[:, None], joints[MIRRORED], joints))


def _triangulated_again(own: DetectionRays, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints [J,3] from the rays of M people that pass near the former ones, and whose parts [M,3] are exchanged."""
    found = compare(own, joints[None])
    turned = own.reordered(found.swapped[0])
    known = np.isfinite(joints).all(axis=-1)
    doubt = np.where(known, robust_weight(found.miss[0], NUMBERS.robust_scale), 1.0)
    distance = np.linalg.norm(np.nanmean(joints, axis=0) - turned.origin, axis=-1)
    weight = turned.weight * doubt / np.maximum(distance, NUMBERS.nearest)[:, None] ** 2
    return _nearest_points(turned, weight), found.swapped[0]


def _nearest_points(rays: DetectionRays, weight: np.ndarray) -> np.ndarray:
    """Points [J,3] of least weighted squared distance from the rays of M people; NaN where fewer than two tell."""
    direction, origin = torch.from_numpy(rays.direction), torch.from_numpy(rays.origin)
    equations = normal_equations(origin, across(direction), torch.from_numpy(weight)[None])
    matrix, right = (values[0].numpy() for values in equations)
    total = weight.sum(axis=0)
    matrix = matrix / np.maximum(total, 1e-12)[:, None, None]
    # Two unit rays at a small angle have a smallest eigenvalue of its square over four.
    good = (np.linalg.eigvalsh(matrix)[:, 0] > NUMBERS.narrow**2 / 4) & ((weight > 0).sum(axis=0) > 1)
    matrix[~good] = np.eye(3)
    target = (right / np.maximum(total, 1e-12)[:, None])[..., None]
    points = cast("np.ndarray", np.linalg.solve(matrix, target))[..., 0]  # NumPy says no type
    return np.where(good[:, None], points, np.nan)


def _settled(people: list[_Body], rays: DetectionRays) -> list[_Body]:
    """Assign each view's detections to the people and triangulate again until nothing changes."""
    for _ in range(NUMBERS.rounds):
        people = [person for person in people if np.isfinite(person.joints).all(axis=-1).sum() >= NUMBERS.least_joints]
        people = _without_doubles(people)
        if not people:
            break
        means = compare(rays, np.stack([person.joints for person in people])).mean
        rows: list[list[int]] = [[] for _ in people]
        for view in np.unique(rays.view):
            own = np.flatnonzero(rays.view == view)
            for person, column in zip(
                *linear_sum_assignment(np.minimum(means[:, own], NUMBERS.tolerance)), strict=True
            ):
                if means[person, own[column]] < NUMBERS.tolerance:
                    rows[person].append(own[column])
        before = [person.rows.tolist() for person in people]
        if rows == before:
            break
        people = [
            _triangulated(rays, np.array(now), person.joints)
            for now, person in zip(rows, people, strict=True)
            if len(now) > 1
        ]
    return people


def _without_doubles(people: list[_Body]) -> list[_Body]:
    """Of bodies in the same place only the one that most views see."""
    kept: list[_Body] = []
    for person in sorted(people, key=lambda one: -len(one.rows)):
        if not any(_in_same_place(person, other) for other in kept):
            kept.append(person)
    return kept


def _in_same_place(first: _Body, second: _Body) -> bool:
    """Whether bodies' joints that both have, enough of them, are next to each other."""
    apart = np.asarray(np.linalg.norm(first.joints - second.joints, axis=-1))
    enough = int(np.isfinite(apart).sum()) >= NUMBERS.least_joints
    return enough and not float(np.nanmean(apart)) > NUMBERS.same_place


def _person_views(person: _Body, rays: DetectionRays, views: Sequence[ViewDetections]) -> PersonViews:
    indices: list[int | None] = [None] * len(views)
    errors, misses = np.full(len(views), np.nan), np.full(len(views), np.nan)
    found = compare(rays[person.rows], person.joints[None])
    for position, row in enumerate(person.rows):
        number, index = int(rays.view[row]), int(rays.index[row])
        view, weight = views[number], found.weight[0, position]
        order = np.where(per_joint(found.swapped[0, position]), MIRRORED, np.arange(len(MIRRORED)))
        pixels = np.asarray(view.joints2d)[index][order]
        projected = (person.joints @ view.R.T + view.t) @ view.K.T
        off = np.linalg.norm(projected[:, :2] / projected[:, 2:] - pixels, axis=-1)
        seen = weight > 0
        indices[number], misses[number] = index, found.mean[0, position]
        errors[number] = off[seen].mean() if seen.any() else np.nan
    return PersonViews(tuple(indices), person.joints, errors, misses)
