# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a multi-view fit on disk: arrays and plain strings only, never a pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import __version__
from .contract import VIEWS_RESULT
from .results import ConfidenceKind, read_arrays, texts, write_arrays


@dataclass(frozen=True)
class MultiViewResult:
    """N people seen by C calibrated cameras at one instant.

    World frame: the caller's, metres; `vertices_world = LBS(betas, rotmats) + transl`, the root turning about the
    pelvis joint. Pixels: of the pictures without lens distortion, origin at the corner of the first one.

    view_names, images: [C]; image_sizes: [C,2] (width, height); K: [C,3,3]; R_world2cam: [C,3,3], t_world2cam: [C,3],
    x_cam = R x + t (X right, Y down, Z forward).
    betas: [N,10]; rotmats: [N,24,3,3], the first turns the rest frame (Y up) into the world; transl: [N,3];
    joints_world: [N,24,3]; vertices_world: [N,V,3]; joints2d: [N,C,24,2] pixels, NaN where behind the camera.
    used: [N,C] whether the camera has a part in the body; weights: [N,C] how much, 0 to 1; reasons: [N,C] why it has
    not, or what is doubtful, empty for most; reprojection_errors: [N,C] pixels, mean distance of the body's landmarks from those found,
    NaN where the person was not found; boxes_xywh: [N,C,4] NaN where the person was not found.
    joint_std_mm, joint_std_deg: [N,24], as in `ImageResult`; confidence: what they are worth; NaN where it is "off".
    guessed: [N,24] joints that no camera shows; see `ImageResult`.
    """

    view_names: tuple[str, ...]
    images: tuple[str, ...]
    image_sizes: np.ndarray
    K: np.ndarray
    R_world2cam: np.ndarray
    t_world2cam: np.ndarray
    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints_world: np.ndarray
    vertices_world: np.ndarray
    joints2d: np.ndarray
    used: np.ndarray
    weights: np.ndarray
    reasons: np.ndarray
    reprojection_errors: np.ndarray
    boxes_xywh: np.ndarray
    joint_std_mm: np.ndarray
    joint_std_deg: np.ndarray
    guessed: np.ndarray
    confidence: ConfidenceKind
    joint_names: tuple[str, ...]
    body_name: str
    body_kind: str
    body_file: str
    weights_name: str
    iterations: int
    engine_version: str = __version__

    @property
    def people(self) -> int:
        return len(self.betas)


# Places in the world may be kilometres from its origin: float32 would round them to tenths of a millimetre and more.
_EXACT = frozenset({"K", "R_world2cam", "t_world2cam", "transl", "joints_world"})
_TUPLES = ("view_names", "images", "joint_names")


def write_multiview_result(path: Path, result: MultiViewResult) -> None:
    """Write a result; the file appears complete or not at all. Raises OSError, e.g. when the disk is full."""
    write_arrays(path, result, VIEWS_RESULT, exact=_EXACT)


def read_multiview_result(path: Path) -> MultiViewResult:
    """Read a result. Raises ResultFileError where the file is missing, damaged, or of another format."""
    values = read_arrays(path, VIEWS_RESULT)
    for name in _TUPLES:
        values[name] = texts(path, values, name)
    return MultiViewResult(**values)
