# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard deviations of joints: how they are made, that they do not disturb the fit, and their calibration."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from refit_engine.body import SMPL_JOINT_NAMES
from refit_engine.camera import Intrinsics
from refit_engine.errors import WeightsFileError
from refit_engine.fitting import FitOptions, Fitter, ImageRequest
from refit_engine.fitting.confidence import MEMBERS, PREDICTORS, _angle_spread, keypoint_masks
from refit_engine.fitting.confidence_model import (
    BUNDLED_CALIBRATION,
    LIMIT,
    Calibration,
    VarianceModel,
    calibration_for,
    file_digest,
    read_calibration,
    write_calibration,
)
from refit_engine.network.checkpoint import BUNDLED_WEIGHTS

BOXES = np.array([(110.0, 40.0, 90.0, 170.0), (10.0, 60.0, 60.0, 120.0)])
CAMERA = Intrinsics(np.array([[300.0, 0, 150], [0, 300, 130], [0, 0, 1]]), "scene")


@pytest.fixture(scope="module")
def models():
    return ScriptedModels(ScriptedDetector([Found(tuple(BOXES[0]), 0.9)]))


def fitter(models, weights, **options):
    return Fitter(models, FitOptions(weights=weights, **options), "cpu")


def test_every_keypoint_is_left_out_as_often_as_every_other_and_always_in_the_same_members():
    masks = keypoint_masks(8, 67, 0.25)
    assert masks.shape == (8, 67, 1)
    assert ((masks == 0).sum(dim=0) == 2).all()
    torch.testing.assert_close(masks.mean(dim=0), torch.ones(67, 1))
    assert len({tuple(member.flatten().tolist()) for member in masks}) == 8
    assert torch.equal(masks, keypoint_masks(8, 67, 0.25))


def test_angle_spread_is_the_rms_angle_from_the_mean():
    angles = torch.tensor([-12.0, -4.0, 4.0, 12.0])
    rotations = roma.rotvec_to_rotmat(torch.deg2rad(angles)[:, None] * torch.tensor([0.6, 0.0, 0.8]))
    found = _angle_spread(rotations.view(1, 4, 1, 3, 3))
    assert float(found) == pytest.approx(float(angles.square().mean().sqrt()), rel=1e-2)
    assert float(_angle_spread(rotations[:1].expand(4, 3, 3).reshape(1, 4, 1, 3, 3))) == pytest.approx(0, abs=0.1)


def test_deviations_are_the_same_in_every_run_and_in_every_company(models, untrained_weights):
    together = fitter(models, untrained_weights).fit(street(), BOXES, CAMERA)
    again = fitter(models, untrained_weights).fit(street(), BOXES, CAMERA)
    np.testing.assert_array_equal(together.joint_std_mm, again.joint_std_mm)
    alone = fitter(models, untrained_weights).fit(street(), BOXES[1:], CAMERA)
    np.testing.assert_allclose(alone.joint_std_mm[0], together.joint_std_mm[1], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(alone.joint_std_deg[0], together.joint_std_deg[1], rtol=1e-2, atol=1e-2)


def test_switched_off_they_are_unknown_and_the_body_is_the_same(models, untrained_weights, photo_file):
    request = ImageRequest(photo_file, boxes_xywh=BOXES)
    on, _ = fitter(models, untrained_weights).reconstruct(request)
    off, _ = fitter(models, untrained_weights, confidence=False).reconstruct(request)
    np.testing.assert_array_equal(on.vertices_cam, off.vertices_cam)
    assert np.isnan(off.joint_std_mm).all() and np.isnan(off.joint_std_deg).all() and off.confidence == "off"
    assert on.joint_std_mm.shape == on.joint_std_deg.shape == (2, 24)
    assert (on.joint_std_mm[:, 1:] > 0).all() and (on.joint_std_deg > 0).all()
    assert (on.joint_std_mm[:, 0] == 0).all()  # relative to itself


def test_weights_without_calibration_say_so(models, untrained_weights, photo_file):
    result, _ = fitter(models, untrained_weights).reconstruct(ImageRequest(photo_file, boxes_xywh=BOXES))
    assert result.confidence == "uncalibrated"


def test_fixed_shape_holds_in_the_ensemble_too(models, untrained_weights):
    """With shape and (no) iterations given the members have nothing to disagree about."""
    people = fitter(models, untrained_weights, betas=np.zeros(10), iterations=0).fit(street(), BOXES, CAMERA)
    shown = ~people.guessed
    assert shown.mean() > 0.5
    np.testing.assert_allclose(people.joint_std_mm[shown], 0, atol=1e-3)


def test_calibration_reaches_the_result(models, untrained_weights, photo_file):
    one = fitter(models, untrained_weights)
    zeros, ones = (0.0,) * len(PREDICTORS), (1.0,) * len(PREDICTORS)
    flat = (
        VarianceModel((2 * np.log(50.0),) * 23, zeros, zeros, ones),
        VarianceModel((2 * np.log(9.0),) * 24, zeros, zeros, ones),
    )
    one.subject().confidence.calibration = Calibration("0" * 64, 1, PREDICTORS, *flat)
    people = one.fit(street(), BOXES, CAMERA)
    shown = ~people.guessed
    assert shown[:, 1:].mean() > 0.5
    np.testing.assert_allclose(people.joint_std_mm[:, 0], 0)
    np.testing.assert_allclose(people.joint_std_mm[:, 1:][shown[:, 1:]], 50.0, rtol=1e-4)
    trunk = [SMPL_JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3")]
    np.testing.assert_allclose(people.joint_std_deg[:, trunk], 9.0, rtol=1e-4)
    assert (people.joint_std_deg > 9.0 - 1e-3).all()


def test_bundled_calibration_was_made_for_the_bundled_weights():
    calibration = calibration_for(BUNDLED_WEIGHTS)
    assert calibration is not None, "run refit_training.train.calibrate for the new weights"
    assert calibration.predictors == PREDICTORS
    assert len(calibration.position.joints) == 23 and len(calibration.rotation.joints) == 24


def test_predictors_beyond_what_the_fit_saw_are_bounded():
    model = VarianceModel((0.0,) * 2, (1.0,), (5.0,), (2.0,))
    std = model.std(torch.tensor([[[1e9], [-1e9]]]))
    np.testing.assert_allclose(std, [[np.exp(LIMIT / 2), np.exp(-LIMIT / 2)]], rtol=1e-6)


def test_calibration_file_is_read_as_written(tmp_path):
    calibration = read_calibration()
    write_calibration(tmp_path / "c.json", replace(calibration, people=7))
    assert read_calibration(tmp_path / "c.json") == replace(calibration, people=7)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "refit-confidence", "version": 99}'], ids=repr)
def test_other_files_are_no_calibration(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(WeightsFileError, match=r"c\.json"):
        read_calibration(tmp_path / "c.json")


def test_digest_tells_weights_apart(tmp_path, untrained_weights):
    assert file_digest(untrained_weights) != file_digest(BUNDLED_WEIGHTS)
    assert BUNDLED_CALIBRATION.exists() and MEMBERS * 0.25 == round(MEMBERS * 0.25)
