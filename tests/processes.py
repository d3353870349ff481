# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process of a test still runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def running(number: int) -> bool:
    """Whether process `number` runs; one that has ended and was not yet waited for does not.

    A process can end at any moment, also between two looks at it: then the file under /proc is gone
    (FileNotFoundError), or it is open and cannot be read any more (ProcessLookupError).
    """
    try:
        if sys.platform != "linux":
            os.kill(number, 0)
            return True
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
