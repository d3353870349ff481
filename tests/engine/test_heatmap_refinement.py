# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks move to what their heatmaps show near them."""

import math

import pytest
import torch
from refit_engine.network.backbones.heatmap_refinement import refine

SIZE, CELLS = 256.0, 64


def heatmap(*cells, level=-12.0):
    """Logits [1,1,64,64] that are high in some cells (column, row, logit)."""
    logits = torch.full((1, 1, CELLS, CELLS), level)
    for column, row, value in cells:
        logits[0, 0, row, column] = value
    return logits


def moved(x, y, logits):
    return refine(torch.tensor([[[x, y]]]), logits, SIZE)[0, 0].tolist()


def test_landmark_moves_to_the_likely_cell_by_its_index():
    assert moved(100.0, 60.0, heatmap((27, 13, 9.0))) == pytest.approx([27 * 4, 13 * 4], abs=0.05)


def test_two_likely_cells_are_averaged():
    assert moved(100.0, 60.0, heatmap((24, 15, 9.0), (26, 15, 9.0))) == pytest.approx([25 * 4, 15 * 4], abs=0.05)


def test_what_lies_beyond_three_cells_does_not_count():
    assert moved(100.0, 60.0, heatmap((29, 15, 9.0))) == [100.0, 60.0]
    assert moved(100.0, 60.0, heatmap((28, 15, 9.0))) == pytest.approx([28 * 4, 15 * 4], abs=0.05)


@pytest.mark.parametrize(("probability", "share"), [(0.39, 0), (0.45, 0.25), (0.5, 0.5), (0.55, 0.75), (0.61, 1)])
def test_landmark_moves_as_far_as_a_cell_is_likely(probability, share):
    logit = math.log(probability / (1 - probability))
    assert moved(100.0, 60.0, heatmap((28, 14, logit)))[0] == pytest.approx(100 + 12 * share, abs=0.05)


@pytest.mark.parametrize("place", [(-1.0, 60.0), (256.0, 60.0), (60.0, -0.5), (60.0, 300.0)])
def test_landmark_outside_the_crop_stays(place):
    assert moved(*place, torch.full((1, 1, CELLS, CELLS), 5.0)) == list(place)


def test_window_is_cut_at_the_border():
    assert moved(0.5, 255.5, torch.full((1, 1, CELLS, CELLS), 5.0)) == pytest.approx([1.5 * 4, 61.5 * 4], abs=0.01)


def test_landmarks_do_not_meet_each_others_heatmaps():
    logits = torch.cat([heatmap((25, 15, 9.0)), heatmap((40, 40, 9.0))], dim=1)
    both = refine(torch.tensor([[[100.0, 60.0], [100.0, 60.0]]]), logits, SIZE)[0]
    assert both[0].tolist() == pytest.approx([100, 60], abs=0.05) and both[1].tolist() == [100.0, 60.0]
