# SPDX-License-Identifier: GPL-3.0-or-later
"""Means and their standard errors where neighbouring frames, and the cameras of one frame, err alike."""

from __future__ import annotations

import numpy as np

__all__ = ["mean_and_error"]


def mean_and_error(values: np.ndarray, blocks: np.ndarray) -> tuple[float, float]:
    """Mean of values [N] (NaN are left out) and its standard error, blocks [N] of whole numbers being independent of each other.

    The error of a ratio of sums over blocks (Cochran, Sampling Techniques, 1977, chapter 6.3). NaN with less than two blocks.
    """
    known = np.isfinite(values)
    values, blocks = values[known], blocks[known]
    if not len(values):
        return np.nan, np.nan
    mean = float(values.mean())
    _, rows = np.unique(blocks, return_inverse=True)
    sums = np.bincount(rows, values - mean)
    if len(sums) < 2:
        return mean, np.nan
    return mean, float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(values))
