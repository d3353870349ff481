# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way is up in a picture."""

from .up import LEVEL, Up

__all__ = ["LEVEL", "Up"]
