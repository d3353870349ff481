# SPDX-License-Identifier: GPL-3.0-or-later
"""Two networks learned from two crowds of annotators: where they put a hip differs by centimetres, always in the same direction.

Taken for noise, that would move a joint whenever an eye loses it. So the mean difference between the eyes, in the trunk's axes, is
measured, and each eye is moved half of the way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .alignment import mean_offsets, trunk_frames

__all__ = ["eye_offsets", "shifts"]


def eye_offsets(by_eye: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Offsets [E,17,D] of each eye from the mean of all, in the trunk's axes, of what each saw of some people, [T,17,D] each (NaN: not
    known)."""
    offsets = []
    for eye in range(len(by_eye)):
        differences, frames = [], []
        for people in zip(*by_eye, strict=True):
            middle = np.mean(people, axis=0)
            differences.append(people[eye] - middle)
            frames.append(trunk_frames(middle))
        offsets.append(mean_offsets(np.concatenate(differences), np.concatenate(frames)))
    return np.array(offsets)


def shifts(offsets: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The same [T,E,17,D] along the axes of space, of a person whose joints are at [T,17,D]; 0 where the trunk is not known."""
    return np.nan_to_num(np.einsum("tik,ejk->teji", trunk_frames(joints), offsets))
