# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled network on pictures, boxes and cameras that nobody would give it on purpose: a sane body or one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engine_doubles import as_people
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import Intrinsics, camera_matrix, default_focal
from refit_engine.errors import ImageError
from refit_engine.fitting import FitOptions, Fitter, Models
from refit_engine.fitting.bounds import BOUNDS, in_true_camera, working_camera
from refit_engine.fitting.boxes import checked_boxes
from refit_engine.images import Photo, read_photo
from refit_engine.network import CropCamera
from refit_training.evaluation.measure_robustness import Trial, empty_pictures, faults, turn_of_trunk

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "balance.jpg"
HEAD, FEET = SMPL_JOINT_NAMES.index("head"), [SMPL_JOINT_NAMES.index(f"{side}_foot") for side in ("left", "right")]


@pytest.fixture(scope="module")
def fitter():
    return Fitter(Models(), FitOptions(), "cpu")


@pytest.fixture(scope="module")
def sample():
    return read_photo(SAMPLE)


@pytest.fixture(scope="module")
def sample_box(fitter, sample):
    return np.array(fitter.detect(sample)[0].bbox_xywh)


def fit(fitter, photo, box, focal=None, K=None):
    """The body in a box after all checks that a user's box passes."""
    width, height = photo.size
    if K is None:
        K = camera_matrix(focal or default_focal(width, height), width, height)
    people = fitter.fit(photo.pixels, checked_boxes(np.array(box), photo), Intrinsics(K, "user"))
    assert faults(people) == []
    return people


def head_over_feet(people):
    """How many metres the head is higher in the picture than the feet."""
    return float(people.joints[0, FEET, 1].mean() - people.joints[0, HEAD, 1])


@pytest.mark.parametrize("trial", list(empty_pictures((320, 240))), ids=lambda trial: trial.kind)
def test_picture_of_nobody_gives_an_upright_body_that_is_not_trusted(fitter, sample, sample_box, trial):
    people = fit(fitter, trial.photo, trial.box_xywh)
    assert head_over_feet(people) > 0
    known = fit(fitter, sample, sample_box)
    assert people.joint_std_mm.mean() > 1.3 * known.joint_std_mm.mean()


def test_nobody_is_found_in_pictures_of_nobody(fitter):
    for trial in empty_pictures((320, 240)):
        assert fitter.detect(trial.photo) == [], trial.kind


def test_upside_down_picture_gives_the_body_upside_down(fitter, sample, sample_box):
    width, height = sample.size
    turned = Photo(sample.path, np.ascontiguousarray(sample.pixels[::-1, ::-1]))
    x, y, w, h = sample_box
    upright = fit(fitter, sample, sample_box)
    inverted = fit(fitter, turned, (width - x - w, height - y - h, w, h))
    assert head_over_feet(upright) > 0.3 and head_over_feet(inverted) < -0.3


@pytest.mark.parametrize("factor", [1e-4, 0.02, 0.1, 0.3, 3, 100, 1e6])
def test_extreme_focal_lengths(fitter, sample, sample_box, factor):
    fit(fitter, sample, sample_box, focal=factor * default_focal(*sample.size))


def test_principal_point_far_outside_and_pixels_far_from_square(fitter, sample, sample_box):
    width, height = sample.size
    K = camera_matrix(default_focal(width, height), width, height)
    for change in ((0, 2, -4 * width), (1, 1, 10 * K[1, 1]), (1, 1, 0.05 * K[1, 1])):
        odd = K.copy()
        odd[change[0], change[1]] = change[2]
        fit(fitter, sample, sample_box, K=odd)


@pytest.mark.parametrize(
    "box",
    [
        (500, 900, 4, 4),
        (0, 900, 1080, 4),
        (500, 0, 4, 1920),
        (0, 0, 1080, 1920),
        (-1e5, -1e5, 2e5, 2e5),
        (-1e30, -1e30, 2e30, 2e30),
        (1078, 1918, 1000, 1000),
        (-996, -996, 1000, 1000),
    ],
    ids=str,
)
def test_extreme_boxes_that_touch_the_picture(fitter, sample, box):
    fit(fitter, sample, box)


