# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the fusion of keypoints, on people of whom it is known which eye is right."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from engine_doubles import STANDING
from refit_engine.fitting.crops.keypoint_fusion import SHARED, KeypointFusion, directions
from refit_engine.network.vector_head import LANDMARK_VALUES
from refit_training.train import keypoint_fusion
from refit_training.train.keypoint_fusion import Seen, cost, fit_moves, fused, mirrored, summary, train


def people(count: int = 256, wrong: float = 20.0) -> Seen:
    """Of every joint one eye is right and sure, the other one is unsure and far off."""
    generator = torch.Generator().manual_seed(0)
    true = torch.full((count, 33, 2), 128.0)
    true[:, SHARED] = torch.tensor(STANDING, dtype=torch.float32)
    second = torch.rand(count, 17, generator=generator) < 0.5
    off = wrong * torch.nn.functional.normalize(torch.randn(count, 17, 2, generator=generator), dim=-1)
    landmarks = torch.cat([true, torch.full((count, 33, 1), 0.9)], -1)
    landmarks[:, SHARED, :2] += off * second[..., None]
    peaks = torch.full((count, 33), 0.8)
    peaks[:, SHARED] -= 0.6 * second
    joints = torch.cat([true[:, SHARED] + off * ~second[..., None], 0.2 + 0.6 * second[..., None]], -1)
    flat = torch.cat([landmarks[..., :2] / 128 - 1, torch.zeros(count, 33, 1), peaks[..., None].expand(-1, -1, 2)], -1)
    vector = torch.cat([flat.flatten(1), torch.zeros(count, LANDMARK_VALUES - 165)], 1)
    return Seen(landmarks, vector, peaks, joints, true)


def test_the_eye_that_is_right_is_learned_from_how_sure_it_is(monkeypatch):
    monkeypatch.setattr(keypoint_fusion, "STEPS", 200)
    torch.manual_seed(0)
    network, seen = KeypointFusion(), people()
    train(network, seen[:192])
    figures = summary(network, seen[192:])
    assert 30 < figures["blazepose"]["within 0.2"] < 70 and 30 < figures["thunder"]["within 0.2"] < 70
    assert figures["fused"]["within 0.2"] > 95 and figures["fused"]["within 0.1"] > 90


def test_how_far_the_eyes_mean_apart_is_found_in_spite_of_mistakes():
    network, seen = KeypointFusion(), people(128, wrong=0.0)
    places = torch.cat([seen.joints[..., :2] + 6 * torch.randn(128, 17, 2), seen.joints[..., 2:]], -1)
    moves = 0.05 * torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    wanted = (directions(places[..., :2]) * moves[network.kinds.argmax(1)][:, :, None]).sum(2)
    landmarks = seen.landmarks.clone()
    landmarks[:, SHARED, :2] = places[..., :2] + wanted
    landmarks[::8, SHARED, 0] += 60
    fit_moves(network, Seen(landmarks, seen.vector, seen.peaks, places, seen.true))
    found = network.moved(places)[..., :2]
    assert (found - places[..., :2] - wanted)[1::8].norm(dim=-1).mean() < 1.0


def test_mirrored_twice_is_as_it_was_and_once_exchanges_the_sides():
    seen = people(4)
    again = mirrored(mirrored(seen))
    for name in ("landmarks", "vector", "peaks", "joints", "true"):
        torch.testing.assert_close(getattr(again, name), getattr(seen, name), atol=1e-4, rtol=0)
    once = mirrored(seen)
    torch.testing.assert_close(once.true[:, 15, 0], 256 - seen.true[:, 16, 0])
    torch.testing.assert_close(once.joints[:, 9, 2], seen.joints[:, 10, 2])


def test_fused_joints_lie_between_both():
    torch.manual_seed(0)
    network, seen = KeypointFusion(), people(8)
    between = fused(network, seen)
    ours, theirs = seen.landmarks[:, SHARED, :2], seen.joints[..., :2]
    detour = (between - ours).norm(dim=-1) + (between - theirs).norm(dim=-1) - (ours - theirs).norm(dim=-1)
    assert detour.abs().max() < 1e-3


def test_a_wrong_joint_costs_little_more_if_it_is_farther_off():
    off = torch.tensor([0.0, 8.0, 40.0, 80.0])
    near, close, far, farther = cost(off).tolist()
    assert near == 0 and close == pytest.approx(0.52) and far < farther < far + 0.2
