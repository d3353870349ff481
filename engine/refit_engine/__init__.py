# SPDX-License-Identifier: GPL-3.0-or-later
"""Recurrent fitting of a 3D human body to images."""

__version__ = "0.1.0"
