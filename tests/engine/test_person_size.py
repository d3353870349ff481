# SPDX-License-Identifier: GPL-3.0-or-later
"""Children, and whoever else is far from grown-ups' size, go through the loop in a rig of another size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.fitting.multiview.person_size import NUMBERS, grown_back, growth, loop_scale, shrunk
from test_multiview import camera_views, landmarks_of, pelvis_of, rows_of, standing


@pytest.fixture(scope="module")
def body():
    return load_body()


def seen_smaller(body, scale):
    """Rows of a rig shrunk by a factor, which shows the pictures of the whole one, and what they see."""
    truth, views = standing(body, seed=4), camera_views(4)
    truth = truth._replace(betas=torch.zeros_like(truth.betas))
    seen = landmarks_of(truth, rows_of(views), body)
    return truth, rows_of([replace(view, t=view.t * scale) for view in views]), seen


@pytest.mark.parametrize(
    ("size", "expected"), [(1.0, 1.0), (0.5, 0.5 / NUMBERS.smallest), (1.6, 1.6 / NUMBERS.largest)]
)
def test_loop_sees_grown_ups_only(body, size, expected):
    _, rows, seen = seen_smaller(body, size)
    assert loop_scale(rows, seen, LandmarkBody(body), torch.zeros(1)).item() == pytest.approx(expected, rel=0.02)


def test_growth_scales_the_body(body):
    grown = body.v_template + 0.1 * body.shapedirs @ growth(body.v_template, body.shapedirs).numpy()
    height, breadth = np.ptp(grown, axis=0)[[1, 0]] / np.ptp(body.v_template, axis=0)[[1, 0]]
    assert height == pytest.approx(1.1, abs=0.01) and breadth == pytest.approx(1.1, abs=0.02)


@pytest.mark.parametrize("scale", [0.6, 0.75, 1.0, 1.2])
def test_body_of_the_loop_is_the_same_body_at_its_true_size(body, scale):
    """In the divided rig the rays meet at the whole body; scaled back, that stands where the small rig shows it."""
    truth, rows, _ = seen_smaller(body, scale)
    factor = torch.tensor([scale], dtype=torch.float64)
    whole = shrunk(rows, factor)
    torch.testing.assert_close(whole.translation, rows_of(camera_views(4)).translation)
    back = grown_back(truth, factor, growth(body.v_template, body.shapedirs), pelvis_of(body))
    model = BodyModel(body)
    small, large = (
        model(one.betas.float(), one.rotmats.float(), one.transl.float()).vertices[0] for one in (back, truth)
    )
    off = (small - scale * large).norm(dim=-1).mean().item()
    assert off < 0.11 * abs(1 - scale) + 1e-5  # betas scale a body of 1.7 m nearly, not exactly
