# SPDX-License-Identifier: GPL-3.0-or-later
"""The person detector: against recorded answers of the original, and on turned, small, empty and odd pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from record_references import DATA, sample_photo, sample_square
from refit_engine.detect import FIRST_LOOK, PersonDetector, decode
from refit_engine.errors import WeightsFileError
from refit_engine.fitting.boxes import overlap


@pytest.fixture(scope="module")
def detector() -> PersonDetector:
    return PersonDetector()


def test_people_are_those_of_the_original(detector):
    image = torch.from_numpy(sample_square(256)).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        boxes, joints, scores = decode(detector.network(image))
    recorded = np.load(DATA / "movenet.npz")["people"]
    recorded = recorded[recorded[:, 55] > 0.2]
    assert len(recorded)
    for person in recorded:
        top, left, bottom, right, score = person[51:]
        box = 256 * np.array([left, top, right - left, bottom - top])
        nearest = int(np.abs(boxes - box).sum(axis=1).argmin())
        # The photo's own decoding may differ by one grey level between OpenCV's builds.
        np.testing.assert_allclose(boxes[nearest], box, atol=0.5)
        assert scores[nearest] == pytest.approx(score, abs=0.02)
        y, x, sure = person[:51].reshape(17, 3).T
        seen = sure > 0.3
        np.testing.assert_allclose(joints[nearest][seen, :2], 256 * np.stack([x, y], -1)[seen], atol=0.5)


def test_the_man_of_the_sample_photo_is_found_whole(detector):
    photo = sample_photo()
    best = detector.detect(photo)[0]
    x, y, w, h = best.bbox_xywh
    height, width = photo.shape[:2]
    assert 0 <= x and 0 <= y and x + w <= width + 1e-3 and y + h <= height + 1e-3
    joints = best.joints[best.joints[:, 2] > 0.3]
    assert len(joints) > 12
    low, high = joints[:, :2].min(axis=0), joints[:, :2].max(axis=0)
    assert overlap(np.array([*low, *(high - low)]), np.array([best.bbox_xywh]))[0] > 0.5


def test_boxes_are_in_the_pixels_of_the_image_given(detector):
    photo = sample_photo()
    doubled = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    once, twice = detector.detect(photo)[0], detector.detect(doubled)[0]
    assert overlap(np.array(once.bbox_xywh) * 2, np.array([twice.bbox_xywh]))[0] > 0.9


def test_the_second_look_finds_whom_the_first_is_too_coarse_for(detector):
    photo = sample_photo()
    canvas = np.full((1200, 1600, 3), 128, np.uint8)
    small = cv2.resize(photo, (260, 260 * photo.shape[0] // photo.shape[1]), interpolation=cv2.INTER_AREA)
    canvas[-small.shape[0] :, 1100:1360] = small
    assert detector.look(canvas, FIRST_LOOK) == []
    (person,) = detector.detect(canvas)
    x, y, w, _ = person.bbox_xywh
    assert 1100 < x and x + w < 1360 and y > canvas.shape[0] - small.shape[0]


def test_the_second_look_does_not_take_large_people_apart(detector):
    photo = sample_photo()
    large = detector.detect(photo)[0]
    others = detector.detect(photo)[1:]
    inside = overlap(np.array(large.bbox_xywh), np.array([one.bbox_xywh for one in others]).reshape(-1, 4))
    assert (inside < 0.3).all()


@pytest.mark.parametrize("size", [(16, 16), (16, 4000), (4000, 16), (33, 257), (256, 256)])
def test_pictures_without_people_are_an_empty_list(detector, size):
    assert detector.detect(np.full((*size, 3), 90, np.uint8)) == []


def test_weights_of_something_else_are_one_sentence(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not a weights file")
    with pytest.raises(WeightsFileError, match="other.safetensors"):
        PersonDetector(weights=path)
