# SPDX-License-Identifier: GPL-3.0-or-later
"""Further crops of a person who was cut out badly or taken for something else."""

import numpy as np
import pytest
import torch
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.camera import choose_intrinsics
from refit_engine.crop import ROI_PADDING, Crop, crop_matrix, transform
from refit_engine.fitting.crops.refinement import CropSource, refine_crops
from refit_engine.fitting.crops.upright import UprightCrop, refined_crop
from refit_engine.movenet import COCO_JOINT_NAMES
from refit_engine.network.backbones import BackboneOutput

INTRINSICS = choose_intrinsics(640, 480)
CROP = Crop(np.array([300.0, 200.0]), 256.0, 0.0)
RADIUS = 128 / ROI_PADDING


def circle(hip=(128.0, 128.0), degrees=0.0, radius=RADIUS):
    angle = np.radians(degrees)
    return np.array([hip, np.add(hip, radius * np.array([np.sin(angle), -np.cos(angle)]))])


def test_good_crop_is_kept():
    assert refined_crop(CROP, INTRINSICS, circle(degrees=3)) is None


@pytest.mark.parametrize(
    "seen, center, side, roll",
    [
        (circle(hip=(168.0, 128.0)), (340, 200), 256, 0),
        (circle(radius=1.3 * RADIUS), (300, 200), 1.3 * 256, 0),
        (circle(degrees=30), (300, 200), 256, -30),
    ],
)
def test_shifted_small_or_turned_crop_is_corrected(seen, center, side, roll):
    better = refined_crop(CROP, INTRINSICS, seen)
    np.testing.assert_allclose(better.center, center, atol=1e-6)
    assert better.side == pytest.approx(side)
    assert np.degrees(better.roll) == pytest.approx(roll)


def test_wild_circle_is_not_believed():
    assert refined_crop(CROP, INTRINSICS, circle(radius=20 * RADIUS)) is None


BOX = np.array([200.0, 100, 200, 200])
SOURCE = CropSource(np.zeros((480, 640, 3), np.uint8), BOX, INTRINSICS)
OTHERS = np.random.default_rng(1).uniform((200, 100), (250, 150), (33, 2))
"""Landmarks in a corner of the box, as of somebody in the background."""
PERSON = np.random.default_rng(2).uniform((200, 100), (400, 300), (33, 2))


class Backbone:
    """Sees the person in crops that are turned by a number of degrees, in other crops somebody else; counts the crops."""

    def __init__(self, degrees, certain=0.9, circle_there=None, others=OTHERS):
        self.degrees, self.certain, self.circle_there, self.others, self.crops = (
            degrees,
            certain,
            circle_there,
            others,
            0,
        )

    def __call__(self, sources, crops):
        self.crops += len(crops)
        return BackboneOutput(*map(torch.stack, zip(*map(self.see, sources, crops), strict=True)))

    def see(self, source, crop):
        there = abs(np.degrees(crop.roll) - self.degrees) < 1
        places = torch.tensor(transform(crop_matrix(crop, source.intrinsics), PERSON if there else self.others))
        flat = torch.cat([places / 128 - 1, torch.zeros(33, 2), torch.full((33, 1), self.certain if there else 0.9)], 1)
        vector = torch.cat([flat.flatten(), torch.zeros(33 * 3 + 1)])
        asked = circle() if not there or self.circle_there is None else self.circle_there
        mark = torch.full((1, 2, 2), crop.roll)
        return mark, vector, torch.cat([places, torch.ones(33, 1)], 1), torch.tensor(asked)


def refined(backbone, joints=None, sources=(SOURCE,)):
    joints = joints or [None] * len(sources)
    return refine_crops(sources, [UprightCrop(CROP, one) for one in joints], backbone)


def test_person_who_fills_the_box_is_cropped_once():
    backbone = Backbone(degrees=0)
    (crop,), seen = refined(backbone)
    assert crop is CROP and backbone.crops == 1
    assert torch.equal(seen.landmarks, backbone([SOURCE], [CROP]).landmarks)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_empty_box_is_searched_in_all_turns(degrees):
    (crop,), seen = refined(Backbone(degrees))
    assert np.degrees(crop.roll) == pytest.approx(degrees)
    np.testing.assert_allclose(seen.landmarks[0, :, :2], transform(crop_matrix(crop, INTRINSICS), PERSON))
    assert seen.features.unique().item() == pytest.approx(crop.roll)


def test_turned_crop_may_ask_for_a_second_one():
    backbone = Backbone(90, circle_there=circle(hip=(168.0, 128.0)))
    (crop,), _ = refined(backbone)
    assert backbone.crops == 1 + 4 + 1
    assert np.degrees(crop.roll) == pytest.approx(90)


def test_landmarks_that_thunder_sees_too_are_believed():
    backbone = Backbone(degrees=90)
    joints = np.column_stack([[OTHERS[LANDMARK_NAMES.index(name)] for name in COCO_JOINT_NAMES], np.ones(17)])
    (crop,), _ = refined(backbone, [joints])
    assert crop is CROP and backbone.crops == 1
    (crop,), _ = refined(backbone, [joints + (100, 0, 0)])
    assert crop is not CROP


@pytest.mark.parametrize(
    "certain, size, believed", [(0.9, 0.25, True), (0.3, 0.25, False), (0.9, 0.69, True), (0.7, 0.69, False)]
)
def test_turned_crop_has_to_be_sure_and_far_better(certain, size, believed):
    """size: of the somebody else whom the usual crop shows, in sides of the box."""
    others = BOX[:2] + (PERSON - BOX[:2]) * size
    (crop,), _ = refined(Backbone(90, certain, others=others))
    assert (crop is not CROP) == believed


def test_only_those_who_leave_their_box_empty_are_cropped_again():
    small = SOURCE._replace(box_xywh=np.array([200.0, 100, 50, 50]))
    backbone = Backbone(degrees=90)
    crops, seen = refined(backbone, sources=[small, SOURCE, small])
    assert [crop is CROP for crop in crops] == [True, False, True]
    assert backbone.crops == 3 + 4
    assert [mark.unique().item() for mark in seen.features] == pytest.approx([0, np.pi / 2, 0])


@pytest.mark.parametrize("size, count", [((300, 400), 1), ((2100, 2200), 1 + 4)])
def test_box_counts_as_far_as_the_picture_goes(size, count):
    backbone = Backbone(degrees=0)
    refined(
        backbone, sources=[CropSource(np.zeros((*size, 3), np.uint8), np.array([200.0, 100, 2000, 2000]), INTRINSICS)]
    )
    assert backbone.crops == count


def test_box_without_any_of_the_picture_keeps_the_crop():
    (crop,), _ = refined(Backbone(degrees=0), sources=[SOURCE._replace(box_xywh=np.array([700.0, 100, 200, 200]))])
    assert crop is CROP
