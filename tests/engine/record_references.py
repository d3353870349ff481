# SPDX-License-Identifier: GPL-3.0-or-later
"""What the original BlazePose and MoveNet say of the sample photo, recorded for the tests.

    python tests/engine/record_references.py blazepose package/pose_landmark_heavy.tflite
    python tests/engine/record_references.py movenet package/models/movenet-multipose.json

The first needs `ai-edge-litert` and `tflite`, the second `tensorflow`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


def sample_photo() -> np.ndarray:
    """RGB uint8."""
    return cv2.cvtColor(cv2.imread(str(ROOT / "docs" / "samples" / "balance.jpg")), cv2.COLOR_BGR2RGB)


def sample_square(size: int) -> np.ndarray:
    """The photo squeezed into a square, uint8; the same on every machine up to rounding."""
    return cv2.resize(sample_photo(), (size, size), interpolation=cv2.INTER_AREA)


def feature_samples(features: np.ndarray) -> np.ndarray:
    """Some of a [C,64,64] map."""
    return features[::8, ::16, ::16]


def record_blazepose(path: Path) -> None:
    from refit_engine.network.backbones.blazepose import BlazePose
    from refit_training.assets.convert_blazepose import TfliteGraph, copy_weights, run_original

    inner = copy_weights(TfliteGraph(path), BlazePose())
    said = run_original(path, sample_square(256).astype(np.float32) / 255, inner)
    said["features"] = feature_samples(said["features"])
    said["vector"] = said["vector"][::16]
    np.savez_compressed(DATA / "blazepose_heavy.npz", **said)


def record_movenet(path: Path) -> None:
    from refit_training.evaluation.compare_detectors import tensorflow_js

    run = tensorflow_js(path, "input:0", ["Identity:0"])
    people = run(sample_square(256)[None].astype(np.int32))[0][0]
    np.savez_compressed(DATA / "movenet.npz", people=people)


if __name__ == "__main__":
    if sys.argv[1] == "blazepose":
        record_blazepose(Path(sys.argv[2]))
    else:
        record_movenet(Path(sys.argv[2]))
