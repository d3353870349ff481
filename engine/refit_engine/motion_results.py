# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies over time on disk: `motion.npz`, arrays and plain strings only. `docs/motion-format.md` is its description."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from . import __version__
from .camera import FocalSource
from .contract import MOTION_RESULT
from .results import ConfidenceKind, UpSource, read_arrays, texts, write_arrays

ABSENT, SEEN, FILLED = 0, 1, 2
"""Values of `state`: nothing is known; a camera saw the person; a gap that the motion before and after it filled."""

WorldKind = Literal["camera", "scene"]
"""Whether the world's frame is the still camera's own (X right, Y down, Z forward) or the scene's (as the cameras were given)."""

_EXACT = frozenset({"times", "K", "R_world2cam", "t_world2cam", "up_world", "transl", "joints_world"})


@dataclass(frozen=True)
class MotionResult:
    """N people at F instants, seen by C cameras. World frame, metres, seconds; pixels from the corner of the first one.

    `vertices = LBS(betas, rotmats) + transl`, the root turning about the pelvis joint. Arrays of a person are NaN where
    `state` is ABSENT.

    view_names, videos: [C]; image_sizes: [C,2] (width, height) of upright frames; quarter_turns: [C] clockwise turns that
    make the stored frames upright; frame_rate: nominal, frames a second, of the first video.
    times: [F] since the first frame of the first video; frames: [C,F] numbers of the frames in each video, from 0, -1 for
    none; readable: [C,F] whether the frame could be read.
    K: [C,F,3,3]; R_world2cam: [C,F,3,3]; t_world2cam: [C,F,3]; focal_source; world: see WorldKind.
    betas: [N,10]; rotmats: [N,F,24,3,3] relative to the parent, the first in the world; transl: [N,F,3];
    joints_world: [N,F,24,3]; state: [N,F] uint8; seen: [N,C,F]; boxes_xywh: [N,C,F,4] where the person was seen, else NaN.
    joint_std_mm, joint_std_deg: [N,F,24] see `docs/confidence.md`; confidence: what they are worth.
    guessed: [N,F,24] bool, joints that no camera shows at that instant.
    contacts: [N,F,2] probability that the left and the right foot stands still.
    up_world: [3] unit vector, the world's up; up_source, up_std_deg, up_sure: as in `results.ImageResult`;
    floor: metres along up_world of the floor from the world's origin, NaN where unknown.
    """

    view_names: tuple[str, ...]
    videos: tuple[str, ...]
    image_sizes: np.ndarray
    quarter_turns: np.ndarray
    frame_rate: float
    times: np.ndarray
    frames: np.ndarray
    readable: np.ndarray
    K: np.ndarray
    R_world2cam: np.ndarray
    t_world2cam: np.ndarray
    focal_source: FocalSource
    world: WorldKind
    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints_world: np.ndarray
    state: np.ndarray
    seen: np.ndarray
    boxes_xywh: np.ndarray
    joint_std_mm: np.ndarray
    joint_std_deg: np.ndarray
    guessed: np.ndarray
    confidence: ConfidenceKind
    contacts: np.ndarray
    up_world: np.ndarray
    up_source: UpSource
    up_std_deg: float
    up_sure: bool
    floor: float
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


def write_motion(path: Path, result: MotionResult) -> None:
    """Write a motion; the file appears complete or not at all. Raises OSError, e.g. when the disk is full."""
    write_arrays(path, result, MOTION_RESULT, exact=_EXACT)


def read_motion(path: Path) -> MotionResult:
    """Read a motion. Raises ResultFileError where the file is missing, damaged, or of another format."""
    values = read_arrays(path, MOTION_RESULT)
    for name in ("view_names", "videos", "joint_names"):
        values[name] = texts(path, values, name)
    return MotionResult(**values)
