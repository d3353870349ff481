# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks move to what their heatmaps show around them."""

import math

import numpy as np
import pytest
import torch
from refit_engine.network.backbones.heatmap_refinement import REACH, UNLIKELY, refine

SIZE, CELLS = 256.0, 64


def heatmap(*cells, level=-12.0):
    """Logits [1,1,64,64] that are high in some cells (column, row, logit)."""
    logits = torch.full((1, 1, CELLS, CELLS), level)
    for column, row, value in cells:
        logits[0, 0, row, column] = value
    return logits


def moved(x, y, logits, size=SIZE):
    return refine(torch.tensor([[[x, y]]]), logits, size)[0, 0].tolist()


def logit(probability):
    return math.log(probability / (1 - probability))


def test_landmark_moves_to_the_likely_cell_by_its_index():
    assert moved(100.0, 60.0, heatmap((27, 13, 9.0))) == pytest.approx([27 * 4, 13 * 4], abs=0.05)


def test_two_likely_cells_are_averaged():
    assert moved(100.0, 60.0, heatmap((24, 15, 9.0), (26, 15, 9.0))) == pytest.approx([25 * 4, 15 * 4], abs=0.05)


def test_the_likelier_of_two_cells_counts_by_the_square_of_its_odds():
    x, _ = moved(100.0, 60.0, heatmap((24, 15, 9.0 + math.log(2)), (26, 15, 9.0)))
    assert x == pytest.approx((4 * 96 + 104) / 5, abs=0.05)


def test_a_sure_cell_far_off_is_found_and_one_farther_counts_less():
    assert moved(100.0, 60.0, heatmap((40, 15, 9.0))) == pytest.approx([160, 60], abs=0.5)
    x, _ = moved(100.0, 60.0, heatmap((20, 15, 9.0), (40, 15, 9.0)))
    near, far = (math.exp(-(off**2) / (2 * REACH**2)) for off in (20, 60))
    assert x == pytest.approx((80 * near + 160 * far) / (near + far), abs=0.1)


def test_where_nothing_is_likely_the_landmark_stays():
    assert moved(100.0, 60.0, heatmap()) == pytest.approx([100.0, 60.0], abs=0.01)


def test_landmark_moves_the_further_the_likelier_a_cell_is():
    places = [moved(100.0, 60.0, heatmap((28, 15, logit(one))))[0] for one in (0.05, UNLIKELY, 0.5, 0.9)]
    assert places == sorted(places)
    assert 100 < places[0] < 101 and 105 < places[1] < 107 and places[3] > 111.9


@pytest.mark.parametrize("place", [(-1.0, 60.0), (256.0, 60.0), (60.0, -0.5), (60.0, 255.9)])
def test_nothing_jumps_at_the_border(place):
    logits = torch.randn(1, 1, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    inside = np.clip(place, 1.0, 255.0)
    assert np.abs(np.subtract(moved(*place, logits), moved(*inside, logits))).max() < 1.5


def test_a_crop_of_twice_the_pixels_gives_twice_the_place():
    logits = torch.randn(1, 1, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    assert moved(200.0, 120.0, logits, 512.0) == pytest.approx([2 * v for v in moved(100.0, 60.0, logits)], abs=1e-2)


def test_landmarks_do_not_meet_each_others_heatmaps():
    logits = torch.cat([heatmap((25, 15, 9.0)), heatmap((40, 40, 9.0))], dim=1)
    both = refine(torch.tensor([[[100.0, 60.0], [160.0, 160.0]]]), logits, SIZE)[0]
    assert both.tolist() == [pytest.approx([100, 60], abs=0.05), pytest.approx([160, 160], abs=0.05)]
