# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way is up in a picture."""

from .combine import LineEvidence, find_lines, find_up, given_up, with_found_focal
from .up import Up

__all__ = ["LineEvidence", "Up", "find_lines", "find_up", "given_up", "with_found_focal"]
