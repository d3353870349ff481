# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether results stay sane: on photos, upside down, under absurd cameras and boxes, and where nobody is.

    python -m refit_training.evaluation.measure_robustness FOLDER [--out report.json] [--limit N]

FOLDER holds photos and, if they are known, `keypoints.json` with marked points (see `measure_landmarks`), whose extent
is the box of the person; otherwise people are detected. Every photo is fitted as it is, every fifth also turned by
half a circle, every 25th also with focal lengths and boxes that are far off. A fit is at fault if something is not finite, a
rotation is none, a part of the body is behind the camera, or the body has not the size of a person. A body is flipped if
its trunk points to the other side than the marked one in the picture.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import Intrinsics, camera_matrix, default_focal, project
from refit_engine.fitting import CameraPeople, FitOptions, Fitter, Models
from refit_engine.fitting.boxes import checked_boxes
from refit_engine.images import Photo, read_photo
from tqdm import tqdm

FOCAL_FACTORS = (0.02, 0.1, 0.3, 3.0, 30.0, 1000.0)
BODY_SIZES = (0.4, 2.6)
"""Metres that a posed body may be long along one axis of the camera."""
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
SHORT_TRUNK = 0.15
"""Of the box: a trunk that is seen shorter than this points at the camera and has no direction."""
TURNED_EVERY, ODD_EVERY = 5, 25


class Trial(NamedTuple):
    """A fit to make. trunk: [2] marked direction from the hips to the shoulders, pixels, if it is known."""

    kind: str
    photo: Photo
    box_xywh: np.ndarray
    focal: float
    trunk: np.ndarray | None = None


def faults(people: CameraPeople) -> list[str]:
    """What is wrong with the first body, whoever it shall be."""
    values = [getattr(people, name)[0] for name in ("betas", "rotmats", "transl", "joints", "vertices")]
    if not all(np.isfinite(value).all() for value in values):
        return ["not finite"]
    _, rotmats, _, _, vertices = values
    wrong = []
    if np.abs(rotmats @ rotmats.transpose(0, 2, 1) - np.eye(3)).max() > 1e-3 or np.linalg.det(rotmats).min() < 0:
        wrong.append("no rotation")
    if vertices[:, 2].min() <= 0:
        wrong.append("behind the camera")
    if not BODY_SIZES[0] < np.ptp(vertices, axis=0).max() < BODY_SIZES[1]:
        wrong.append("no person's size")
    if not (np.isfinite(people.joint_std_mm).all() and np.isfinite(people.joint_std_deg).all()):
        wrong.append("confidence not finite")
    return wrong


def trunk_of(points: dict[str, np.ndarray]) -> np.ndarray:
    """From the middle of the hips to that of the shoulders."""
    left_shoulder, right_shoulder, left_hip, right_hip = (np.asarray(points[name], dtype=float) for name in TRUNK)
    return (left_shoulder + right_shoulder - left_hip - right_hip) / 2


def turn_of_trunk(people: CameraPeople, trial: Trial) -> float | None:
    """Angle in degrees between the body's trunk and the marked one in the picture; None where one is foreshortened."""
    if trial.trunk is None:
        return None
    K = camera_matrix(trial.focal, *trial.photo.size)
    ours = trunk_of(dict(zip(SMPL_JOINT_NAMES, project(people.joints[0], K), strict=True)))
    shortest = SHORT_TRUNK * max(trial.box_xywh[2:])
    lengths = np.linalg.norm(ours), np.linalg.norm(trial.trunk)
    if min(lengths) < shortest:
        return None
    return float(np.degrees(np.arccos(np.clip(ours @ trial.trunk / np.prod(lengths), -1, 1))))


def trials(number: int, photo: Photo, box: np.ndarray, marked: dict | None) -> Iterator[Trial]:
    """Everything that is tried with the photo of this number and a person in it."""
    width, height = photo.size
    focal = default_focal(width, height)
    trunk = trunk_of(marked) if marked and set(TRUNK) <= marked.keys() else None
    yield Trial("as it is", photo, box, focal, trunk)
    if number % TURNED_EVERY == 0:
        yield _upside_down(photo, box, focal, trunk)
    if number % ODD_EVERY:
        return
    for factor in FOCAL_FACTORS:
        yield Trial(f"focal length x{factor:g}", photo, box, factor * focal)
    center = box[:2] + box[2:] / 2
    for name, odd in {
        "tiny box": (*center, 4, 4),
        "box of one line": (0, center[1], width, 4),
        "box of the whole picture": (0, 0, width, height),
        "huge box": (-50 * width, -50 * height, 100 * width, 100 * height),
        "box almost outside": (width - 2, height - 2, width, height),
    }.items():
        yield Trial(name, photo, np.array(odd, dtype=float), focal)


