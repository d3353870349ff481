# SPDX-License-Identifier: GPL-3.0-or-later
"""The joints as people mark them in photographs, for comparing a body with such marks.

A skeleton turns about the heads of its thighbones; people mark hips where they see them, four centimetres higher. What
they mean is known from the landmark network that learned from them (`body/landmarks.py`), not from any test data.
"""

from __future__ import annotations

import numpy as np
import torch

from ..body import BodyData, LandmarkBody
from ..body.points import LANDMARK_NAMES


def annotation_convention_joints(
    data: BodyData, names: tuple[str, ...], betas: np.ndarray, rotmats: np.ndarray, transl: np.ndarray
) -> np.ndarray:
    """Points [N,len(names),3] of N bodies with betas [N,10], rotmats [N,24,3,3], transl [N,3], in their frame, metres."""
    rows = [LANDMARK_NAMES.index(name) for name in names]
    given = (torch.from_numpy(np.asarray(values, dtype=np.float32)) for values in (betas, rotmats))
    with torch.inference_mode():
        points = LandmarkBody(data)(*given).numpy()[:, rows]
    return points + np.asarray(transl)[:, None]
