# SPDX-License-Identifier: GPL-3.0-or-later
"""The ReFit network, its backbones and its weight files."""

from .estimate import Estimate
from .geometry import CropCamera
from .refit import COMPACT, Encoding, ReFit, ReFitConfig

__all__ = ["COMPACT", "CropCamera", "Encoding", "Estimate", "ReFit", "ReFitConfig"]
