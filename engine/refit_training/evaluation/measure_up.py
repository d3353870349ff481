# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the world's up, as the engine finds it, is from the true one.

    python -m refit_training.evaluation.measure_up --recordings DEMO [DEMO …] --pack pack.npz --poses poses.npz

DEMO: folders of calibrated recordings as Pose2Sim has them (`Demo_SinglePerson`, `Demo_MultiPerson` of the Python
package pose2sim 0.10.49), frames of all cameras, truth from the calibration. With an asset pack and a pose library:
people whom training never saw, rendered by cameras that look 10 degrees up to 40 down and roll by up to 15, before
panoramas of built places, of nature, and plain walls. Thresholds were chosen with `--part choose` (every other panorama
and frame, from the first); the numbers of the documentation are those of `--part report`, all others.

Prints a JSON object for each kind of picture: degrees between found and true up, median and 90 %, of a level camera, by
bodies alone, lines alone, both, and both where the focal length is given; the share that is sure, how far those are off
and how far the others; the share of the sure beyond 10 degrees; where lines were sure of the focal length: the share,
and median and 90 % of its error as a factor less 1; milliseconds of processor time for a picture enlarged to
12 megapixels.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from refit_engine.camera import Intrinsics, choose_intrinsics
from refit_engine.fitting import FitOptions, Fitter, Models
from refit_engine.gravity import LineEvidence, Up, find_lines, find_up
from refit_engine.images import Photo
from tqdm import tqdm

from refit_training.poses import PoseLibrary
from refit_training.render import AssetPack
from refit_training.render.tilted import Tilted, TiltedCamera, recorded

LEVEL = np.array([0.0, -1.0, 0.0])
BEYOND_DEG = 10.0
LARGE = (4000, 3000)
WAYS = ("level", "bodies", "lines", "both", "both, focal known")


@dataclass
class Findings:
    """Of the pictures of one kind: degrees off by each way, whether sure, the focal length's logarithm off, seconds."""

    off: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    sure: list[bool] = field(default_factory=list)
    focal: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def report(self) -> dict[str, object]:
        """What is printed."""
        sure, both = np.array(self.sure), np.array(self.off["both"])
        found = np.expm1([one for one in self.focal if np.isfinite(one)])
        return {
            "pictures": len(both),
            **{way: spread(values) for way, values in self.off.items()},
            "sure": round(float(sure.mean()), 3),
            "both, where sure": spread(both[sure]),
            "both, where not": spread(both[~sure]),
            "sure and beyond 10": round(float((both[sure] > BEYOND_DEG).mean()), 3) if sure.any() else 0.0,
            "focal found": round(len(found) / len(both), 3),
            "focal off": spread(found, 3),
            "ms": round(1000 * float(np.median(self.seconds))),
        }


def spread(values, digits: int = 1) -> list[float] | None:
    """Median and 90 %, or None where there are no values."""
    return [round(float(np.quantile(values, share)), digits) for share in (0.5, 0.9)] if len(values) else None


class Measure:
    """Finds up in pictures as the product does, and by parts of what it hears."""

    def __init__(self) -> None:
        self.fitter = Fitter(Models(), FitOptions(confidence=False))
        self.findings: dict[str, Findings] = {}

    def add(self, picture: Tilted) -> None:
        """Find up in one picture. Pictures in which nobody is found still have lines."""
        boxes = np.array([one.bbox_xywh for one in self.fitter.detect(Photo(Path(picture.place), picture.pixels))])
        boxes = boxes.reshape(-1, 4)
        findings = self.findings.setdefault(picture.kind, Findings())
        height, width = picture.pixels.shape[:2]
        unknown = choose_intrinsics(width, height)
        blank = find_lines(np.zeros_like(picture.pixels), boxes, unknown)
        lines, both, intrinsics, bodies = self._both(picture, boxes, unknown)
        nobody = (np.zeros((0, 24, 3, 3)), np.zeros((0, 24, 3)))
        ups = {
            "level": LEVEL,
            "bodies": find_up(blank, *bodies).direction,
            "lines": find_up(lines, *nobody).direction,
            "both": both.direction,
            "both, focal known": self._both(picture, boxes, Intrinsics(picture.K, "user"))[1].direction,
        }
        for way, up in ups.items():
            findings.off[way].append(float(np.degrees(np.arccos(np.clip(up @ picture.up, -1, 1)))))
        findings.sure.append(both.sure)
        ratio = intrinsics.focal[0] / picture.K[0, 0]
        findings.focal.append(abs(float(np.log(ratio))) if intrinsics.source == "lines" else np.nan)
        findings.seconds.append(self._seconds(picture, boxes, bodies))

    def _both(
        self, picture: Tilted, boxes: np.ndarray, intrinsics: Intrinsics
    ) -> tuple[LineEvidence, Up, Intrinsics, tuple[np.ndarray, np.ndarray]]:
        intrinsics, lines = self.fitter.look_for_lines(picture.pixels, boxes, intrinsics, 0)
        if len(boxes):
            people = self.fitter.fit(picture.pixels, boxes, intrinsics)
            bodies = (people.rotmats, people.joints)
        else:
            bodies = (np.zeros((0, 24, 3, 3)), np.zeros((0, 24, 3)))
        return lines, find_up(lines, *bodies), intrinsics, bodies

    def _seconds(self, picture: Tilted, boxes: np.ndarray, bodies: tuple[np.ndarray, np.ndarray]) -> float:
        height, width = picture.pixels.shape[:2]
        size = LARGE if width > height else LARGE[::-1]
        large = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_CUBIC)
        scale = np.array([size[0] / width, size[1] / height])
        start = time.process_time()
        _, lines = self.fitter.look_for_lines(large, boxes * np.tile(scale, 2), choose_intrinsics(*size), 0)
        find_up(lines, *bodies)
        return time.process_time() - start


def rendered(camera: TiltedCamera, count: int, part: slice) -> Iterator[Tilted]:
    """`count` pictures before each built panorama of a part, half as many before each of nature, and plain walls."""
    for kind, panoramas, share in (
        ("built", camera.panoramas(built=True)[part], 1),
        ("nature", camera.panoramas(built=False)[part], 2),
        ("plain", [None] * 4, 4),
    ):
        for place, panorama in enumerate(panoramas):
            for number in range(max(1, count // share)):
                rng = np.random.default_rng([len(kind), place, number, part.start])
                yield camera.picture(rng, kind, panorama)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, nargs="+", default=[])
    parser.add_argument("--every", type=int, default=7, help="frames of a recording from one picture to the next")
    parser.add_argument("--pack", type=Path, help="asset pack")
    parser.add_argument("--poses", type=Path, help="pose library")
    parser.add_argument("--count", type=int, default=24, help="pictures before each built panorama")
    parser.add_argument("--part", choices=("choose", "report"), default="report")
    options = parser.parse_args(arguments)
    part = slice(int(options.part == "report"), None, 2)
    measure = Measure()
    for folder in options.recordings:
        for picture in tqdm(
            recorded(folder, 2 * options.every, first=part.start * options.every), unit="picture", disable=None
        ):
            measure.add(picture)
    if options.pack and options.poses:
        camera = TiltedCamera(AssetPack.load(options.pack), PoseLibrary.load(options.poses).part(held_out=True))
        for picture in tqdm(rendered(camera, options.count, part), unit="picture", disable=None):
            measure.add(picture)
    for kind, findings in measure.findings.items():
        print(json.dumps({"kind": kind, "part": options.part, **findings.report()}))


if __name__ == "__main__":
    main()
