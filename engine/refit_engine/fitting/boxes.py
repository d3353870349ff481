# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes around people: (x, y, w, h) in pixels, origin at the corner of the first pixel."""

from __future__ import annotations

import numpy as np

from ..errors import ImageError
from ..images import Photo

MAX_BOXES = 500
MIN_BOX_SIDE = 4  # pixels


def shared_area(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Square pixels [N] that one box [4] has in common with others [N,4]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    return np.clip(high - low, 0, None).prod(axis=1)


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of one box [4] with others [N,4]; 0 where neither has an area."""
    shared = shared_area(box, others)
    return shared / (box[2] * box[3] + others[:, 2] * others[:, 3] - shared + 1e-9)


def turn_boxes(boxes_xywh: np.ndarray, quarter_turns: int, stored_size: tuple[int, int]) -> np.ndarray:
    """Boxes [N,4] of the upright picture in the pixels as stored; `quarter_turns` clockwise made it upright."""
    width, height = stored_size
    if quarter_turns % 2:
        width, height = height, width  # of the upright picture
    x, y, w, h = boxes_xywh.T
    for _ in range(quarter_turns):  # each turns the picture back, counter-clockwise
        x, y, w, h = y, width - x - w, h, w
        width, height = height, width
    return np.stack([x, y, w, h], axis=1)


def checked_boxes(boxes_xywh: np.ndarray, photo: Photo) -> np.ndarray:
    """The user's boxes [N,4]; what is more than a picture's side outside of the picture is cut off.

    Raises ImageError for a box that is empty or does not touch the picture.
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    if not 0 < len(boxes) <= MAX_BOXES:
        raise ImageError(f"Give one to {MAX_BOXES} boxes for {photo.path.name}, not {len(boxes)}.")
    width, height = photo.size
    for x, y, w, h in boxes:
        if 0 < min(w, h) < MIN_BOX_SIDE:
            raise ImageError(f"The box {x:g},{y:g},{w:g},{h:g} is too small: {MIN_BOX_SIDE} pixels a side are needed.")
        overlaps = x < width and y < height and x + w > 0 and y + h > 0
        if not (np.isfinite([x, y, w, h]).all() and min(w, h) > 0 and overlaps):
            raise ImageError(
                f"The box {x:g},{y:g},{w:g},{h:g} does not lie in {photo.path.name} ({width}x{height} pixels)."
            )
    low = np.maximum(boxes[:, :2], -np.array(photo.size))
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], 2 * np.array(photo.size))
    return np.concatenate([low, high - low], axis=1)
