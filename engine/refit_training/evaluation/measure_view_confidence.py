# SPDX-License-Identifier: GPL-3.0-or-later
"""What the standard deviations of bodies from several cameras are worth, on scenes whose truth is known.

    python -m refit_training.evaluation.measure_view_confidence RIG [--weights FILE] [--cameras 2 4 8] [--limit SCENES]

RIG is a folder of `rig_people` that `tests/rig/render.py` has rendered. The first cameras of each scene are fitted
together. Prints, for each number of cameras and for all, the root mean square error, that error over the given
standard deviation (which `posterior`'s factors shall bring to 1), and the rank correlation of the two over joints.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import roma
import torch
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.multiview.fit import WorldPeople, fit_person
from scipy.stats import spearmanr
from tqdm import tqdm

from .measure_rig import read_scenes


def errors_of(body: WorldPeople, joints: np.ndarray, rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Millimetres [23] of the joints relative to the pelvis, and degrees [24] of the rotations, from the truth."""
    ours, truth = body.joints[0] - body.joints[0, :1], joints - joints[:1]
    angle = roma.rotmat_geodesic_distance(
        torch.from_numpy(body.rotmats[0]).double(), torch.from_numpy(rotmats).double()
    )
    return 1000 * np.linalg.norm(ours - truth, axis=-1)[1:], np.degrees(angle.numpy())


def measure(
    folder: Path, weights: Path | None, counts: list[int], limit: int | None
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Errors and deviations of each fit, by the number of cameras."""
    job = FitJob(Models(), FitOptions(weights=weights, iterations=10))
    found: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    files = {record["group"]: record["truth"] for record in json.loads((folder / "rig.json").read_text())}
    for scene in tqdm(read_scenes(folder)[:limit], unit="scene"):
        with np.load(folder / files[scene.name]) as data:
            truth = data["joints"], data["rotmats"]
        for count in counts:
            shots = scene.shots[:count]
            body = fit_person(job, [shot.view for shot in shots], np.array([shot.box for shot in shots]))
            millimetres, degrees = errors_of(body, *truth)
            for name in (f"{count} cameras", "all"):
                found[name]["error_mm"].append(millimetres)
                found[name]["error_deg"].append(degrees)
                found[name]["std_mm"].append(body.joint_std_mm[0, 1:])
                found[name]["std_deg"].append(body.joint_std_deg[0])
    return found


def summary(values: dict[str, list[np.ndarray]]) -> dict[str, float]:
    figures: dict[str, float] = {"fits": len(values["error_mm"])}
    for unit in ("mm", "deg"):
        error, std = (np.array(values[f"{kind}_{unit}"]) for kind in ("error", "std"))
        figures[f"rms_error_{unit}"] = round(float(np.sqrt((error**2).mean())), 1)
        figures[f"rms_error_over_std_{unit}"] = round(float(np.sqrt(((error / std) ** 2).mean())), 3)
        figures[f"share_within_1_std_{unit}"] = round(float((error < std).mean()), 3)
        figures[f"spearman_{unit}"] = round(float(spearmanr(error.ravel(), std.ravel()).statistic), 3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="RIG")
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--cameras", type=int, nargs="+", default=[2, 4, 8], help="how many of a scene's cameras")
    parser.add_argument("--limit", type=int, help="only the first scenes")
    options = parser.parse_args()
    found = measure(options.folder, options.weights, options.cameras, options.limit)
    print(json.dumps({name: summary(values) for name, values in found.items()}, indent=1))


if __name__ == "__main__":
    main()
