# SPDX-License-Identifier: GPL-3.0-or-later
"""The ReFit network, its backbones and its weight files."""

from .refit import COMPACT, CropCamera, Encoding, Estimate, ReFit, ReFitConfig

__all__ = ["COMPACT", "CropCamera", "Encoding", "Estimate", "ReFit", "ReFitConfig"]
