# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops of people: upright alignment, crop refinement and keypoint fusion."""
