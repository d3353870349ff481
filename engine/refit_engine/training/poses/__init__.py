# SPDX-License-Identifier: GPL-3.0-or-later
"""Body poses for training: motion capture on SMPL's skeleton, enlarged within anatomical limits."""

from refit_engine.training.poses.library import PoseLibrary
from refit_engine.training.poses.limits import clamp
from refit_engine.training.poses.skeleton import mirror

__all__ = ["PoseLibrary", "clamp", "mirror"]
