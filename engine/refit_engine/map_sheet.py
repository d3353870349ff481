# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint maps drawn over the crop that they belong to: one tile a keypoint, and a sheet of all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .crop import CROP_SIZE

if TYPE_CHECKING:
    from .fitting.feature_maps import FeatureMaps

TILE, CAPTION = 192, 20
"""Side of a tile and height of the name above it, pixels."""
ASPECT = 1.4
"""Width of the sheet in its height, about that of an image editor."""
STRONGEST, BORDER = 99.5, 4
"""Percentile of a map's distance from its median that gets the full colour, and the cells at the map's border that have no
part in it: the backbone sees the crop's end there."""
PEAK, VALLEY = np.array([235, 60, 40], np.float32), np.array([40, 110, 245], np.float32)
FIRST, LAST, OUTLINE, PAPER, INK = (255, 255, 255), (255, 225, 60), (15, 15, 15), (38, 38, 38), (235, 235, 235)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_tile(maps: FeatureMaps, keypoint: int) -> np.ndarray:
    """One keypoint's map over the crop, its name above: [212,192,3] uint8 RGB.

    Red is above the map's median, blue below; a ring is the body's keypoint at T = 0, a cross the one after the last iteration.
    """
    picture = _faded(maps.crop)
    values = maps.maps[keypoint] - np.median(maps.maps[keypoint])
    full = np.percentile(np.abs(values[BORDER:-BORDER, BORDER:-BORDER]), STRONGEST)
    signed = _over_crop(values)
    strength = np.abs(signed) / max(float(full), 1e-12)
    opacity = 0.9 * np.clip(strength, 0, 1)[..., None] ** 1.5
    tint = np.where(signed[..., None] > 0, PEAK, VALLEY)
    picture = (picture * (1 - opacity) + tint * opacity).astype(np.uint8)
    _mark_first(picture, maps.first[keypoint])
    _mark_last(picture, maps.last[keypoint])
    return _captioned(picture, maps.names[keypoint])


def draw_sheet(maps: FeatureMaps) -> np.ndarray:
    """All tiles below a line that says what they show; the first tile is the crop with all keypoints: [H,W,3] uint8 RGB."""
    overview = cv2.resize(maps.crop, (TILE, TILE), interpolation=cv2.INTER_AREA)
    for point in maps.last:
        cv2.circle(overview, _place(point), 2, LAST, -1, cv2.LINE_AA)
    tiles = [_captioned(overview, f"all, T = {maps.iterations}")]
    tiles += [draw_tile(maps, keypoint) for keypoint in range(len(maps.maps))]
    columns = max(1, round(math.sqrt(ASPECT * len(tiles))))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    blank = np.full_like(tiles[0], PAPER)
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return np.concatenate([_legend(maps, columns * TILE), *(np.concatenate(row, axis=1) for row in rows)])


def _legend(maps: FeatureMaps, width: int) -> np.ndarray:
    line = np.full((2 * CAPTION, width, 3), PAPER, np.uint8)
    text = f"{maps.weights_name}: {len(maps.names)} keypoint maps, red above the median, blue below.   ring: T = 0   cross: T = "
    cv2.putText(line, f"{text}{maps.iterations}", (8, 26), _FONT, 0.5, INK, 1, cv2.LINE_AA)
    return line


def _captioned(picture: np.ndarray, name: str) -> np.ndarray:
    caption = np.full((CAPTION, TILE, 3), PAPER, np.uint8)
    cv2.putText(caption, name.replace("_", " "), (4, 14), _FONT, 0.38, INK, 1, cv2.LINE_AA)
    tile = np.concatenate([caption, picture])
    tile[:, -1] = PAPER
    return tile


def _faded(crop: np.ndarray) -> np.ndarray:
    """The crop as a tile [192,192,3] float32, grey, so that the colours are the map's alone."""
    grey = cv2.cvtColor(cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return 40 + 0.62 * grey[..., None].astype(np.float32).repeat(3, axis=2)


def _over_crop(values: np.ndarray) -> np.ndarray:
    """A map [N,N] as large as a tile [192,192], its values where the network's look-up finds them."""
    places = ((np.arange(TILE) + 0.5) / TILE * len(values)).astype(np.float32)
    x, y = np.meshgrid(places, places)
    return cv2.remap(values.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _place(point: np.ndarray) -> tuple[int, int]:
    """Crop pixels in a tile; far outside of it where the point is."""
    x, y = np.clip(point * (TILE / CROP_SIZE), -9999, 9999)
    return round(float(x - 0.5)), round(float(y - 0.5))


def _mark_first(picture: np.ndarray, point: np.ndarray) -> None:
    cv2.circle(picture, _place(point), 6, OUTLINE, 3, cv2.LINE_AA)
    cv2.circle(picture, _place(point), 6, FIRST, 1, cv2.LINE_AA)


def _mark_last(picture: np.ndarray, point: np.ndarray) -> None:
    cv2.drawMarker(picture, _place(point), OUTLINE, cv2.MARKER_CROSS, 13, 3, cv2.LINE_AA)
    cv2.drawMarker(picture, _place(point), LAST, cv2.MARKER_CROSS, 11, 1, cv2.LINE_AA)
