# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheet of views from the side tells what the result's numbers tell."""

from __future__ import annotations

import json
import sys

import numpy as np
from engine_doubles import SAMPLES, Found, ScriptedDetector, ScriptedModels
from refit_engine.images import read_photo
from refit_training.evaluation import floor_sheet
from refit_training.evaluation.overlay_sheet import WIDTH

PEOPLE = [Found((156.5, 391.6, 597.2, 746.5), 0.5), Found((752.4, 482.8, 94.5, 398.6), 0.5)]


def test_everybody_in_the_sample_stands_on_the_floor(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(floor_sheet, "Models", lambda: ScriptedModels(ScriptedDetector(PEOPLE)))
    words = ["floor_sheet", str(SAMPLES / "balance.jpg"), "--out", str(tmp_path / "floor.png")]
    monkeypatch.setattr(sys, "argv", words)
    floor_sheet.main()
    found = json.loads(capsys.readouterr().out)
    assert 1.2 < found["camera_height"] < 2.6 and [one["on_floor"] for one in found["people"]] == [True, True]
    for one in found["people"]:
        assert -3 <= one["lowest_cm"] <= min(one["feet_cm"]) <= 3 and 1.4 < one["tall_m"] < 2.1
    assert read_photo(tmp_path / "floor.png").size[0] == WIDTH


def test_views_show_the_bodies_above_the_floors_line():
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    square = np.array([[0.0, 3, 0], [0, 4, 0], [0, 4, 1], [0, 3, 1]])[None]  # faces +X, 1 m high, 3 m ahead
    y, z = np.eye(3)[1:]
    image = floor_sheet.view(square, faces, np.array([0.0, 0, 1.5]), y, z).astype(int)
    rows, _ = np.nonzero(np.abs(image - 245).sum(axis=2) > 60)
    line = np.bincount(rows).argmax()
    blue = np.nonzero(image[..., 2] - image[..., 0] > 30)
    assert line - 3 < blue[0].max() <= line + 1 and blue[1].min() > floor_sheet.VIEW_WIDTH / 2
    assert abs(np.ptp(blue[0]) - np.ptp(blue[1])) < 3
