# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: gradients are right, losses vanish at the truth, a run goes on where it stopped."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_engine.body import LandmarkBody, load_body  # noqa: E402
from refit_engine.network.backbones import BackboneOutput  # noqa: E402
from refit_engine.network.geometry import cam_from_translation, rotmats_to_6d  # noqa: E402
from refit_engine.network.lookup import lookup, window_offsets  # noqa: E402
from refit_engine.network.refit import Estimate  # noqa: E402
from refit_engine.training import features, train  # noqa: E402
from refit_engine.training.features import FeatureStore, write_shard  # noqa: E402
from refit_engine.training.landmarks import LandmarkNoise, locate, simulate_encoding  # noqa: E402
from refit_engine.training.losses import Labels, estimate_losses  # noqa: E402
from refit_engine.training.measure_synthetic import measure, summary  # noqa: E402
from refit_engine.training.poses import PoseLibrary  # noqa: E402
from refit_engine.training.sparse_lookup import SparseLookup  # noqa: E402
from refit_engine.training.views import sample_views  # noqa: E402

SHARD = 8


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(0)
    quaternions = np.concatenate([0.15 * rng.standard_normal((12, 24, 3)), np.ones((12, 24, 1))], axis=2)
    quaternions /= np.linalg.norm(quaternions, axis=2, keepdims=True)
    return PoseLibrary(quaternions.astype(np.float32), np.full(12, 1 / 12), np.arange(12))


@pytest.fixture(scope="module")
def views(poses):
    return sample_views(np.random.default_rng(1), poses.rotmats()[:SHARD], load_body())


@pytest.fixture
def folder(tmp_path, monkeypatch, views):
    """Two shards of people whose landmarks the backbone saw three pixels too far right."""
    monkeypatch.setattr(features, "SHARD", SHARD)
    located = locate(landmarks_of(views), views)
    torch.manual_seed(0)
    for name in ("a", "b"):
        flat = located[..., :2] + torch.tensor([3.0, 0])
        sure = torch.ones(SHARD, 33, 1)
        values = torch.cat([flat / 128 - 1, located[..., 2:3] / 128, sure, sure], -1)
        last = torch.randn(SHARD, 1152)
        vector = torch.cat([last, values.flatten(1), located[..., 3:].flatten(1), torch.ones(SHARD, 1)], 1)
        output = BackboneOutput(torch.randn(SHARD, 48, 64, 64), vector, torch.cat([flat, sure], -1))
        write_shard(tmp_path, name, [output], views)
    return tmp_path


def landmarks_of(views):
    return LandmarkBody(load_body())(views.betas, views.rotmats) + views.transl[:, None]


def test_sparse_lookup_has_the_values_and_the_gradient_of_lookup():
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    points, offsets = torch.rand(3, 5, 2) * 90 - 12, window_offsets(3)
    windows = lookup(maps.contiguous(), points, offsets)
    pull = torch.randn_like(windows)
    (expected,) = torch.autograd.grad((windows * pull).sum() + (2 * windows * pull).sum(), maps)

    sparse = SparseLookup()
    seen = sparse.begin(maps * 1.0)
    first, second = (sparse(seen, points, offsets) for _ in range(2))
    torch.testing.assert_close(first, windows)
    ((first * pull).sum() + (2 * second * pull).sum()).backward()
    sparse.finish()
    torch.testing.assert_close(maps.grad, expected)


def test_losses_vanish_at_the_truth_and_only_there(views):
    points = landmarks_of(views) - views.transl[:, None]
    labels = Labels(views.rotmats, views.betas, views.transl, points)
    truth = Estimate(rotmats_to_6d(views.rotmats), views.betas, cam_from_translation(views.transl, views.camera))
    for value in estimate_losses(truth, points, labels, views.camera, views.camera).values():
        assert value < 1e-4
    moved = truth._replace(cam=truth.cam * 1.2, betas=truth.betas + 1)
    terms = estimate_losses(moved, points + 0.1 * torch.rand_like(points), labels, views.camera, views.camera)
    assert all(terms[name] > 0.01 for name in ("keypoints2d", "keypoints3d", "betas", "depth"))


def test_borrowed_noise_is_that_of_people_who_look_alike(folder, views):
    noise = LandmarkNoise(FeatureStore(folder))
    assert len(noise.understood()) == 2 * SHARD
    torch.manual_seed(0)
    encoding = simulate_encoding(landmarks_of(views), views, 67, noise)
    shift = encoding.landmarks[..., :2] - locate(landmarks_of(views), views)[..., :2]
    assert 0.5 < shift[..., 0].mean() < 2.5  # a random share of three pixels
    assert shift[..., 1].mean().abs() < 0.5


def test_held_out_poses_are_not_trained_on(poses):
    kept, tested = poses.part(held_out=False), poses.part(held_out=True)
    assert len(kept) + len(tested) == len(poses) and len(tested) == 2
    assert not set(kept.clips) & set(tested.clips)


def test_run_that_was_stopped_goes_on_and_leaves_weights_that_can_be_measured(folder, poses, tmp_path):
    library = tmp_path / "library" / "poses.npz"
    library.parent.mkdir()
    poses.save(library)
    command = ["images", "--poses", str(library), "--features", str(folder), "--out", str(tmp_path / "run")]
    settings = ["--batch", "4", "--iterations", "1"]
    train.main([*command, *settings, "--steps", "2"])
    train.main([*command, *settings, "--steps", "3"])
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["step"] == 3
    trainer = train.Trainer(tmp_path / "run", 1e-4, 3)
    trainer.restore(None)
    (errors, classes), *_ = measure(trainer.network, FeatureStore(folder), [0, 1])
    assert errors.shape == (2, 2 * SHARD, 3) and errors.isfinite().all()
    assert all(len(members) == 2 * SHARD for members in classes.values())
    assert json.dumps(summary(errors[0]))
