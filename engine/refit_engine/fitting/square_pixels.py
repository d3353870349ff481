# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures with pixels that are not square, as anamorphic lenses make them: people are looked for as they look.

The fit itself knows the camera's two focal lengths (`crop`); only the detector, which sees whole pictures, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ..detect import Detection

SQUARE_ENOUGH = 0.03
"""Focal lengths that differ by less, as those of calibrated ordinary lenses do, change no picture."""


def stretch_of(focal: np.ndarray, quarter_turns: int = 0) -> tuple[float, float]:
    """How many times as wide and as high a picture has to become for its pixels to be square; one of them is 1.

    focal: (fx, fy) of the picture as stored; quarter_turns: that make it upright. The answer is for the upright one.
    """
    fx, fy = (float(value) for value in focal)
    if abs(fx / fy - 1) < SQUARE_ENOUGH:
        return 1.0, 1.0
    # Nothing is shrunk, so that nothing is lost.
    across, down = max(1.0, fy / fx), max(1.0, fx / fy)
    return (down, across) if quarter_turns % 2 else (across, down)


def stretched(pixels: np.ndarray, stretch: tuple[float, float]) -> np.ndarray:
    """The picture [H,W,3] with square pixels."""
    if stretch == (1.0, 1.0):
        return pixels
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (round(width * stretch[0]), round(height * stretch[1])), interpolation=cv2.INTER_LINEAR)


def squeezed(people: Sequence[Detection], stretch: tuple[float, float]) -> list[Detection]:
    """People who were found in the stretched picture, in the pixels of the one before."""
    if stretch == (1.0, 1.0):
        return list(people)
    x, y = stretch
    return [
        replace(
            person,
            bbox_xywh=tuple(map(float, np.array(person.bbox_xywh) / (x, y, x, y))),
            joints=(person.joints / (x, y, 1.0)).astype(person.joints.dtype),
        )
        for person in people
    ]