def _upside_down(photo: Photo, box: np.ndarray, focal: float, trunk: np.ndarray | None) -> Trial:
    turned = Photo(photo.path, np.ascontiguousarray(photo.pixels[::-1, ::-1]))
    corner = np.array(photo.size) - box[:2] - box[2:]
    return Trial("upside down", turned, np.concatenate([corner, box[2:]]), focal, None if trunk is None else -trunk)


def empty_pictures(size: tuple[int, int]) -> Iterator[Trial]:
    """Pictures without anybody, with a box all the same."""
    width, height = size
    rng = np.random.default_rng(0)
    box = np.array([0.3 * width, 0.1 * height, 0.4 * width, 0.8 * height])
    for name, pixels in {
        "noise": rng.integers(0, 256, (height, width, 3), np.uint8),
        "black": np.zeros((height, width, 3), np.uint8),
        "white": np.full((height, width, 3), 255, np.uint8),
        "grey": np.full((height, width, 3), 128, np.uint8),
    }.items():
        yield Trial(name, Photo(Path(name), pixels), box, default_focal(width, height))


class Tally:
    """Fits, faults and flipped bodies per kind of trial, and the names of all pictures at fault."""

    def __init__(self, fitter: Fitter) -> None:
        self._fitter = fitter
        self._fits: Counter[str] = Counter()
        self._wrong: dict[str, list[str]] = {}
        self._turns: dict[str, list[float]] = {}

    def run(self, trial: Trial) -> None:
        box = checked_boxes(trial.box_xywh, trial.photo)
        intrinsics = Intrinsics(camera_matrix(trial.focal, *trial.photo.size), "user")
        people = self._fitter.fit(trial.photo.pixels, box, intrinsics)
        self._fits[trial.kind] += 1
        found = faults(people)
        turn = turn_of_trunk(people, trial) if not found else None
        if turn is not None:
            self._turns.setdefault(trial.kind, []).append(turn)
            found += ["flipped"] if turn > 90 else []
        for fault in found:
            self._wrong.setdefault(f"{trial.kind}: {fault}", []).append(trial.photo.path.name)

    def nobody(self) -> None:
        """Count a photo in which nobody was found."""
        self._fits["nobody found"] += 1

    def report(self) -> dict[str, object]:
        turns = {kind: np.array(values) for kind, values in self._turns.items()}
        return {
            "fits": dict(self._fits),
            "faults": {kind: len(names) for kind, names in self._wrong.items()},
            "trunk_within_45_degrees": {kind: round(float((turn < 45).mean()), 3) for kind, turn in turns.items()},
            "trunk_seen": {kind: len(turn) for kind, turn in turns.items()},
            "pictures_at_fault": self._wrong,
        }


def measure(folder: Path, limit: int | None, weights: Path | None) -> Iterator[dict[str, object]]:
    """The report so far, after the empty pictures and after every photo."""
    fitter = Fitter(Models(), FitOptions(weights=weights))
    tally = Tally(fitter)
    for size in ((640, 480), (200, 900)):
        for trial in empty_pictures(size):
            tally.run(trial)
    yield tally.report()
    for number, (photo, box, marked) in enumerate(tqdm(list(_photos(folder, limit)), unit="photo")):
        if box is None:
            found = fitter.detect(photo)
            box = np.array(found[0].bbox_xywh) if found else None
        if box is None:
            tally.nobody()
        else:
            for trial in trials(number, photo, box, marked):
                tally.run(trial)
        yield tally.report()


def _photos(folder: Path, limit: int | None) -> Iterator[tuple[Photo, np.ndarray | None, dict | None]]:
    """Photos with the box and the points that are marked in them, if they are."""
    known = folder / "keypoints.json"
    if not known.exists():
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
        for path in files[:limit]:
            yield read_photo(path).upright(), None, None
        return
    for sample in json.loads(known.read_text())[:limit]:
        points = np.array(list(sample["keypoints"].values()))
        low, high = points.min(axis=0), points.max(axis=0)
        yield read_photo(folder / sample["image"]), np.concatenate([low, high - low]), sample["keypoints"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--limit", type=int, help="only the first photos")
    parser.add_argument("--out", type=Path, help="the report with the names of the pictures at fault, kept up to date")
    options = parser.parse_args()
    report: dict[str, object] = {}
    for report in measure(options.folder, options.limit, options.weights):
        if options.out:  # complete after every photo: the run takes its time
            options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in report.items() if name != "pictures_at_fault"}, indent=1))


if __name__ == "__main__":
    main()
