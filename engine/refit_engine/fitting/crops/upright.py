# SPDX-License-Identifier: GPL-3.0-or-later
"""Upright crops: centred on the hips and turned until the trunk points up, as the compact network was trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...camera import Intrinsics
from ...crop import Crop, crop_matrix, cut, invert, rounded_crop, transform, upright_crop
from ...detect import SEEN_JOINT, Detection
from ...movenet import COCO_JOINT_NAMES
from ...thunder import ThunderKeypoints
from ..boxes import overlap

QUARTER_TURNS = (0.0, np.pi / 2, np.pi, -np.pi / 2)


@dataclass(frozen=True)
class UprightNumbers:
    """Numbers of upright alignment; lengths are in sides of the given crop.

    `sure` was chosen on photos with marked points. The limits of what is a mistake were set by hand: they only keep a
    wrong joint from moving a crop away.
    """

    sure: float = 0.5
    """Mean score of joints from which the first turn is believed; below, the other quarter turns are tried, and the
    surest is taken. Of 150 photos with marked points (every second one of the first 300) joints are mostly elsewhere in
    16 with one turn, 13 with turns below 0.4, 11 below 0.5 (1.35 turns a person), 12 below 0.55 (1.65)."""
    same_person: float = 0.2
    """Least intersection over union of the given box with the box around the joints that are seen."""
    limb_ends: float = 1.08
    """Hands, feet and the top of the head lie this much further from the hips than the joints do."""
    far: float = 0.6
    """An upright crop whose middle is farther off is a mistake,"""
    smallest: float = 0.35
    largest: float = 2.5
    """and so is one whose side is less or more than these."""
    moved: float = 0.05
    resized: float = 0.1
    turned: float = float(np.radians(10))
    """By so many sides, so much of the logarithm of the side, and so many radians a crop may be off,"""
    off: float = 1.5
    """and by this sum of all three, each in its unit, before a second crop pays."""


NUMBERS = UprightNumbers()


class UprightCrop(NamedTuple):
    """A crop in which a person stands upright."""

    crop: Crop
    joints: np.ndarray | None
    """[17,3] source pixels and score of the joints that asked for it; None if they were not seen."""


def align_upright(
    pixels: np.ndarray, crop: Crop, box_xywh: np.ndarray, intrinsics: Intrinsics, eye: ThunderKeypoints
) -> UprightCrop:
    """The crop that the joints of the person in a box ask for; the given crop where Thunder sees nobody there.

    pixels: [H,W,3] uint8 RGB; box_xywh: [4] source pixels, with the crop around it.
    """
    best, best_score = UprightCrop(crop, None), 0.0
    for turn in QUARTER_TURNS:
        view = replace(crop, roll=crop.roll + turn)
        joints = eye.look(cut(pixels, view, intrinsics))
        score = float(joints[:, 2].mean())
        if score > best_score and _is_in_box(joints, box_xywh, view, intrinsics):
            turned = rounded_crop(upright_crop(view, intrinsics, *body_circle(joints)))
            moved = float(np.hypot(*(turned.center - crop.center))) / crop.side
            if moved < NUMBERS.far and NUMBERS.smallest < turned.side / crop.side < NUMBERS.largest:
                places = transform(invert(crop_matrix(view, intrinsics)), joints[:, :2])
                best, best_score = UprightCrop(turned, np.column_stack([places, joints[:, 2]])), score
        if best_score >= NUMBERS.sure:
            break
    return best


def body_circle(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the hips [2], and the point [2] where the circle around the body lies in the trunk's direction.

    joints: [17,3] x, y and score in the order of COCO_JOINT_NAMES. What BlazePose's landmarks 33 and 34 tell of an
    upright crop, for any way in which the body is turned.
    """
    points, seen = joints[:, :2].astype(np.float64), joints[:, 2] > SEEN_JOINT
    hip = points[[COCO_JOINT_NAMES.index("left_hip"), COCO_JOINT_NAMES.index("right_hip")]].mean(axis=0)
    neck = points[[COCO_JOINT_NAMES.index("left_shoulder"), COCO_JOINT_NAMES.index("right_shoulder")]].mean(axis=0)
    reach = np.linalg.norm(points[seen] - hip, axis=1).max(initial=0.0)
    trunk = float(np.linalg.norm(neck - hip))
    up = (neck - hip) / trunk if trunk > 0 else np.array([0.0, -1.0])
    return hip, hip + NUMBERS.limb_ends * max(reach, trunk) * up


def refined_crop(crop: Crop, intrinsics: Intrinsics, circle: np.ndarray) -> Crop | None:
    """The crop that the backbone's own circle [2,2] (see `BackboneOutput`) asks for, None if the one it saw will do."""
    better = upright_crop(crop, intrinsics, *circle)
    moved = float(np.hypot(*(better.center - crop.center))) / crop.side
    resized = abs(float(np.log(better.side / crop.side)))
    turned = abs((better.roll - crop.roll + np.pi) % (2 * np.pi) - np.pi)
    if moved > NUMBERS.far or not NUMBERS.smallest < better.side / crop.side < NUMBERS.largest:
        return None
    return better if moved / NUMBERS.moved + resized / NUMBERS.resized + turned / NUMBERS.turned > NUMBERS.off else None


def person_in_box(
    people: list[Detection], box_xywh: np.ndarray, view: Crop, intrinsics: Intrinsics
) -> Detection | None:
    """Who, of the people seen in a crop, has most in common with a box [4] of source pixels, if it is enough."""
    if not people:
        return None
    overlaps = overlap(_in_view(box_xywh, view, intrinsics), np.array([person.bbox_xywh for person in people]))
    best = int(np.argmax(overlaps))
    return people[best] if overlaps[best] >= NUMBERS.same_person else None


def _is_in_box(joints: np.ndarray, box_xywh: np.ndarray, view: Crop, intrinsics: Intrinsics) -> bool:
    """Whether joints [17,3] seen in a crop are of the person in a box [4] of source pixels."""
    seen = joints[joints[:, 2] > SEEN_JOINT, :2]
    if not len(seen):
        return False
    low, high = seen.min(axis=0), seen.max(axis=0)
    around = np.concatenate([low, high - low])[None]
    return bool(overlap(_in_view(box_xywh, view, intrinsics), around)[0] >= NUMBERS.same_person)


def _in_view(box_xywh: np.ndarray, view: Crop, intrinsics: Intrinsics) -> np.ndarray:
    """The box [4] of a crop's pixels around a box [4] of source pixels."""
    x, y, w, h = box_xywh
    corners = transform(crop_matrix(view, intrinsics), np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]))
    return np.concatenate([corners.min(axis=0), np.ptp(corners, axis=0)])
