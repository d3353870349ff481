# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometric step: towards the landmarks, through any camera, and never into nonsense."""

import pytest
import roma
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.network import CropCamera, Estimate
from refit_engine.network.geometry import cam_from_translation, project_to_crop, rotmats_to_6d
from refit_engine.network.landmark_step import landmark_step

BATCH = 4


@pytest.fixture(scope="module")
def body():
    return LandmarkBody(load_body())


def camera(off_centre=300.0):
    center = torch.tensor([[off_centre, -200.0]]).repeat(BATCH, 1)
    return CropCamera(center, torch.full((BATCH,), 400.0), torch.full((BATCH,), 900.0), torch.zeros(BATCH, 2))


def seen_person(body, view):
    """A person in front of the camera, and what a perfect landmark network would say."""
    torch.manual_seed(0)
    turn = roma.rotvec_to_rotmat(0.3 * torch.randn(BATCH, 24, 3))
    turn[:, 0] = torch.diag(torch.tensor([1.0, -1, -1])) @ turn[:, 0]
    depth = 5.0
    transl = torch.cat([(view.center - view.principal) / view.focal[:, None] * depth, torch.full((BATCH, 1), depth)], 1)
    truth = Estimate(rotmats_to_6d(turn), 0.5 * torch.randn(BATCH, 10), cam_from_translation(transl, view))
    points = body(truth.betas, turn)
    landmarks = torch.cat([project_to_crop(points, truth.cam, view), torch.ones(BATCH, 33, 1)], -1)
    return truth, landmarks


def perturbed(truth):
    turn = roma.rotvec_to_rotmat(0.25 * torch.randn(BATCH, 24, 3)) @ truth.rotmats()
    return Estimate(rotmats_to_6d(turn), truth.betas, truth.cam + torch.tensor([0.1, 0.1, -0.1]))


def taken(estimate, step):
    return estimate._replace(pose6d=estimate.pose6d + step[:, :144], cam=estimate.cam + step[:, 144:])


def pixel_error(body, estimate, view, landmarks):
    points = body(estimate.betas, estimate.rotmats())
    return (project_to_crop(points, estimate.cam, view) - landmarks[..., :2]).norm(dim=-1).mean().item()


@pytest.mark.parametrize("off_centre", [0.0, 600.0])
def test_few_steps_lead_from_a_wrong_pose_to_the_landmarks(body, off_centre):
    view = camera(off_centre)
    truth, landmarks = seen_person(body, view)
    estimate = perturbed(truth)
    before = pixel_error(body, estimate, view, landmarks)
    for _ in range(10):
        estimate = taken(estimate, landmark_step(estimate, body, view, landmarks))
    assert before > 10
    assert pixel_error(body, estimate, view, landmarks) < 0.6


def test_the_true_pose_asks_for_no_step(body):
    view = camera()
    truth, landmarks = seen_person(body, view)
    assert landmark_step(truth, body, view, landmarks).abs().max() < 1e-3


def test_landmarks_that_are_not_visible_pull_at_nothing(body):
    view = camera()
    truth, landmarks = seen_person(body, view)
    hidden = landmarks.clone()
    hidden[:, :, 2] = 0
    step = landmark_step(perturbed(truth), body, view, hidden)
    assert step[:, 144:].abs().max() < 1e-3


def test_unnormalised_rotations_are_brought_back(body):
    view = camera()
    truth, landmarks = seen_person(body, view)
    grown = truth._replace(pose6d=1.5 * truth.pose6d)
    torch.testing.assert_close(
        taken(grown, landmark_step(grown, body, view, landmarks)).pose6d, truth.pose6d, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("cam", [[-1.0, 0, 0], [1e-9, 1e6, 0], [50.0, 1e3, -1e3]])
def test_a_hopeless_estimate_gets_a_finite_step(body, cam):
    view = camera()
    truth, landmarks = seen_person(body, view)
    lost = truth._replace(cam=torch.tensor([cam]).repeat(BATCH, 1))
    assert landmark_step(lost, body, view, landmarks).isfinite().all()
