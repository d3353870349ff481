# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a motion its user should look at.

Add-on and engine have the same module each, since neither can import the other.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

MOST, APART = 8, 0.5
"""How many frames are worth a look, at most, and by how many seconds they are apart: neighbours err alike."""
IN_TABLES = 3
"""How many frames of a clip the tables of folders name."""


def uncertainty(deviations: np.ndarray) -> np.ndarray:
    """How uncertain somebody is as a whole [K], by the standard deviations of joints [K,J]; the first joint is the root."""
    return np.sqrt((deviations[:, 1:] ** 2).mean(axis=1))


def worth_a_look(frames: np.ndarray, uncertain: np.ndarray, rate: float) -> list[int]:
    """The places in `frames` [K] of the most uncertain ones, the worst first, none close to another.

    uncertain [K]: how much each is; rate: frames a second. Frames no worse than the usual one are left out.
    """
    found: list[int] = []
    usual = float(np.median(uncertain)) if len(uncertain) else 0.0
    for place in np.argsort(-uncertain, kind="stable").tolist():
        if len(found) == MOST or uncertain[place] <= usual:
            break
        if all(abs(frames[place] - frames[other]) >= APART * rate for other in found):
            found.append(place)
    return found


def worst_frames(found: Iterable[tuple[int, float]]) -> list[int]:
    """The frames that a table names, of (frame, how uncertain) of everybody: the worst first, each once, a few."""
    return list(dict.fromkeys(frame for frame, _ in sorted(found, key=lambda one: -one[1])))[:IN_TABLES]
