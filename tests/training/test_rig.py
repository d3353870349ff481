# SPDX-License-Identifier: GPL-3.0-or-later
"""The people and the measures of the rig that Blender renders."""

from __future__ import annotations

import json

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.camera import Intrinsics
from refit_engine.fitting.multiview.fit import View
from refit_training.evaluation.measure_rig import Errors, Shot, Truth, turned

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_training.poses import PoseLibrary
from refit_training.render.rig_people import random_bodies


@pytest.fixture
def bodies():
    rng = np.random.default_rng(2)
    quaternions = roma.rotvec_to_unitquat(torch.from_numpy(rng.normal(size=(5, 24, 3)) * 0.2)).numpy()
    library = PoseLibrary(quaternions, np.full(5, 0.2), np.zeros(5, int))
    return random_bodies(rng, library, 4)


def test_people_stand_on_the_ground_upright_as_their_parameters_say(bodies):
    np.testing.assert_allclose(bodies["vertices"][..., 2].min(axis=1), 0, atol=1e-6)
    assert (bodies["joints"][:, 15, 2] > bodies["joints"][:, 0, 2] + 0.3).all()
    parameters = (torch.from_numpy(bodies[name]) for name in ("betas", "rotmats", "transl"))
    posed = BodyModel(load_body()).double()(*parameters)
    np.testing.assert_allclose(posed.vertices.numpy(), bodies["vertices"], atol=1e-6)


def test_turned_camera_stays_where_it_is_and_turns_by_that_much():
    R = roma.random_rotmat(dtype=torch.float64).numpy()
    view = View("a", np.zeros((2, 2, 3), np.uint8), Intrinsics(np.eye(3), "scene"), R, np.array([0.1, 0.2, 3.0]))
    found = turned(Shot(view, np.zeros(4)), 3.0, np.random.default_rng(0)).view
    np.testing.assert_allclose(found.R.T @ found.t, R.T @ view.t, atol=1e-12)
    angle = roma.rotmat_geodesic_distance(torch.from_numpy(found.R), torch.from_numpy(R))
    assert np.degrees(angle.item()) == pytest.approx(3.0)


def test_errors_are_millimetres_in_the_world_and_about_the_pelvis():
    truth = Truth(np.zeros(10), np.random.default_rng(1).normal(size=(24, 3)))
    moved, lifted = truth.joints + [0.03, 0.04, 0.0], truth.joints.copy()
    lifted[1:, 2] += 0.024
    errors = Errors()
    errors.add("case", "way", moved[None], truth)
    errors.add("case", "way", lifted[None], truth)
    (line,) = map(json.loads, errors.lines())
    assert line["scenes"] == 2
    assert line["way, absolute"] == {"mean": 36.5, "median": 36.5}
    assert line["way, pose"] == {"mean": 11.5, "median": 11.5}
