# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-on and engine both need, and neither can import from the other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["contract.py", "npz.py", "worth_a_look.py"])
def test_both_have_the_same_module(name):
    assert (ROOT / "refit_blender" / name).read_text() == (ROOT / "engine" / "refit_engine" / name).read_text()


def test_both_take_the_same_movies():
    """But for .gif, which is a picture to Blender."""
    footage = (ROOT / "refit_blender" / "scene" / "footage.py").read_text()
    reading = (ROOT / "engine" / "refit_engine" / "moving_pictures" / "reading.py").read_text()
    addon = re.search(r'MOVIES = "([^"]+)"', footage)
    engine = re.search(r'"([^"]+)"\.split\(\)', reading)
    assert addon and engine
    assert {*addon[1].split(";"), ".gif"} == set(engine[1].split())
