# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the backbone's landmarks lie from the points of the body that bear their names.

    python -m refit_training.assets.landmark_offsets FEATURES

Prints the table of `body/landmarks.py` from rendered people: per landmark of the left side (the right side is counted
in, mirrored) the offset in millimetres along the axes of the joint that carries it, and the median distance that is
left. Pictures show it across the line of sight only; people who face all ways show all of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.body.landmarks import landmark_carriers
from refit_engine.body.points import LANDMARK_NAMES

from refit_training.known import known
from refit_training.train.features import FeatureStore

_GOOD_PIXELS = 8.0  # people whose median landmark is farther off were not understood
_VISIBLE = 0.7
_FAR = 0.05  # metres at which an observation counts a quarter


def measure_offsets(store: FeatureStore) -> dict[str, tuple[float, float, float, float]]:
    """Offset x, y, z and median distance left, millimetres, by the landmark's name without its side."""
    body = load_body()
    points = BodyModel(body).subset(body.landmark_vertices())
    carriers = torch.from_numpy(landmark_carriers(body))
    seen_rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for seen, views in store.batches(256, maps=False):
        with torch.no_grad():
            posed = points.pose(views.betas, views.rotmats)
        placed = posed.points + views.transl[:, None]
        depth, slope = placed[..., 2], placed[..., :2] / placed[..., 2:]
        landmarks = known(seen.landmarks)
        missing = landmarks[..., :2] - views.crop_pixels(placed)
        good = missing.norm(dim=-1).median(dim=1).values < _GOOD_PIXELS
        metres = missing * (depth / views.focal[:, None])[..., None]
        turns = posed.rotations[:, carriers]
        across = turns[..., :2, :] - slope[..., None] * turns[..., 2:, :]
        for index, name in enumerate(LANDMARK_NAMES):
            rows = good & (landmarks[:, index, 2] > _VISIBLE)
            matrix = across[rows, index].numpy().copy()
            right = name.startswith("right_") or name.endswith("_right")
            if right:
                matrix[..., 0] *= -1
            bare = name.removeprefix("left_").removeprefix("right_").removesuffix("_left").removesuffix("_right")
            seen_rows.setdefault(bare, []).append((matrix, metres[rows, index].numpy()))
    return {name: _robust_offset(*map(np.concatenate, zip(*rows, strict=True))) for name, rows in seen_rows.items()}


def _robust_offset(across: np.ndarray, missing: np.ndarray) -> tuple[float, float, float, float]:
    """The offset [3] that explains missing [N,2] = across [N,2,3] @ offset best, by reweighted least squares."""
    weight, offset, left = np.ones(len(missing)), np.zeros(3), np.zeros(len(missing))
    for _ in range(10):
        weighted = across * weight[:, None, None]
        offset = np.linalg.solve(
            np.einsum("nij,nik->jk", weighted, across) + 1e-3 * np.eye(3), np.einsum("nij,ni->j", weighted, missing)
        )
        left = np.linalg.norm(missing - across @ offset, axis=1)
        weight = 1 / (1 + (left / _FAR) ** 2) ** 2
    x, y, z = 1000 * offset
    return x, y, z, float(1000 * np.median(left))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, help="folder of backbone outputs")
    for name, values in measure_offsets(FeatureStore(parser.parse_args().features)).items():
        print(f'"{name}": ({", ".join(f"{value:.0f}" for value in values)}),')


if __name__ == "__main__":
    main()
