# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the backbone's own 2D landmarks fit hand-marked points on real photos.

    python -m refit_training.evaluation.measure_landmarks FOLDER [--weights FILE] [--again] [--fused]

Without --weights the backbone is BlazePose heavy as it was given, which ReFit has to beat; with them, what became of it.
FOLDER holds photos and `keypoints.json`: a list of {"image", "keypoints": {name: [x, y]}} in pixels. The box of a
person is the extent of the marked points; the crop is the product's, turned upright by Thunder's joints.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import Crop, crop_matrix, invert, transform
from refit_engine.fitting.crops.keypoint_fusion import fuse
from refit_engine.fitting.crops.refinement import CropSource, cut_out, refine_crops
from refit_engine.fitting.crops.upright import UprightCrop, align_upright
from refit_engine.fitting.job import joints_in_crops
from refit_engine.images import read_photo
from refit_engine.network.backbones import Backbone, BackboneOutput
from refit_engine.network.backbones.blazepose import LANDMARK_NAMES, load_blazepose
from refit_engine.network.checkpoint import load_refit
from refit_engine.thunder import ThunderKeypoints
from tqdm import tqdm

from refit_training.known import known

MARKED = tuple(
    f"{side}_{joint}" for joint in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder") for side in ("left", "right")
)


HALVES = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
HALVES_HELP = "of the photos, as they are listed: choose on the even ones, report on the odd ones"


def read_samples(folder: Path, half: str) -> list[dict]:
    """Photos and marked points of a folder, or of one half of it (a key of HALVES)."""
    return json.loads((folder / "keypoints.json").read_text())[HALVES[half]]


def pck(found: np.ndarray, marked: np.ndarray, torso: np.ndarray, threshold: float = 0.2) -> float:
    """Share of points [N,P,2] closer to the marked ones than `threshold` torso lengths [N]; NaN are left out."""
    distance = np.linalg.norm(found - marked, axis=-1) / torso[:, None]
    seen = np.isfinite(marked).all(axis=-1)
    return float((distance[seen] < threshold).mean())


def torso_length(points: dict[str, list[float]]) -> float:
    """The longer diagonal from a shoulder to the opposite hip: the other may be foreshortened."""
    left, right = (np.array(points[f"{side}_shoulder"]) for side in ("left", "right"))
    return float(max(np.linalg.norm(left - points["right_hip"]), np.linalg.norm(right - points["left_hip"])))


def find_landmarks(
    image: np.ndarray,
    box_xywh: np.ndarray,
    network: Backbone,
    eye: ThunderKeypoints | None,
    again: bool = False,
    fused: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [33,2] (source pixels, corner origin) and visibility [33] of the person in a box.

    eye: finds the upright crop; None to read the landmarks in the plain box.
    again: whether to look as often as it takes (`fitting.crops.refinement`); fused: with the joints that the eye sees,
    as in a fit.
    """
    height, width = image.shape[:2]
    source = CropSource(image, box_xywh, choose_intrinsics(width, height))
    aligned = UprightCrop(source.crop(), None)
    if eye:
        aligned = align_upright(image, aligned.crop, box_xywh, source.intrinsics, eye)

    def encode(sources: Sequence[CropSource], crops: Sequence[Crop]) -> BackboneOutput:
        with torch.inference_mode():
            return network(cut_out(sources, crops))

    if again:
        (crop,), seen = refine_crops([source], [aligned], encode)
    else:
        crop, seen = aligned.crop, encode([source], [aligned.crop])
    found = known(seen.landmarks)
    if fused:
        found = fuse(found, seen.vector, known(seen.peaks), joints_in_crops([aligned], [source], [crop]))
    landmarks = found[0].double().numpy()
    return transform(invert(crop_matrix(crop, source.intrinsics)), landmarks[:, :2]), landmarks[:, 2]


def measure(
    folder: Path,
    samples: list[dict],
    network: Backbone,
    upright: bool = True,
    again: bool = False,
    fused: bool = False,
) -> dict[str, float]:
    """PCK@0.2 and @0.1 of the torso, percent, over photos of a folder, and @0.2 per joint."""
    eye = ThunderKeypoints() if upright else None
    columns = [LANDMARK_NAMES.index(name) for name in MARKED]
    found, marked, torso = [], [], []
    for sample in tqdm(samples, unit="photo"):
        points = np.array([sample["keypoints"].get(name, (np.nan, np.nan)) for name in MARKED])
        every = np.array(list(sample["keypoints"].values()))
        low, high = every.min(axis=0), every.max(axis=0)
        landmarks, _ = find_landmarks(
            read_photo(folder / sample["image"]).pixels, np.concatenate([low, high - low]), network, eye, again, fused
        )
        found.append(landmarks[columns])
        marked.append(points)
        torso.append(torso_length(sample["keypoints"]))
    arrays = np.array(found), np.array(marked), np.array(torso)
    result = {"PCK@0.2": 100 * pck(*arrays), "PCK@0.1": 100 * pck(*arrays, threshold=0.1)}
    for index in range(0, len(MARKED), 2):
        pair = slice(index, index + 2)
        joint = MARKED[index].removeprefix("left_")
        result[joint] = 100 * pck(arrays[0][:, pair], arrays[1][:, pair], arrays[2])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="whose backbone looks")
    parser.add_argument("--box", action="store_true", help="read them in the plain box")
    parser.add_argument("--again", action="store_true", help="look as often as the product does")
    parser.add_argument("--fused", action="store_true", help="with Thunder's joints, as in a fit")
    parser.add_argument("--half", choices=HALVES, default="all", help=HALVES_HELP)
    arguments = parser.parse_args()
    samples = read_samples(arguments.folder, arguments.half)
    network = load_refit(arguments.weights)[0].backbone if arguments.weights else load_blazepose()
    figures = measure(arguments.folder, samples, network, not arguments.box, arguments.again, arguments.fused)
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
