# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of people as one camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CameraPeople:
    """Bodies in the frame of one camera (X right, Y down, Z forward, metres); N people.

    betas: [N,10]; rotmats: [N,24,3,3]; transl: [N,3]; joints: [N,24,3]; vertices: [N,V,3].
    joint_std_mm, joint_std_deg: [N,24], see `confidence`; NaN where they were not asked for.
    guessed: [N,24] bool, joints that the picture does not show.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray
    joint_std_mm: np.ndarray
    joint_std_deg: np.ndarray
    guessed: np.ndarray

    def __getitem__(self, index: np.ndarray) -> CameraPeople:
        return CameraPeople(*(getattr(self, name)[index] for name in self.__dataclass_fields__))
