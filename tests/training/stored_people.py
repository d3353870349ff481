# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses, pictures and features on disk, a handful each, for the tests of training."""

import numpy as np
import pytest
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.network.backbones import BackboneOutput

SHARD = 8


def landmarks_of(views):
    return LandmarkBody(load_body())(views.betas, views.rotmats) + views.transl[:, None]


@pytest.fixture(scope="session")
def poses():
    from refit_training.poses import PoseLibrary

    rng = np.random.default_rng(0)
    quaternions = np.concatenate([0.15 * rng.standard_normal((12, 24, 3)), np.ones((12, 24, 1))], axis=2)
    quaternions /= np.linalg.norm(quaternions, axis=2, keepdims=True)
    return PoseLibrary(quaternions.astype(np.float32), np.full(12, 1 / 12), np.arange(12))


@pytest.fixture(scope="session")
def views(poses):
    from refit_training.train.views import sample_views

    return sample_views(np.random.default_rng(1), poses.rotmats()[:SHARD], load_body())


@pytest.fixture
def folder(tmp_path, monkeypatch, views):
    """Two shards of people whose landmarks the backbone saw three pixels too far right."""
    from refit_training import shards
    from refit_training.train.features import write_features
    from refit_training.train.landmarks import locate

    monkeypatch.setattr(shards, "SHARD", SHARD)
    located = locate(landmarks_of(views), views)
    torch.manual_seed(0)
    out = tmp_path / "features"
    out.mkdir()
    for name in ("a", "b"):
        flat = located[..., :2] + torch.tensor([3.0, 0])
        sure = torch.ones(SHARD, 33, 1)
        values = torch.cat([flat / 128 - 1, located[..., 2:3] / 128, sure, sure], -1)
        last = torch.randn(SHARD, 1152)
        vector = torch.cat([last, values.flatten(1), located[..., 3:].flatten(1), torch.ones(SHARD, 1)], 1)
        local = torch.randn(SHARD, 33, 432)
        landmarks = torch.cat([flat, sure], -1)
        output = BackboneOutput(
            torch.randn(SHARD, 48, 64, 64), vector, landmarks, local=local, peaks=torch.ones(SHARD, 33)
        )
        write_features(out, name, output, torch.full((SHARD, 17, 3), torch.nan), views)
    return out


@pytest.fixture
def renders(tmp_path, monkeypatch, views):
    """A shard of people of whom the pictures show nothing."""
    from refit_training import shards

    monkeypatch.setattr(shards, "SHARD", SHARD)
    out = tmp_path / "renders"
    out.mkdir()
    pictures = np.random.default_rng(2).integers(0, 255, (SHARD, 256, 256, 3), np.uint8)
    shards.write_shard(out, "a", pictures, views)
    return out
