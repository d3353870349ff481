# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies in the world from calibrated pictures of one instant: matching, view fusion and refinement."""
