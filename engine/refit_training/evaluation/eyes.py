# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that see the 17 COCO joints of a person in a picture, each on its own."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import Crop, crop_matrix, cut, invert, transform
from refit_engine.detect import COCO_JOINT_NAMES
from refit_engine.network.backbones.blazepose import LANDMARK_NAMES, load_blazepose
from refit_engine.thunder import ThunderKeypoints

from .measure_landmarks import find_landmarks

THUNDER_PADDING = 1.25
"""Sides of the person's box that Thunder sees: what it is most exact with on photos (hand-marked sports photos)."""
_COCO = [LANDMARK_NAMES.index(name) for name in COCO_JOINT_NAMES]


class Eye(Protocol):
    """A network that sees joints."""

    name: str

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the person in a box [4] of an RGB picture [H,W,3] uint8: pixels [17,2] (corner origin, NaN where nobody is seen)
        and scores [17], 0 to 1, in the order of `COCO_JOINT_NAMES`."""
        ...


class BlazePoseEye:
    """BlazePose heavy as it was given, its landmarks refined from the heatmaps: not the backbone that bodies come from."""

    name = "BlazePose"

    def __init__(self, thunder: ThunderKeypoints) -> None:
        self._network, self._thunder = load_blazepose(), thunder

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, visibility = find_landmarks(image, box_xywh, self._network, self._thunder, again=True)
        return points[_COCO], visibility[_COCO]


class ThunderEye:
    """MoveNet Thunder, in a plain crop."""

    name = "Thunder"

    def __init__(self, thunder: ThunderKeypoints) -> None:
        self._thunder = thunder

    def joints(self, image: np.ndarray, box_xywh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y, w, h = box_xywh
        intrinsics = choose_intrinsics(*image.shape[1::-1])
        crop = Crop(np.array([x + w / 2, y + h / 2]), THUNDER_PADDING * max(w, h))
        seen = self._thunder.look(cut(image, crop, intrinsics))
        return transform(invert(crop_matrix(crop, intrinsics)), seen[:, :2]), seen[:, 2]


def all_eyes() -> list[Eye]:
    """The eyes of the yardstick. Raises WeightsFileError."""
    thunder = ThunderKeypoints()
    return [BlazePoseEye(thunder), ThunderEye(thunder)]
