# SPDX-License-Identifier: GPL-3.0-or-later
"""Following somebody whom something else hides for a while, with a network and a detector that are told what to see."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refit_engine.camera import Intrinsics, camera_matrix
from refit_engine.crop import Crop
from refit_engine.fitting.motion import observer
from refit_engine.fitting.motion.observer import Looked, Observer

RATE, BOX = 25.0, np.array([100.0, 50, 80, 200])
NO_BOXES = np.zeros((0, 4))


class Street:
    """A job whose crops show somebody with a given visibility, and whose detector sees BOX or nobody."""

    def __init__(self):
        self.visible, self.there, self.detected = 0.8, True, 0

    def observe_at(self, sources, uprights):
        return [upright.crop for upright in uprights], None

    def observe(self, sources, times):
        return SimpleNamespace(crops=[Crop(np.array([140.0, 150.0]), 240.0)], encoding=None)

    def detect(self, photo, intrinsics):
        self.detected += 1
        return [SimpleNamespace(bbox_xywh=BOX)] if self.there else []

    def bodies(self, crops, encoding, intrinsics):
        rows, columns = np.linspace(60, 240, 33), 140 + 30 * np.sin(np.arange(33))
        landmarks = np.column_stack([columns, rows, np.full(33, self.visible)])
        return [Looked(crop, SimpleNamespace(circle=torch.zeros(1, 3)), landmarks) for crop in crops]


@pytest.fixture
def street(monkeypatch):
    street = Street()
    monkeypatch.setattr(observer, "each_looked", street.bodies)
    monkeypatch.setattr(observer, "upright_crop", lambda crop, *_: crop)
    return street


def follow(street, frames):
    """Look at frames of (visibility, whether the detector sees somebody); (frame, track) of everybody who was kept."""
    kept = []
    fits = SimpleNamespace(add=lambda seen: kept.append((seen.frame, seen.track)))
    watching = Observer(street, fits)
    intrinsics = Intrinsics(camera_matrix(500, 320, 300), "scene")
    for frame, (street.visible, street.there) in enumerate(frames):
        watching.look(frame, frame / RATE, np.zeros((300, 320, 3), np.uint8), intrinsics, NO_BOXES)
    return kept


def test_a_wall_is_not_taken_for_the_person_behind_it(street):
    kept = follow(street, [(0.8, True)] * 10 + [(0.45, False)] * 5 + [(0.8, True)] * 5)
    assert kept == [(frame, 0) for frame in [*range(10), *range(15, 20)]]


def test_a_doubtful_crop_is_believed_where_the_detector_agrees(street):
    assert follow(street, [(0.8, True)] * 10 + [(0.45, True)] * 5) == [(frame, 0) for frame in range(15)]


def test_somebody_who_slowly_turns_away_is_followed_without_asking_the_detector_each_frame(street):
    kept = follow(street, [(0.8 - 0.01 * frame, True) for frame in range(40)])
    assert kept == [(frame, 0) for frame in range(40)]
    assert street.detected <= 4
