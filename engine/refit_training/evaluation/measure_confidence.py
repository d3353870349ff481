# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether confidence that was calibrated on synthetic people tells good from bad on real photos.

    python -m refit_training.evaluation.measure_confidence FOLDER [--weights FILE] [--limit N]

FOLDER is that of `measure_landmarks`: photos with points marked by hand. The truth is known in the picture only, so that
the standard deviation in millimetres is compared with the joint's distance from its mark in trunk lengths: their rank
correlation for one and the same joint, and the share of points within 0.2 trunk lengths (PCK@0.2) in the quarters from
the most to the least certain ones of every joint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, Models
from scipy.stats import spearmanr
from tqdm import tqdm

from .measure_landmarks import MARKED, torso_length

GROUPS = 4
NEAR = 0.2
"""Trunk lengths."""


def measure(folder: Path, weights: Path | None, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations [N,12] in millimetres and distances [N,12] in trunk lengths, NaN where nothing is marked."""
    fitter = Fitter(Models(), FitOptions(weights=weights))
    joints = [SMPL_JOINT_NAMES.index(name) for name in MARKED]
    stds, distances = [], []
    for sample in tqdm(json.loads((folder / "keypoints.json").read_text())[:limit], unit="photo"):
        every = np.array(list(sample["keypoints"].values()))
        low, high = every.min(axis=0), every.max(axis=0)
        box = np.concatenate([low, high - low])[None]
        result, _ = fitter.reconstruct(ImageRequest(folder / sample["image"], boxes_xywh=box))
        marked = np.array([sample["keypoints"].get(name, (np.nan, np.nan)) for name in MARKED])
        distance = np.linalg.norm(result.joints2d[0, joints] - marked, axis=-1)
        stds.append(result.joint_std_mm[0, joints])
        distances.append(distance / torso_length(sample["keypoints"]))
    return np.array(stds), np.array(distances)


def summary(stds: np.ndarray, distances: np.ndarray) -> dict[str, object]:
    known = np.isfinite(distances)
    people = np.nanmean(distances, axis=1), stds.mean(axis=1)
    columns = [(stds[seen, j], distances[seen, j]) for j, seen in enumerate(known.T)]
    # Each kind of joint apart: marks of hips lie beside the joints' centres, however certain those are.
    groups = [
        [distance[np.array_split(np.argsort(std), GROUPS)[group]] for std, distance in columns]
        for group in range(GROUPS)
    ]
    return {
        "points": int(known.sum()),
        "spearman": {
            "same_joint": round(float(np.mean([spearmanr(*column).statistic for column in columns])), 3),
            "people": round(float(spearmanr(*people).statistic), 3),
        },
        "pck_by_quarter_from_certain_to_uncertain": [
            round(100 * float((np.concatenate(group) < NEAR).mean()), 1) for group in groups
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--limit", type=int, help="only the first photos")
    options = parser.parse_args()
    print(json.dumps(summary(*measure(options.folder, options.weights, options.limit)), indent=1))


if __name__ == "__main__":
    main()
