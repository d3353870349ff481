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
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import csr_array

from ...detect import JOINT_NAMES, SEEN_JOINT

__all__ = ["PersonViews", "ViewDetections", "match_people", "size_ratio"]

PAIR_TOLERANCE = 0.2
"""Metres by which two views' rays may miss each other, on average over joints, where they found a person."""
TOLERANCE = 0.3
"""Metres by which a view's rays may miss a person: detectors err by some 5 cm, a camera turned by 3° at 4 m by 20."""
JOINT_LIMIT = 0.6
"""Metres beyond which a joint is wrong anyhow, and counts no more for being farther off."""
SWAP_SHARE, SWAP_LEAST = 0.7, 0.05
"""Left and right are taken for exchanged where that leaves less than a share of the miss and saves some metres."""
SAME_PLACE = 0.15
"""Metres between two bodies' joints, on average, below which they are one person detected twice."""
NARROW = np.radians(2.0)
"""Rays that meet at a smaller angle tell no depth."""
NEAREST = 0.2
"""Metres before a camera where a body can begin."""
ROBUST_SCALE = 0.08
"""Metres at which a ray counts a quarter of an exact one in triangulation."""
MIN_JOINTS = 3
MAX_GUESSES, CHUNK = 2000, 200
ROUNDS = 8
PERSON_COST = 1.0
"""What a person must explain, in perfectly explained detections: one person in four views beats two in two."""
SIZE_COST = 0.03
"""Metres added to the miss of a body 1.5 times too large or small. Cameras at the same height need it: there, the
rays of all people of one height meet."""

