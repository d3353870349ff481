# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-on and engine both need, and neither can import from the other."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_have_the_same_reader_of_arrays():
    assert (ROOT / "refit_blender" / "npz.py").read_text() == (ROOT / "engine" / "refit_engine" / "npz.py").read_text()
