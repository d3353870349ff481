# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies over time: who is who from frame to frame, and the most probable motion of each."""

from .fitter import MotionFitter
from .observing import BlockWork, Prepared, share
from .request import MotionRequest, VideoRequest

__all__ = ["BlockWork", "MotionFitter", "MotionRequest", "Prepared", "VideoRequest", "share"]
