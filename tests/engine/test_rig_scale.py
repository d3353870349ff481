# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig in another unit than metres is told from one whose cameras stand elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from refit_engine.fitting.multiview.rig_scale import metres_per_unit, unit_sentence
from test_matching import look, person, ring


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def views_of(people, rng, scale=1.0, count=4):
    return [replace(view, t=view.t * scale) for view in (look(camera, people, rng) for camera in ring(count))]


@pytest.mark.parametrize("scale", [1000.0, 100.0, 1 / 0.3048, 7.0, 0.2])
@pytest.mark.parametrize("people", [1, 2])
def test_scale_is_found_from_the_people(rng, scale, people):
    crowd = [person(rng, (0.9 * number, 0.3)) for number in range(people)]
    assert metres_per_unit(views_of(crowd, rng, scale)) == pytest.approx(1 / scale, rel=0.12)


def test_rig_in_metres_has_scale_one(rng):
    assert metres_per_unit(views_of([person(rng, (0, 0))], rng)) == pytest.approx(1, rel=0.12)


def test_cameras_that_see_nobody_have_no_scale(rng):
    assert metres_per_unit(views_of([], rng)) is None


@pytest.mark.parametrize(
    ("scale", "words"),
    [(0.001, "millimetres"), (0.0102, "centimetres"), (0.3, "feet"), (0.027, "inches"), (5.0, "another unit")],
)
def test_sentence_names_factor_and_unit(scale, words):
    assert words in unit_sentence(scale) and f"multiplied by {scale:.2g}:" in unit_sentence(scale)
