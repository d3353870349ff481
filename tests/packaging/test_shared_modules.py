# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-on and engine both need, and neither can import from the other."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["contract.py", "npz.py"])
def test_both_have_the_same_module(name):
    assert (ROOT / "refit_blender" / name).read_text() == (ROOT / "engine" / "refit_engine" / name).read_text()
