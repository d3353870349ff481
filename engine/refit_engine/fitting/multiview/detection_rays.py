# SPDX-License-Identifier: GPL-3.0-or-later
"""The sight rays of detected people, and how far they pass bodies: what matching compares.

Within the face, the arms and the legs a detector takes left for right as a whole: each of these parts is compared both
ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...body.joints import mirrored_order
from ...detect import COCO_JOINT_NAMES, SEEN_JOINT


@dataclass(frozen=True)
class MatchingNumbers:
    """Numbers of matching, set by the sizes that are named beside them.

    tests/engine/test_matching.py holds them to synthetic people and cameras, and 16 frames of two recordings were
    looked at (docs/multi-view-accuracy.md, "Who is who").
    """

    pair_tolerance: float = 0.2
    """Metres by which two views' rays may miss each other, on average over joints, where they found a person."""
    tolerance: float = 0.3
    """Metres by which a view's rays may miss a person: detectors err by some 5 cm, a camera turned by 3° at 4 m by
    20."""
    joint_limit: float = 0.6
    """Metres beyond which a joint is wrong anyhow, and counts no more for being farther off."""
    swap_share: float = 0.7
    swap_least: float = 0.05
    """Left and right are taken for exchanged where that leaves less than a share of the miss and saves some metres."""
    same_place: float = 0.15
    """Metres between two bodies' joints, on average, below which they are one person detected twice."""
    narrow: float = float(np.radians(2.0))
    """Rays that meet at a smaller angle tell no depth."""
    nearest: float = 0.2
    """Metres before a camera where a body can begin."""
    robust_scale: float = 0.08
    """Metres at which a ray counts a quarter of an exact one in triangulation."""
    least_joints: int = 3
    most_guesses: int = 2000
    chunk: int = 200
    """Guesses that are compared at once."""
    rounds: int = 8
    person_cost: float = 1.0
    """What a person must explain, in perfectly explained detections: one person in four views beats two in two."""
    size_cost: float = 0.03
    """Metres added to the miss of a body 1.5 times too large or small. Cameras at the same height need it: there, the
    rays of all people of one height meet."""


NUMBERS = MatchingNumbers()
MIRRORED = np.array(mirrored_order(COCO_JOINT_NAMES))
# Within each of these, a detector takes left for right as a whole: face, arms, legs.
_PARTS = (np.arange(0, 5), np.arange(5, 11), np.arange(11, 17))


@dataclass(frozen=True)
class ViewDetections:
    """The people whom a detector sees in one view of the world; P may be 0.

    K: [3,3]; R: [3,3], t: [3] world to camera, metres (camera: X right, Y down, Z forward).
    joints2d: [P,17,2] pixels of the undistorted image, origin at the corner of its first pixel, in the order of
    `detect.COCO_JOINT_NAMES`; joint_scores: [P,17] 0 to 1; boxes: [P,4] x, y, width, height in pixels.
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    joints2d: np.ndarray
    joint_scores: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class DetectionRays:
    """All views' detections in one row: N people with J joints.

    view: [N]; index: [N] within the view; origin: [N,3] metres; direction: [N,J,3] unit; weight: [N,J] 0 where unseen.
    """

    view: np.ndarray
    index: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    weight: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> DetectionRays:
        return DetectionRays(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def mirrored(self) -> DetectionRays:
        """Left and right exchanged."""
        return replace(self, direction=self.direction[:, MIRRORED], weight=self.weight[:, MIRRORED])

    def reordered(self, swapped: np.ndarray) -> DetectionRays:
        """Left and right exchanged in those of the N people's parts that are `swapped` [N,3]."""
        joints = per_joint(swapped)
        other = self.mirrored()
        return replace(
            self,
            direction=np.where(joints[..., None], other.direction, self.direction),
            weight=np.where(joints, other.weight, self.weight),
        )


def detection_rays(views: Sequence[ViewDetections]) -> DetectionRays:
    count = [len(view.joints2d) for view in views]
    joints = len(COCO_JOINT_NAMES)
    parts = [(np.empty((0, 3)), np.empty((0, joints, 3)), np.empty((0, joints)))]
    for view, people in zip(views, count, strict=True):
        pixels = np.asarray(view.joints2d, dtype=np.float64).reshape(people, joints, 2)
        scores = np.asarray(view.joint_scores, dtype=np.float64).reshape(people, joints)
        seen = np.isfinite(pixels).all(axis=-1) & (scores > SEEN_JOINT)
        pixels = np.where(seen[..., None], pixels, 0.0)
        direction = np.concatenate([pixels, np.ones((people, joints, 1))], axis=-1) @ np.linalg.inv(view.K).T @ view.R
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        parts.append((np.tile(-view.R.T @ view.t, (people, 1)), direction, np.where(seen, scores, 0.0)))
    return DetectionRays(
        np.repeat(np.arange(len(views)), count),
        np.concatenate([np.empty(0, dtype=int), *(np.arange(people) for people in count)]),
        *(np.concatenate(values) for values in zip(*parts, strict=True)),
    )


def per_joint(parts: np.ndarray) -> np.ndarray:
    """[...,3] of the parts to [...,17] of their joints."""
    return np.repeat(parts, [len(part) for part in _PARTS], axis=-1)


def part_means(misses: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means [...,3] of values [...,17] over the parts; 0 for a part without weight."""
    starts = [part[0] for part in _PARTS]
    return np.add.reduceat(misses * weight, starts, axis=-1) / np.maximum(
        np.add.reduceat(weight, starts, axis=-1), 1e-9
    )


def swapped_parts(straight: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Where, by the mean misses [...,3] of the parts, left and right are exchanged."""
    return (mirrored < NUMBERS.swap_share * straight) & (mirrored < straight - NUMBERS.swap_least)


@dataclass(frozen=True)
class Comparison:
    """G bodies against N people. mean: [G,N] metres; miss, weight: [G,N,J]; swapped: [G,N,3] (parts)."""

    mean: np.ndarray
    miss: np.ndarray
    weight: np.ndarray
    swapped: np.ndarray


def compare(rays: DetectionRays, joints: np.ndarray) -> Comparison:
    """How far the rays of N people pass bodies [G,J,3] (NaN: unknown joint), each part whichever way round fits."""
    known = np.asarray(np.isfinite(joints).all(axis=-1))[:, None]
    points = np.nan_to_num(joints)[:, None]
    ways: list[tuple[np.ndarray, np.ndarray]] = []
    for one in (rays, rays.mirrored()):
        to = points - one.origin[:, None]
        along = np.einsum("gnjd,njd->gnj", to, one.direction)
        off = np.sqrt(np.maximum(np.einsum("gnjd,gnjd->gnj", to, to) - along**2, 0))
        miss = np.where(along > NUMBERS.nearest, np.minimum(off, NUMBERS.joint_limit), NUMBERS.joint_limit)
        ways.append((miss, one.weight * known))
    swapped = swapped_parts(*(part_means(*way) for way in ways))
    (miss, weight), (mirrored_miss, mirrored_weight) = ways
    joints_swapped = per_joint(swapped)
    miss, weight = np.where(joints_swapped, mirrored_miss, miss), np.where(joints_swapped, mirrored_weight, weight)
    enough = (weight > 0).sum(axis=-1) >= NUMBERS.least_joints
    mean = (miss * weight).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1e-9)
    return Comparison(np.where(enough, mean, NUMBERS.joint_limit), miss, weight, swapped)
