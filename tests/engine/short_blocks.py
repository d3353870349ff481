# SPDX-License-Identifier: GPL-3.0-or-later
"""refit-engine with short blocks of frames, so that short videos have several: as a program, and for tests."""

import sys

from refit_engine.cli import main
from refit_engine.fitting.motion import blocks, observing

BLOCK, LEAD_SECONDS = 4, 0.08


def shorten(patch=setattr):
    """Blocks of 4 frames, and 2 frames before each at 25 a second. patch: takes a module, a name and a value."""
    patch(blocks, "BLOCK", BLOCK)
    patch(observing, "BLOCK", BLOCK)
    patch(observing, "LEAD_SECONDS", LEAD_SECONDS)


if __name__ == "__main__":
    shorten()
    sys.exit(main())