_MIRROR = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
# Within each of these, a detector takes left for right as a whole: face, arms, legs.
_PARTS = (np.arange(0, 5), np.arange(5, 11), np.arange(11, 17))
# Joints and the distance between them in grown-ups, metres.
_BONES = tuple(
    (JOINT_NAMES.index(f"{side}_{first}"), JOINT_NAMES.index(f"{side}_{second}"), length)
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
class ViewDetections:
    """The people whom a detector sees in one view of the world; P may be 0.

    K: [3,3]; R: [3,3], t: [3] world to camera, metres (camera: X right, Y down, Z forward).
    joints2d: [P,17,2] pixels of the undistorted image, origin at the corner of its first pixel, in the order of
    `detect.JOINT_NAMES`; joint_scores: [P,17] 0 to 1; boxes: [P,4] x, y, width, height in pixels.
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    joints2d: np.ndarray
    joint_scores: np.ndarray
    boxes: np.ndarray


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
    rays = _rays(views)
    guesses = _guesses(rays)
    people = _settled([_triangulated(rays, *person) for person in _best_together(rays, guesses)], rays)
    area = np.concatenate([np.empty(0), *(np.prod(np.reshape(view.boxes, (-1, 4))[:, 2:], axis=1) for view in views)])
    people.sort(key=lambda person: -area[person.rows].mean())
    return [_person_views(person, rays, views) for person in people]


# ------------------------------------------------------------------------------------------------- rays and distances


@dataclass(frozen=True)
class _Rays:
    """All views' detections in one row: N people with J joints.

    view: [N]; index: [N] within the view; origin: [N,3] metres; direction: [N,J,3] unit; weight: [N,J] 0 where unseen.
    """

    view: np.ndarray
    index: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    weight: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> _Rays:
        return _Rays(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def mirrored(self) -> _Rays:
        """Left and right exchanged."""
        return replace(self, direction=self.direction[:, _MIRROR], weight=self.weight[:, _MIRROR])

    def reordered(self, swapped: np.ndarray) -> _Rays:
        """Left and right exchanged in those of the N people's parts that are `swapped` [N,3]."""
        joints = _per_joint(swapped)
        other = self.mirrored()
        return replace(
            self,
            direction=np.where(joints[..., None], other.direction, self.direction),
            weight=np.where(joints, other.weight, self.weight),
        )


def _rays(views: Sequence[ViewDetections]) -> _Rays:
    count = [len(view.joints2d) for view in views]
    joints = len(JOINT_NAMES)
    parts = [(np.empty((0, 3)), np.empty((0, joints, 3)), np.empty((0, joints)))]
    for view, people in zip(views, count, strict=True):
        pixels = np.asarray(view.joints2d, dtype=np.float64).reshape(people, joints, 2)
        scores = np.asarray(view.joint_scores, dtype=np.float64).reshape(people, joints)
        seen = np.isfinite(pixels).all(axis=-1) & (scores > SEEN_JOINT)
        pixels = np.where(seen[..., None], pixels, 0.0)
        direction = np.concatenate([pixels, np.ones((people, joints, 1))], axis=-1) @ np.linalg.inv(view.K).T @ view.R
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        parts.append((np.tile(-view.R.T @ view.t, (people, 1)), direction, np.where(seen, scores, 0.0)))
    return _Rays(
        np.repeat(np.arange(len(views)), count),
        np.concatenate([np.empty(0, dtype=int), *(np.arange(people) for people in count)]),
        *(np.concatenate(values) for values in zip(*parts, strict=True)),
    )


def _per_joint(parts: np.ndarray) -> np.ndarray:
    """[...,3] of the parts to [...,17] of their joints."""
    return np.repeat(parts, [len(part) for part in _PARTS], axis=-1)


def _part_means(misses: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means [...,3] of values [...,17] over the parts; 0 for a part without weight."""
    starts = [part[0] for part in _PARTS]
    return np.add.reduceat(misses * weight, starts, axis=-1) / np.maximum(
        np.add.reduceat(weight, starts, axis=-1), 1e-9
    )


def _swapped(straight: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Where, by the mean misses [...,3] of the parts, left and right are exchanged."""
    return (mirrored < SWAP_SHARE * straight) & (mirrored < straight - SWAP_LEAST)


@dataclass(frozen=True)
class _Comparison:
    """G bodies against N people. mean: [G,N] metres; miss, weight: [G,N,J]; swapped: [G,N,3] (parts)."""

    mean: np.ndarray
    miss: np.ndarray
    weight: np.ndarray
    swapped: np.ndarray


def _compare(rays: _Rays, joints: np.ndarray) -> _Comparison:
    """How far the rays of N people pass bodies [G,J,3] (NaN: unknown joint), each part whichever way round fits."""
    known = np.isfinite(joints).all(axis=-1)[:, None]
    points = np.nan_to_num(joints)[:, None]
    ways = []
    for one in (rays, rays.mirrored()):
        to = points - one.origin[:, None]
        along = np.einsum("gnjd,njd->gnj", to, one.direction)
        off = np.sqrt(np.maximum(np.einsum("gnjd,gnjd->gnj", to, to) - along**2, 0))
        miss = np.where(along > NEAREST, np.minimum(off, JOINT_LIMIT), JOINT_LIMIT)
        ways.append((miss, one.weight * known))
    swapped = _swapped(*(_part_means(*way) for way in ways))
    miss, weight = (np.where(_per_joint(swapped), mirror, plain) for plain, mirror in zip(*ways, strict=True))
    enough = (weight > 0).sum(axis=-1) >= MIN_JOINTS
    mean = (miss * weight).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9)
    return _Comparison(np.where(enough, mean, JOINT_LIMIT), miss, weight, swapped)


# ------------------------------------------------------------------------------------------------- guesses from pairs


@dataclass(frozen=True)
class _Guesses:
    """G pairs of detections that may be one person. pairs: [G,2] rows; joints: [G,J,3]; miss: [G] metres."""

    pairs: np.ndarray
    joints: np.ndarray
    miss: np.ndarray


def _guesses(rays: _Rays) -> _Guesses:
    """Pairs of different views' detections whose rays meet, in front of both cameras, the best first."""
    first, second = np.nonzero(rays.view[:, None] < rays.view[None, :])
    a, b = rays[first], rays[second]
    straight, mirrored = _meeting(a, b), _meeting(a, b.mirrored())
    swapped = _swapped(*(_part_means(miss, weight) for _, miss, weight in (straight, mirrored)))
    joints, miss, weight = _meeting(a, b.reordered(swapped))
    enough = (weight > 0).sum(axis=-1) >= MIN_JOINTS
    mean = (miss * weight).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9) + _size_cost(joints)
    order = np.argsort(np.where(enough, mean, np.inf), kind="stable")[:MAX_GUESSES]
    order = order[enough[order] & (mean[order] < PAIR_TOLERANCE)]
    return _Guesses(np.stack([first, second], axis=1)[order], joints[order], mean[order])


