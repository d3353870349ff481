# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether limbs that a picture's border cuts off are marked as guessed, and those in the picture are not.

    python -m refit_training.evaluation.measure_guesses FOLDER [--start N] [--step N]

FOLDER is that of `measure_landmarks`: photos with points marked by hand. Each photo is cut at known places: below the
shoulders, at hips, thighs, knees and shins of people who are upright, and left and right beside the trunk and through its
middle. The marks of elbows, wrists, knees and ankles tell which of them were cut off. Those next to the border do not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.errors import NoPersonFound
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, Models
from refit_engine.fitting.boxes import overlap
from refit_engine.images import read_photo, write_image
from tqdm import tqdm

from .measure_landmarks import MARKED, torso_length

LIMBS = [f"{side}_{part}" for side in ("left", "right") for part in ("elbow", "wrist", "knee", "ankle")]
NEAR_BORDER = 0.1
"""Trunk lengths from the border within which a joint does not count."""
LEAST_OVERLAP, LEAST_TRUNK = 0.3, 25.0
"""Of a detected person's box with the box of the marks in the picture; pixels."""

Marks = dict[str, np.ndarray]


def cuts(marks: Marks, size: tuple[int, int], trunk: float) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Kinds and rectangles (x, y, width, height) of the parts of a picture (width, height) that is cut, and all of it."""
    width, height = size
    shoulders, hips, knees, ankles = (
        (marks[f"left_{name}"] + marks[f"right_{name}"]) / 2 for name in ("shoulder", "hip", "knee", "ankle")
    )
    if hips[1] - shoulders[1] > 0.7 * trunk:
        for row in (
            shoulders[1] + 0.55 * (hips[1] - shoulders[1]),
            hips[1] + 0.1 * trunk,
            (hips[1] + knees[1]) / 2,
            knees[1] + 0.1 * trunk,
            (knees[1] + ankles[1]) / 2,
        ):
            if row < height - 3:
                yield "below", (0, 0, width, int(row))
    columns = [mark[0] for mark in marks.values()]
    for kind, aside in (("half", 0.0), ("side", 0.45)):
        left, right = (int((shoulders[0] + hips[0]) / 2 + sign * aside * trunk) for sign in (-1, 1))
        if left > min(columns) + 0.15 * trunk:
            yield kind, (left, 0, width - left, height)
        if right < max(columns) - 0.15 * trunk:
            yield kind, (0, 0, right, height)
    yield "whole", (0, 0, width, height)


def guessed_limbs(fitter: Fitter, picture: np.ndarray, marks: Marks, file: Path) -> dict[str, bool] | None:
    """Which of the limbs' joints are guessed for the person with these marks; None where nobody is found there."""
    inside = np.array([mark for mark in marks.values() if (mark >= 0).all() and (mark < picture.shape[1::-1]).all()])
    if len(inside) < 3:
        return None
    write_image(file, picture)
    try:
        result, _ = fitter.reconstruct(ImageRequest(file))
    except NoPersonFound:
        return None
    overlaps = overlap(np.concatenate([inside.min(axis=0), np.ptp(inside, axis=0)]), result.boxes_xywh)
    if overlaps.max() < LEAST_OVERLAP:
        return None
    marked = result.guessed[int(overlaps.argmax())]
    return {name: bool(marked[SMPL_JOINT_NAMES.index(name)]) for name in LIMBS}


def measure(folder: Path, start: int, step: int) -> dict[str, object]:
    """By kind of cut: pictures, and of the joints that were cut off and of those that were not how many are guessed."""
    fitter = Fitter(Models(), FitOptions(confidence=False))
    counts: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for sample in tqdm(json.loads((folder / "keypoints.json").read_text())[start::step], unit="photo"):
            photo = read_photo(folder / sample["image"]).upright().pixels
            whole = {name: np.array(place) for name, place in sample["keypoints"].items()}
            if not whole.keys() >= set(MARKED) or (trunk := torso_length(sample["keypoints"])) < LEAST_TRUNK:
                continue
            for kind, (x, y, width, height) in cuts(whole, photo.shape[1::-1], trunk):
                marks = {name: place - (x, y) for name, place in whole.items()}
                part = photo[y : y + height, x : x + width]
                guessed = guessed_limbs(fitter, part, marks, Path(scratch) / "part.png")
                if guessed is None:
                    continue
                counts[kind] += 1
                for name, one in guessed.items():
                    margin = np.minimum(marks[name], (width, height) - marks[name]).min() / trunk
                    if abs(margin) > NEAR_BORDER:
                        found[kind, "inside" if margin > 0 else "cut"].append(one)
    return {
        kind: {"pictures": count}
        | {
            where: {"joints": len(marked), "guessed_percent": round(100 * float(np.mean(marked)), 1)}
            for where in ("cut", "inside")
            if (marked := found[kind, where])
        }
        for kind, count in counts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", type=int, default=0, help="number of the first photo")
    parser.add_argument("--step", type=int, default=1, help="every how many photos one is taken")
    options = parser.parse_args()
    print(json.dumps(measure(options.folder, options.start, options.step), indent=1))


if __name__ == "__main__":
    main()
