# SPDX-License-Identifier: GPL-3.0-or-later
"""Straight line segments of a picture, those of the place rather than of the people in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORKING_SIDE = 640
"""Longest side, pixels, of the picture that segments are looked for in."""
LONGEST = 110
SHORTEST = 0.018
"""Segments shorter than this share of the diagonal turn with the pixels."""
BORDER_PX = 3.0
BOX_MARGIN = 0.05


@dataclass(frozen=True)
class Segments:
    """Straight segments [S], longest first, in units of the picture's diagonal, counted from the principal point.

    middles [S,2]; tangents [S,2] unit vectors; lengths [S]. y is stretched so that pixels are square.
    """

    middles: np.ndarray
    tangents: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)


def find_segments(pixels: np.ndarray, boxes_xywh: np.ndarray, K: np.ndarray) -> Segments:
    """The longest segments of a picture [H,W,3] RGB outside people's boxes [N,4] and off its border.

    K [3,3]: principal point and pixel aspect are taken from it, the focal length is not.
    """
    height, width = pixels.shape[:2]
    scale = WORKING_SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.cvtColor(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY
    )
    lines = cv2.createLineSegmentDetector().detect(grey)[0]
    # OpenCV gives None, unlike its stubs, where there are no segments.
    none = lines is None  # pyright: ignore[reportUnnecessaryComparison]
    ends = np.zeros((0, 2, 2)) if none else lines.reshape(-1, 2, 2).astype(np.float64) + 0.5
    ends = ends[~_at_border(ends, size)] * (width / size[0], height / size[1])
    ends = ends[~_in_boxes(ends.mean(axis=1), boxes_xywh)]
    ends = (ends - K[:2, 2]) * (1.0, K[0, 0] / K[1, 1]) / np.hypot(width, height)
    along = ends[:, 1] - ends[:, 0]
    lengths = np.linalg.norm(along, axis=1)
    kept = np.argsort(-lengths, kind="stable")[:LONGEST]
    kept = kept[lengths[kept] > SHORTEST]
    return Segments(ends[kept].mean(axis=1), along[kept] / lengths[kept, None], lengths[kept])


def _at_border(ends: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Segments [S,2,2] both of whose ends lie at the same side of the picture: frames, not things."""
    near = np.concatenate([ends < BORDER_PX, ends > np.array(size) - BORDER_PX], axis=-1)
    return np.any(np.all(near, axis=1), axis=-1)


def _in_boxes(points: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
    """Which points [S,2] lie in a box [N,4] that is a little enlarged."""
    corner, side = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    low, high = corner - BOX_MARGIN * side, corner + (1 + BOX_MARGIN) * side
    return np.any(np.all((points[:, None] > low) & (points[:, None] < high), axis=-1), axis=1)


def turned(segments: Segments, quarter_turns: int) -> Segments:
    """The segments of the picture after clockwise quarter turns about its principal point."""
    c, s = round(np.cos(quarter_turns * np.pi / 2)), round(np.sin(quarter_turns * np.pi / 2))
    turn = np.array([[c, -s], [s, c]], np.float64)
    return Segments(segments.middles @ turn.T, segments.tangents @ turn.T, segments.lengths)