def _meeting(a: _Rays, b: _Rays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the rays of pairs of people pass each other: midpoints [M,J,3], distances [M,J], weights [M,J].

    The midpoint is NaN, and its weight 0, where one of the two does not see the joint or the rays are parallel.
    """
    between = (a.origin - b.origin)[:, None]
    cosine = np.einsum("mjd,mjd->mj", a.direction, b.direction)
    along_a = np.einsum("mjd,mjd->mj", a.direction, between)
    along_b = np.einsum("mjd,mjd->mj", b.direction, between)
    squared_sine = 1 - cosine**2
    wide = squared_sine > np.sin(NARROW) ** 2
    squared_sine = np.where(wide, squared_sine, 1.0)
    at_a = (cosine * along_b - along_a) / squared_sine
    at_b = (along_b - cosine * along_a) / squared_sine
    on_a = a.origin[:, None] + at_a[..., None] * a.direction
    on_b = b.origin[:, None] + at_b[..., None] * b.direction
    ahead = (at_a > NEAREST) & (at_b > NEAREST)
    miss = np.where(ahead, np.minimum(np.linalg.norm(on_a - on_b, axis=-1), JOINT_LIMIT), JOINT_LIMIT)
    weight = np.sqrt(a.weight * b.weight) * wide
    return np.where((weight > 0)[..., None], (on_a + on_b) / 2, np.nan), miss, weight


def size_ratio(joints: np.ndarray) -> np.ndarray:
    """How many times as large as grown-ups bodies [G,J,3] are: [G], 1 where no bone is known."""
    ratios = [
        np.linalg.norm(joints[:, first] - joints[:, second], axis=-1) / length for first, second, length in _BONES
    ]
    return np.ma.median(np.ma.masked_invalid(ratios), axis=0).filled(1.0)


def _size_cost(joints: np.ndarray) -> np.ndarray:
    """Metres [G] for bodies [G,J,3] that are larger or smaller than people are."""
    return SIZE_COST * (np.log(np.maximum(size_ratio(joints), 1e-3)) / np.log(1.5)) ** 2


def _best_together(rays: _Rays, guesses: _Guesses) -> list[tuple[np.ndarray, np.ndarray]]:
    """The people: rows [M] of each and joints [J,3] to begin with; no row twice.

    Maximises, over sets of people who share no detection, the sum of how well each detection is explained, less a
    cost for each person.
    """
    worth: dict[tuple[int, ...], tuple[float, int]] = {}
    for start in range(0, len(guesses.pairs), CHUNK):
        chunk = slice(start, start + CHUNK)
        means = _compare(rays, guesses.joints[chunk]).mean
        for offset, (pair, mean) in enumerate(zip(guesses.pairs[chunk], means, strict=True)):
            guess = start + offset
            gains = 1 - mean / TOLERANCE
            extra = PERSON_COST + _size_cost(guesses.joints[guess : guess + 1])[0] / TOLERANCE
            nearest = [max(np.flatnonzero(rays.view == view), key=gains.__getitem__) for view in np.unique(rays.view)]
            for rows in (pair.tolist(), [row for row in nearest if gains[row] > 0]):
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
        integrality=np.ones(len(sets)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(used, ub=1),
    )
    return [(np.array(sets[i]), guesses.joints[worth[sets[i]][1]]) for i in np.flatnonzero(solution.x > 0.5)]


# ------------------------------------------------------------------------------------------------- triangulated people


@dataclass(frozen=True)
class _Body:
    """A person. rows: [M] detections; joints: [J,3] metres, NaN where unknown."""

    rows: np.ndarray
    joints: np.ndarray


def _triangulated(rays: _Rays, rows: np.ndarray, start: np.ndarray) -> _Body:
    """The body that the detections `rows` [M] see, robustly; start: [J,3] roughly where, NaN for unknown joints."""
    own, joints = rays[rows], start
    for _ in range(ROUNDS):
        found = _compare(own, joints[None])
        turned = own.reordered(found.swapped[0])
        known = np.isfinite(joints).all(axis=-1)
        doubt = np.where(known, 1 / (1 + (found.miss[0] / ROBUST_SCALE) ** 2) ** 2, 1.0)
        distance = np.linalg.norm(np.nanmean(joints, axis=0) - turned.origin, axis=-1)
        joints = _nearest_points(turned, turned.weight * doubt / np.maximum(distance, NEAREST)[:, None] ** 2)
    # Most views are right about what is left.
    trust = own.weight.sum(axis=-1)
    wrong = (trust[:, None] * (2 * found.swapped[0] - 1.0)).sum(axis=0) > 0
    return _Body(rows, np.where(_per_joint(wrong)[:, None], joints[_MIRROR], joints))


def _nearest_points(rays: _Rays, weight: np.ndarray) -> np.ndarray:
    """Points [J,3] of least weighted squared distance from the rays of M people; NaN where fewer than two tell."""
    across = np.eye(3) - rays.direction[..., :, None] * rays.direction[..., None, :]
    matrix = np.einsum("mj,mjab->jab", weight, across)
    right = np.einsum("mj,mjab,mb->ja", weight, across, rays.origin)
    total = weight.sum(axis=0)
    matrix = matrix / np.maximum(total, 1e-12)[:, None, None]
    # Two unit rays at a small angle have a smallest eigenvalue of its square over four.
    good = (np.linalg.eigvalsh(matrix)[:, 0] > NARROW**2 / 4) & ((weight > 0).sum(axis=0) > 1)
    matrix[~good] = np.eye(3)
    points = np.linalg.solve(matrix, (right / np.maximum(total, 1e-12)[:, None])[..., None])[..., 0]
    return np.where(good[:, None], points, np.nan)


def _settled(people: list[_Body], rays: _Rays) -> list[_Body]:
    """Assign each view's detections to the people and triangulate again until nothing changes."""
    for _ in range(ROUNDS):
        people = [person for person in people if np.isfinite(person.joints).all(axis=-1).sum() >= MIN_JOINTS]
        people = _without_doubles(people)
        if not people:
            break
        means = _compare(rays, np.stack([person.joints for person in people])).mean
        rows: list[list[int]] = [[] for _ in people]
        for view in np.unique(rays.view):
            own = np.flatnonzero(rays.view == view)
            for person, column in zip(*linear_sum_assignment(np.minimum(means[:, own], TOLERANCE)), strict=True):
                if means[person, own[column]] < TOLERANCE:
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
        apart = [np.linalg.norm(person.joints - other.joints, axis=-1) for other in kept]
        if all(np.isfinite(d).sum() < MIN_JOINTS or np.nanmean(d) > SAME_PLACE for d in apart):
            kept.append(person)
    return kept


def _person_views(person: _Body, rays: _Rays, views: Sequence[ViewDetections]) -> PersonViews:
    indices: list[int | None] = [None] * len(views)
    errors, misses = np.full(len(views), np.nan), np.full(len(views), np.nan)
    found = _compare(rays[person.rows], person.joints[None])
    for position, row in enumerate(person.rows):
        number, index = int(rays.view[row]), int(rays.index[row])
        view, weight = views[number], found.weight[0, position]
        order = np.where(_per_joint(found.swapped[0, position]), _MIRROR, np.arange(len(_MIRROR)))
        pixels = np.asarray(view.joints2d)[index][order]
        projected = (person.joints @ view.R.T + view.t) @ view.K.T
        off = np.linalg.norm(projected[:, :2] / projected[:, 2:] - pixels, axis=-1)
        seen = weight > 0
        indices[number], misses[number] = index, found.mean[0, position]
        errors[number] = off[seen].mean() if seen.any() else np.nan
    return PersonViews(tuple(indices), person.joints, errors, misses)
