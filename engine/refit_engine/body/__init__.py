# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies in SMPL's format: the bundled one, the user's own, and posing them."""

from .data import BUNDLED_BODY, BodyData
from .joints import SMPL_JOINT_NAMES, SMPL_PARENTS
from .landmarks import LandmarkBody
from .loading import load_body
from .model import BodyModel, BodyOutput, PointBody

__all__ = [
    "BUNDLED_BODY",
    "SMPL_JOINT_NAMES",
    "SMPL_PARENTS",
    "BodyData",
    "BodyModel",
    "BodyOutput",
    "LandmarkBody",
    "PointBody",
    "load_body",
]