@pytest.mark.parametrize("box", [(1081, 0, 50, 50), (0, 0, 3, 100), (0, 0, np.inf, 10), (0, 0, -5, 10)], ids=str)
def test_boxes_without_a_part_of_the_picture_are_named(sample, box):
    with pytest.raises(ImageError, match="does not lie in|is too small"):
        checked_boxes(np.array(box), sample)


def cameras(*rows):
    """Crop cameras from (distance of the crop from the axis, side, focal length)."""
    off, side, focal = torch.tensor(rows).T
    return CropCamera(torch.stack([off, torch.zeros_like(off)], -1), side, focal, torch.zeros(len(rows), 2))


def test_working_camera_keeps_every_ordinary_focal_length():
    camera = cameras((0.0, 200.0, 1000.0), (500.0, 900.0, 800.0), (0.0, 10.0, 1e6))
    assert torch.equal(working_camera(camera).focal, camera.focal)


def test_working_camera_bounds_the_angles():
    bounded = working_camera(cameras((0.0, 1000.0, 10.0), (5000.0, 100.0, 10.0)))
    assert bounded.focal.tolist() == pytest.approx([1000 / BOUNDS.widest_crop, 5000 / BOUNDS.farthest_off_axis])


def body_at(depth):
    """Three points around a pelvis at (0.4, 0, depth)."""
    offsets = np.array([[0.0, 0, 0], [0, 0.5, -0.3], [0.2, 0, 0.3]])
    points = (offsets + (0.4, 0, depth))[None]
    return as_people(
        np.zeros((1, 10)), np.tile(np.eye(3), (1, 24, 1, 1)), points[:, 0], points, points.astype(np.float32)
    )


def test_body_seen_by_a_longer_lens_keeps_its_pixels_and_its_size_in_them():
    moved = in_true_camera(body_at(8.0), np.array([0.25]))
    np.testing.assert_allclose(moved.transl, [[0.4, 0, 2.0]])
    np.testing.assert_allclose(moved.joints - moved.joints[:, :1], body_at(8.0).joints - body_at(8.0).joints[:, :1])
    # Pixels in units of the longer focal length: X/Z against 0.25 X'/Z'.
    np.testing.assert_allclose(0.25 * moved.joints[0, 0, :2] / 2.0, [0.4 / 8, 0])


def test_body_that_would_reach_behind_the_camera_is_moved_away_along_its_ray():
    moved = in_true_camera(body_at(0.2), np.ones(1))
    assert moved.vertices[..., 2].min() == pytest.approx(BOUNDS.nearest)
    assert moved.joints[0, 0, 0] / moved.joints[0, 0, 2] == pytest.approx(0.4 / 0.2)
    np.testing.assert_array_equal(in_true_camera(body_at(3.0), np.ones(1)).vertices, body_at(3.0).vertices)


def test_turn_of_a_trunk_is_measured_unless_it_points_at_the_camera(sample):
    joints = np.zeros((1, 24, 3))
    joints[..., 2] = 4
    for name in ("left_shoulder", "right_shoulder"):
        joints[0, SMPL_JOINT_NAMES.index(name), 1] = -0.5  # above the hips
    people = as_people(np.zeros((1, 10)), None, None, joints, None)
    box = np.array([300.0, 300.0, 400.0, 600.0])
    for trunk, angle in (((0.0, -200.0), 0), ((0.0, 200.0), 180), ((200.0, 0.0), 90), ((0.0, -10.0), None)):
        trial = Trial("", sample, box, 2000.0, np.array(trunk))
        assert turn_of_trunk(people, trial) == (None if angle is None else pytest.approx(angle, abs=1e-3))
