# SPDX-License-Identifier: GPL-3.0-or-later
"""Upright crops: centred on the hips and turned until the trunk points up, as the compact network was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..camera import Intrinsics
from ..crop import Crop, crop_matrix, cut, invert, rounded_crop, transform, upright_crop
from ..detect import Detection, PersonDetector
from .boxes import overlap

WIDER = 1.5
"""The detector sees this much more than the box's crop: it misses people who fill the picture."""
QUARTER_TURNS = (0.0, np.pi / 2, np.pi, -np.pi / 2)
SURE = 0.3
"""Score from which the first look is believed; below, the other quarter turns are tried."""
SAME_PERSON = 0.2
"""Least intersection over union of the given box with the box of whom the detector sees."""
FAR, SIZES = 0.6, (0.35, 2.5)
"""An upright crop whose middle is farther off, or whose side is another, in sides of the given crop, is a mistake."""
MOVED, RESIZED, TURNED = 0.05, 0.1, np.radians(10)
"""By so many sides, so much of the logarithm of the side, and so many radians a crop may be off,"""
OFF = 1.5
"""and by this sum of all three, each in its unit, before a second look pays."""


class Standing(NamedTuple):
    """A crop in which a person stands upright."""

    crop: Crop
    joints: np.ndarray | None
    """[17,3] source pixels and score of the joints that asked for it; None if they were not seen."""


def stand_up(
    pixels: np.ndarray, crop: Crop, box_xywh: np.ndarray, intrinsics: Intrinsics, detector: PersonDetector
) -> Standing:
    """The crop that the joints of the person in a box ask for; the given crop where the detector sees nobody there.

    pixels: [H,W,3] uint8 RGB; box_xywh: [4] source pixels, with the crop around it.
    """
    best, best_score = Standing(crop, None), 0.0
    for turn in QUARTER_TURNS:
        view = replace(crop, side=WIDER * crop.side, roll=crop.roll + turn)
        person = person_in_box(detector.detect(cut(pixels, view, intrinsics)), box_xywh, view, intrinsics)
        if person is not None and person.score > best_score:
            turned = rounded_crop(upright_crop(view, intrinsics, *person.circle()))
            moved = float(np.hypot(*(turned.center - crop.center))) / crop.side
            if moved < FAR and SIZES[0] < turned.side / crop.side < SIZES[1]:
                places = transform(invert(crop_matrix(view, intrinsics)), person.joints[:, :2])
                best = Standing(turned, np.column_stack([places, person.joints[:, 2]]))
                best_score = person.score
        if best_score >= SURE:
            break
    return best


def look_again(crop: Crop, intrinsics: Intrinsics, circle: np.ndarray) -> Crop | None:
    """The crop that the backbone's own circle [2,2] (see `BackboneOutput`) asks for, None if the one it saw will do."""
    better = upright_crop(crop, intrinsics, *circle)
    moved = float(np.hypot(*(better.center - crop.center))) / crop.side
    resized = abs(float(np.log(better.side / crop.side)))
    turned = abs((better.roll - crop.roll + np.pi) % (2 * np.pi) - np.pi)
    if moved > FAR or not SIZES[0] < better.side / crop.side < SIZES[1]:
        return None
    return better if moved / MOVED + resized / RESIZED + turned / TURNED > OFF else None


def person_in_box(
    people: list[Detection], box_xywh: np.ndarray, view: Crop, intrinsics: Intrinsics
) -> Detection | None:
    """Who, of the people seen in a crop, the box [4] of source pixels is about."""
    x, y, w, h = box_xywh
    corners = transform(crop_matrix(view, intrinsics), np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]))
    return person_between(people, corners.min(axis=0), corners.max(axis=0))


def person_between(people: list[Detection], low: np.ndarray, high: np.ndarray) -> Detection | None:
    """Who, of the people seen in a picture, has most in common with the box from `low` to `high` [2], if it is enough."""
    if not people:
        return None
    overlaps = overlap(np.concatenate([low, high - low]), np.array([person.bbox_xywh for person in people]))
    best = int(np.argmax(overlaps))
    return people[best] if overlaps[best] >= SAME_PERSON else None
