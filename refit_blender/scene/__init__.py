# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender data to numpy arrays and back; the only place where the two meet."""
