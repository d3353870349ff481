# SPDX-License-Identifier: GPL-3.0-or-later
"""How far joints of a body from several cameras may be off: more when seen less."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_doubles import ScriptedDetector, ScriptedModels, street
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.fitting import FitOptions
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.multiview.covariance import NUMBERS, joint_deviations, unknowns_covariance
from refit_engine.fitting.multiview.fit import fit_person
from refit_engine.fitting.multiview.refinement import point_slopes
from test_multiview import camera_views, landmarks_of, rows_of, standing

WRIST, ANKLE = 20, 7  # left


@pytest.fixture(scope="module")
def body():
    return load_body()


def deviations(body, views, confidence=None, weight=1.0):
    """Of a body whose landmarks are seen exactly, each as confident as said [33]."""
    truth, rows = standing(body), rows_of(views)
    seen = landmarks_of(truth, rows, body)
    if confidence is not None:
        seen = seen._replace(confidence=seen.confidence * confidence)
    weights = torch.full((len(views),), weight, dtype=torch.float64)
    like = torch.zeros(1)
    spread = unknowns_covariance(truth, LandmarkBody(body), rows.rays(seen), weights, rows, like, fixed_shape=False)
    slopes = point_slopes(truth.betas, truth.rotmats, BodyModel(body).joints, like)[1]
    return joint_deviations(spread, slopes)


def test_each_unknown_moves_and_turns_what_it_should():
    covariance_of_turns = torch.zeros(1, 85, 85, dtype=torch.float64)
    covariance_of_turns[0, 3, 3] = 0.1**2  # the left hip turns about X by 0.1 radians
    slopes = torch.zeros(1, 85, 24, 3, dtype=torch.float64)
    slopes[0, 3, ANKLE, 2] = 0.8
    found = joint_deviations(covariance_of_turns, slopes)
    assert float(found.std_mm[0, ANKLE]) == pytest.approx(80 * NUMBERS.position_factor)
    assert float(found.std_deg[0, 1]) == pytest.approx(np.degrees(0.1) * NUMBERS.rotation_factor)
    assert int((found.std_mm > 0).sum()) == int((found.std_deg > 0).sum()) == 1


def test_a_place_in_the_world_that_is_unknown_does_not_matter_to_the_pose():
    spread = torch.zeros(1, 85, 85, dtype=torch.float64)
    spread[0, 82:, 82:] = torch.eye(3)
    slopes = torch.zeros(1, 85, 24, 3, dtype=torch.float64)
    slopes[0, 82:] = torch.eye(3)[:, None].double()
    assert (joint_deviations(spread, slopes).std_mm == 0).all()


def test_more_cameras_and_more_trusted_ones_make_joints_more_certain(body):
    two, four, doubted = (
        deviations(body, camera_views(2)), deviations(body, camera_views(4)), deviations(body, camera_views(4), weight=0.1)
    )  # fmt: skip
    assert (four.std_mm[0, 1:].mean() < two.std_mm[0, 1:].mean()) and (four.std_deg.mean() < two.std_deg.mean())
    assert doubted.std_mm[0, 1:].mean() > four.std_mm[0, 1:].mean()
    assert (four.std_mm[:, 0] == 0).all() and torch.isfinite(two.std_deg).all()


def test_hidden_arm_is_the_least_certain(body):
    seen = torch.ones(33, dtype=torch.float64)
    seen[[LANDMARK_NAMES.index(f"left_{part}") for part in ("elbow", "wrist", "pinky", "index", "thumb")]] = 0.01
    open_arm, hidden_arm = deviations(body, camera_views(4)), deviations(body, camera_views(4), seen)
    assert hidden_arm.std_mm[0, WRIST] > 2 * open_arm.std_mm[0, WRIST]
    assert hidden_arm.std_mm[0, ANKLE] == pytest.approx(float(open_arm.std_mm[0, ANKLE]), rel=0.1)


def test_fit_gives_deviations_if_asked_and_the_same_body_either_way(untrained_weights):
    models = ScriptedModels(ScriptedDetector([]))
    options = FitOptions(weights=untrained_weights, iterations=2)
    views = camera_views(3, street())
    boxes = np.tile([110.0, 40, 90, 170], (3, 1))
    on, off = (
        fit_person(FitJob(models, replace(options, confidence=wanted), "cpu"), views, boxes) for wanted in (True, False)
    )
    assert on.joint_std_mm.shape == on.joint_std_deg.shape == (1, 24)
    assert np.isfinite(on.joint_std_mm).all() and (on.joint_std_deg > 0).all()
    assert np.isnan(off.joint_std_mm).all() and np.isnan(off.joint_std_deg).all()
    np.testing.assert_array_equal(on.vertices, off.vertices)
