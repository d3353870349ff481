# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joints of a moving body no camera shows: they lie outside of all pictures, or were not found near a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ...camera import project
from ...motion_results import ABSENT
from ..shown import LIMBS, TELLING, in_any_part_from, over_border
from .observations import NEAREST
from .people import Person
from .request import VideoView


@dataclass(frozen=True)
class HiddenNumbers:
    """How visible a limb's landmarks must be on average, 0 to 1, for the limb to count as seen where it may reach over a
    border (`shown.Evidence.over`): not at all up to `free`, and `clear` times what is beyond.

    Chosen on 32 photos with marked joints, each cut at up to nine places.
    """

    free: float = 0.5
    clear: float = 0.4


NUMBERS = HiddenNumbers()


def guessed_in_motion(person: Person, joints: np.ndarray, state: np.ndarray, views: Sequence[VideoView]) -> np.ndarray:
    """Which joints [F,24] are guessed: neither they nor anything that hangs on them is shown by any camera.

    joints: [F,24,3] metres, world; state: [F]. Where a gap was filled, everything is guessed.
    """
    shown = np.zeros(joints.shape[:2], dtype=bool)
    for number, record in person.tracks:
        view, frames = views[number], np.array(record.frames)
        seen = np.einsum("fij,fkj->fki", view.R[frames], joints[frames]) + view.t[frames, None]
        K = np.stack([view.intrinsics[frame].K for frame in record.frames])
        visibility = np.array(record.landmarks)[..., 2]
        shown[frames] |= shown_by_camera(seen, K, view.pictures.footage.size, visibility)
    return ~in_any_part_from(shown) & (state != ABSENT)[:, None]


def shown_by_camera(joints: np.ndarray, K: np.ndarray, size: tuple[int, int], visibility: np.ndarray) -> np.ndarray:
    """Which joints [F,24] lie in pictures of that size (width, height), and are found where they might not.

    joints: [F,24,3] metres in the camera's frame; K: [F,3,3]; visibility: [F,33] of the landmarks, 0 to 1.
    """
    pixels = np.stack([project(*one) for one in zip(joints, K, strict=True)])
    margins = np.minimum(pixels, np.array(size) - pixels).min(axis=2)
    shown = margins > 0  # not so behind the camera, where pixels are not known
    scale = K[:, [0, 1], [0, 1]].mean(axis=1) / np.maximum(joints[:, 0, 2], NEAREST)
    needed = NUMBERS.clear * (over_border(np.nan_to_num(margins, nan=-np.inf), joints, scale) - NUMBERS.free)
    for limb in LIMBS:
        visible = np.stack([visibility[:, TELLING[joint]].mean(axis=1) for joint in limb], axis=1)
        for place, joint in enumerate(limb):
            shown[:, joint] &= visible[:, place:].mean(axis=1) >= needed[:, joint]
    return cast("np.ndarray", shown)
