# SPDX-License-Identifier: GPL-3.0-or-later
"""Body poses for training: motion capture on SMPL's skeleton, enlarged within anatomical limits."""
