# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that see the 17 COCO joints of a person in a picture, each on its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import box_crop, crop_matrix, cut, invert, transform
from refit_engine.detect import JOINT_NAMES, PersonDetector
from refit_engine.fitting.upright import WIDER, person_in_box
from refit_engine.network.backbones.blazepose import LANDMARK_NAMES, load_blazepose

from .measure_landmarks import find_landmarks

_COCO = [LANDMARK_NAMES.index(name) for name in JOINT_NAMES]


class Eye(Protocol):
    """A network that sees joints."""

    name: str

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the person in a box [4] of an RGB picture [H,W,3] uint8: pixels [17,2] (corner origin, NaN where nobody is seen)
        and scores [17], 0 to 1, in the order of `JOINT_NAMES`."""
        ...


class BlazePoseEye:
    """BlazePose heavy as it was given, its landmarks refined from the heatmaps: not the backbone that bodies come from."""

    name = "BlazePose"

    def __init__(self, detector: PersonDetector) -> None:
        self._network, self._detector = load_blazepose(), detector

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, visibility = find_landmarks(image, box_xywh, self._network, self._detector, again=True)
        return points[_COCO], visibility[_COCO]


class MultiPoseEye:
    """MoveNet MultiPose, the person detector."""

    name = "MultiPose"

    def __init__(self, detector: PersonDetector) -> None:
        self._detector = detector

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        intrinsics = choose_intrinsics(*image.shape[1::-1])
        crop = box_crop(box_xywh, intrinsics)
        wide = replace(crop, side=WIDER * crop.side)
        person = person_in_box(self._detector.detect(cut(image, wide, intrinsics)), box_xywh, wide, intrinsics)
        if person is None:
            return np.full((len(JOINT_NAMES), 2), np.nan), np.zeros(len(JOINT_NAMES))
        return transform(invert(crop_matrix(wide, intrinsics)), person.joints[:, :2]), person.joints[:, 2]


def all_eyes(detector: PersonDetector) -> list[Eye]:
    """The eyes of the yardstick."""
    return [BlazePoseEye(detector), MultiPoseEye(detector)]
