# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of BlazePose's layers, and what its landmarks are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INPUT_SIZE = 256
POINTS = 39
"""33 body landmarks, then 33 = middle of the hips, 34 = a point on the circle around the whole body straight above
it (above the head of an upright person), and four that MediaPipe itself does not use."""

# fmt: off
LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)
# fmt: on
LANDMARKS = len(LANDMARK_NAMES)


@dataclass(frozen=True)
class Stage:
    """`blocks` inverted residual blocks; the first may change the width and halve the resolution."""

    channels: int
    kernel: Literal[3, 5]
    stride: Literal[1, 2]
    blocks: int
    expansion: int = 6


@dataclass(frozen=True)
class Descent:
    """Halve the map, then `blocks` residual separable blocks; `skip` adds the encoder's map of that resolution."""

    channels: int
    blocks: int
    skip: bool = False


@dataclass(frozen=True)
class BlazePoseConfig:
    stem: int
    encoder: tuple[Stage, ...]
    decoder: int
    descents: tuple[Descent, ...]
    """The first starts at the decoder's stride 4."""

    @property
    def top(self) -> int:
        """Channels at the top of the encoder (stride 32)."""
        return self.encoder[-1].channels * 6


HEAVY = BlazePoseConfig(
    stem=24,
    encoder=(
        Stage(32, 3, 2, blocks=2, expansion=4),
        Stage(32, 3, 1, blocks=2),
        Stage(56, 5, 2, blocks=4),
        Stage(112, 3, 2, blocks=6),
        Stage(160, 5, 1, blocks=6),
        Stage(272, 5, 2, blocks=8),
    ),
    decoder=48,
    descents=(
        Descent(96, blocks=6, skip=True),
        Descent(192, blocks=7, skip=True),
        Descent(288, blocks=7, skip=True),
        Descent(288, blocks=7),
        Descent(288, blocks=7),
    ),
)
