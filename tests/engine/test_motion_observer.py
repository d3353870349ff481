# SPDX-License-Identifier: GPL-3.0-or-later
"""Following somebody whom something else hides for a while, with a network and a detector that are told what to see."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refit_engine.camera import Intrinsics, camera_matrix
from refit_engine.crop import Crop
from refit_engine.fitting.motion import observer
from refit_engine.fitting.motion.observer import Frame, Looked, Observer

RATE, BOX = 25.0, np.array([100.0, 50, 80, 200])
NO_BOXES = np.zeros((0, 4))


class Street:
    """A job whose crops show somebody with the visibility that frames have in red, and whose detector sees BOX or nobody, by green."""

    def __init__(self):
        self.detected, self.batches = 0, []

    def on_device(self, work):
        return work()

    def observe_at(self, sources, uprights):
        self.batches.append(len(sources))
        return [upright.crop for upright in uprights], None

    def observe(self, sources, times):
        return SimpleNamespace(crops=[Crop(np.array([140.0, 150.0]), 240.0)], encoding=None)

    def detect(self, photo, intrinsics):
        self.detected += 1
        return [SimpleNamespace(bbox_xywh=BOX)] if photo.pixels[0, 0, 1] else []

    def bodies(self, crops, encoding, sources):
        rows, columns = np.linspace(60, 240, 33), 140 + 30 * np.sin(np.arange(33))
        visible = [source.pixels[0, 0, 0] / 100 for source in sources]
        landmarks = [np.column_stack([columns, rows, np.full(33, one)]) for one in visible]
        return [
            Looked(crop, SimpleNamespace(circle=torch.zeros(1, 3)), one)
            for crop, one in zip(crops, landmarks, strict=True)
        ]


@pytest.fixture
def street(monkeypatch):
    street = Street()
    monkeypatch.setattr(observer, "each_looked", street.bodies)
    monkeypatch.setattr(observer, "upright_crop", lambda crop, *_: crop)
    return street


def follow(street, frames, rate=RATE):
    """Look at frames of (visibility, whether the detector sees somebody); (frame, track) of everybody who was kept."""
    kept = []
    fits = SimpleNamespace(add=lambda seen: kept.append((seen.frame, seen.track)))
    watching = Observer(street, fits)
    intrinsics = Intrinsics(camera_matrix(500, 320, 300), "scene")
    for number, (visible, there) in enumerate(frames):
        pixels = np.full((300, 320, 3), (round(100 * visible), there, 0), np.uint8)
        watching.look(Frame(number, number / rate, pixels, intrinsics, NO_BOXES))
    watching.flush()
    return kept


def test_a_wall_is_not_taken_for_the_person_behind_it(street):
    kept = follow(street, [(0.8, True)] * 10 + [(0.45, False)] * 5 + [(0.8, True)] * 5)
    assert kept == [(frame, 0) for frame in [*range(10), *range(15, 20)]]


def test_a_doubtful_crop_is_believed_where_the_detector_agrees(street):
    assert follow(street, [(0.8, True)] * 10 + [(0.45, True)] * 5) == [(frame, 0) for frame in range(15)]


def test_somebody_who_slowly_turns_away_is_followed_without_asking_the_detector_each_frame(street):
    kept = follow(street, [(0.8 - 0.01 * frame, True) for frame in range(40)])
    assert kept == [(frame, 0) for frame in range(40)]
    assert street.detected <= 6


def test_quick_videos_are_seen_in_batches_and_slow_ones_frame_by_frame(street):
    assert follow(street, [(0.8, True)] * 21) == [(frame, 0) for frame in range(21)]
    assert street.batches == [4] * 5
    street.batches.clear()
    assert follow(street, [(0.8, True)] * 5, rate=5.0) == [(frame, 0) for frame in range(5)]
    assert street.batches == [1] * 4
