# SPDX-License-Identifier: GPL-3.0-or-later
"""Predictions for a dataset, one JSON object a line, in the form that evaluation scripts read.

A dataset is a JSON list of records with `id`, `image` (relative to the file), `width`, `height`, `bbox_xywh`, and
optionally `K` [3,3] and `dist` (OpenCV k1, k2, p1, p2, k3). Other fields, ground truth among them, are never read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .body import SMPL_JOINT_NAMES
from .camera import choose_intrinsics, project
from .distortion import Distortion, distort_points, undistort_box, undistort_image
from .errors import ImageError, RefitError
from .fitting import Fitter
from .fitting.boxes import checked_boxes
from .images import Photo, read_photo

JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
_INDICES = [SMPL_JOINT_NAMES.index(name) for name in JOINTS]


class DatasetError(RefitError):
    """The dataset file is not in the evaluation format."""


def read_dataset(path: Path) -> list[dict[str, Any]]:
    """The records of a dataset file. Raises DatasetError."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be opened: {error.strerror}.") from error
    except ValueError as error:
        raise DatasetError(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) and "id" in record for record in records):
        raise DatasetError(f"{path.name} must be a list of records that have an id.")
    return records


def predictions(records: list[dict[str, Any]], folder: Path, fitter: Fitter) -> Iterator[dict[str, Any]]:
    """One prediction per record, in order; a record that fails says why and stops nothing."""
    for record in records:
        start = time.perf_counter()
        try:
            joints, pixels = _predict(record, folder, fitter)
        except RefitError as error:
            yield {"id": record["id"], "error": str(error)}
            continue
        yield {
            "id": record["id"],
            "joints3d_cam": dict(zip(JOINTS, joints.tolist(), strict=True)),
            "keypoints2d": dict(zip(JOINTS, pixels.tolist(), strict=True)),
            "seconds": time.perf_counter() - start,
        }


def _predict(record: dict[str, Any], folder: Path, fitter: Fitter) -> tuple[np.ndarray, np.ndarray]:
    """Joints [12,3] in the camera's frame (metres) and [12,2] in the picture's own pixels."""
    size = None
    if record.get("width") and record.get("height"):
        size = (int(record["width"]), int(record["height"]))
    photo = _in_frame(read_photo(folder / _field(record, "image", str)), size)
    (box,) = checked_boxes(_numbers(record, "bbox_xywh", (1, 4)), photo)
    K = _numbers(record, "K", (3, 3)) if record.get("K") is not None else None
    dist = _numbers(record, "dist", (-1,)) if record.get("dist") is not None else None
    intrinsics = choose_intrinsics(*photo.size, K=K, exif_focal=photo.exif_focal)
    pixels = photo.pixels
    lens = Distortion.opencv(dist) if K is not None and dist is not None else None
    if lens:
        (pixels, _), box = undistort_image(pixels, K, lens), undistort_box(box, K, lens)
    people = fitter.fit(pixels, box[None], intrinsics, roll=photo.quarter_turns * np.pi / 2)
    joints = people.joints[0, _INDICES]
    projected = project(joints, intrinsics.K)
    if not np.isfinite(projected).all():
        raise RefitError("The network gave no usable body.")
    return joints, distort_points(projected, K, lens) if lens else projected


def _in_frame(photo: Photo, size: tuple[int, int] | None) -> Photo:
    """The picture turned as the dataset counts its pixels: upright where that agrees with the given size."""
    upright = photo.upright()
    if size is None or upright.size == size:
        return upright
    if photo.size == size:
        return photo
    raise ImageError(f"{photo.path.name} has {photo.size[0]}x{photo.size[1]} pixels, not {size[0]}x{size[1]}.")


def _field(record: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(record.get(name), kind):
        raise DatasetError(f"Record {record['id']} has no {name}.")
    return record[name]


def _numbers(record: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.array(record[name], dtype=np.float64).reshape(shape)
    except (KeyError, TypeError, ValueError):
        values = None
    if values is None or not np.isfinite(values).all():
        raise DatasetError(f"Record {record['id']} has no proper {name}.")
    return values
