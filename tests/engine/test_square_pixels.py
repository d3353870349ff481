# SPDX-License-Identifier: GPL-3.0-or-later
"""People are looked for in pictures with square pixels, and told in the pixels of the picture that was given."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from engine_doubles import SAMPLES
from refit_engine.camera import Intrinsics
from refit_engine.detect import Detection
from refit_engine.fitting import FitOptions, Fitter, Models
from refit_engine.fitting.square_pixels import squeezed, stretch_of, stretched
from refit_engine.images import read_photo


@pytest.mark.parametrize(
    ("focal", "turns", "stretch"),
    [
        ((500.0, 500.0), 0, (1, 1)),
        ((500.0, 510.0), 0, (1, 1)),
        ((500.0, 1000.0), 0, (2, 1)),
        ((500.0, 1000.0), 1, (1, 2)),
        ((1500.0, 1000.0), 0, (1, 1.5)),
        ((1500.0, 1000.0), 3, (1.5, 1)),
        ((500.0, 1000.0), 2, (2, 1)),
    ],
)
def test_shorter_side_is_stretched(focal, turns, stretch):
    assert stretch_of(np.array(focal), turns) == pytest.approx(stretch)


def test_places_go_back_to_the_squeezed_picture():
    joints = np.tile(np.array([[20.0, 30.0, 0.9]], np.float32), (17, 1))
    (person,) = squeezed([Detection((10.0, 20.0, 40.0, 60.0), 0.5, joints)], (2.0, 1.0))
    assert person.bbox_xywh == (5.0, 20.0, 20.0, 60.0)
    np.testing.assert_allclose(person.joints[0], [10.0, 30.0, 0.9])


def test_ordinary_pictures_are_the_same_array():
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert stretched(pixels, stretch_of(np.array([500.0, 505.0]))) is pixels


@pytest.mark.parametrize(("across", "down"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("name", ["cam01", "cam04"])
def test_people_of_squeezed_pictures_are_found_where_they_are(name, across, down):
    photo = read_photo(SAMPLES / "multiview" / f"{name}.jpg")
    width, height = photo.size
    small = cv2.resize(photo.pixels, (width // across, height // down), interpolation=cv2.INTER_AREA)
    fitter = Fitter(Models(), FitOptions(people="largest"), "cpu")
    (whole,) = fitter.detect(photo)
    camera = Intrinsics(np.array([[900 / across, 0, 0], [0, 900 / down, 0], [0, 0, 1.0]]), "scene")
    (found,) = fitter.detect(replace(photo, pixels=small), camera)
    scale = np.array([across, down, across, down])
    np.testing.assert_allclose(np.array(found.bbox_xywh) * scale, whole.bbox_xywh, atol=0.03 * max(whole.bbox_xywh))
