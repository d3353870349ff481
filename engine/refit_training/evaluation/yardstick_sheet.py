# SPDX-License-Identifier: GPL-3.0-or-later
"""The yardstick drawn over the pictures that it was made from, to be looked at.

    python -m refit_training.evaluation.yardstick_sheet yardstick.npz --rows 5 12 --out sheet.jpg [--recording 0]

Every row of the sheet is one of the yardstick's frames (counted in its own steps), every column a camera. Limbs of the person's left are
orange, of the right blue; joints that are not determined are hollow.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from refit_engine.camera import project
from refit_engine.detect import COCO_JOINT_NAMES
from refit_engine.fitting.multiview.views import View, load_view

from .recording import instants, read_recording
from .yardstick import Yardstick, load_yardsticks

__all__ = ["drawn"]

TILE = 420
_BONES = [
    tuple(COCO_JOINT_NAMES.index(name) for name in bone)
    for side in ("left", "right")
    for bone in (
        (f"{side}_shoulder", f"{side}_elbow"),
        (f"{side}_elbow", f"{side}_wrist"),
        (f"{side}_shoulder", f"{side}_hip"),
        (f"{side}_hip", f"{side}_knee"),
        (f"{side}_knee", f"{side}_ankle"),
        (f"{side}_ear", f"{side}_eye"),
        (f"{side}_eye", "nose"),
    )
]
_COLOURS = {"left": (0, 140, 255), "right": (255, 120, 0)}  # BGR


def drawn(yardstick: Yardstick, row: int, camera: int, view: View) -> np.ndarray:
    """The view's picture [TILE,W,3] uint8 BGR around the people, with the skeletons of one frame."""
    picture = np.ascontiguousarray(view.pixels[..., ::-1])
    width = max(1, round(picture.shape[0] / 400))
    everything = []
    for person in range(len(yardstick.points)):
        points = yardstick.points[person, row]
        if points.shape[1] == 3:
            points = project(points @ yardstick.R[camera].T + yardstick.t[camera], view.intrinsics.K)
        known = np.all(np.isfinite(points), axis=1)
        everything.append(points[known])
        for start, end in _BONES:
            if known[start] and known[end]:
                colour = _COLOURS["left" if COCO_JOINT_NAMES[start].startswith("left") else "right"]
                first, last = (tuple(map(round, map(float, points[one]))) for one in (start, end))
                cv2.line(picture, first, last, colour, width, cv2.LINE_AA)
        for joint in np.flatnonzero(known):
            filled = -1 if yardstick.determined[person, row, joint] else 1
            cv2.circle(
                picture, tuple(map(round, map(float, points[joint]))), 2 * width, (255, 255, 255), filled, cv2.LINE_AA
            )
    return _around(picture, np.concatenate(everything) if everything else np.empty((0, 2)))


def _around(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The part of the picture with the points [N,2] in it, TILE pixels high."""
    height, width = picture.shape[:2]
    if len(points):
        margin = 0.12 * np.ptp(points, axis=0).max()
        low = np.clip(np.floor(points.min(axis=0) - margin), 0, (width - 2, height - 2)).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + margin), low + 2, (width, height)).astype(int)
        picture = picture[low[1] : high[1], low[0] : high[0]]
    scale = TILE / picture.shape[0]
    return cv2.resize(picture, (max(1, round(scale * picture.shape[1])), TILE), interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yardstick", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", required=True)
    parser.add_argument("--recording", type=int, default=0, help="which of the file's recordings, from 0")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    yardstick = load_yardsticks(options.yardstick)[options.recording]
    strips = []
    with tempfile.TemporaryDirectory() as folder:
        for row, requests in enumerate(instants(read_recording(yardstick.recording), yardstick.every, Path(folder))):
            if row in options.rows:
                views = [load_view(request)[0] for request in requests]
                strips.append(np.hstack([drawn(yardstick, row, camera, view) for camera, view in enumerate(views)]))
    widest = max(strip.shape[1] for strip in strips)
    sheet = np.vstack([np.pad(strip, ((0, 0), (0, widest - strip.shape[1]), (0, 0))) for strip in strips])
    cv2.imwrite(str(options.out), sheet, [cv2.IMWRITE_JPEG_QUALITY, 75])


if __name__ == "__main__":
    main()
