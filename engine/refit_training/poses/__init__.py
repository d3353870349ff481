# SPDX-License-Identifier: GPL-3.0-or-later
"""Body poses for training: motion capture on SMPL's skeleton, enlarged within anatomical limits."""

from refit_training.poses.library import PoseLibrary
from refit_training.poses.limits import clamp
from refit_training.poses.skeleton import mirror

__all__ = ["PoseLibrary", "clamp", "mirror"]
