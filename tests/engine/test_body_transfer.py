# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a shape from one body's betas to another's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from parity_rules import fake_smpl
from refit_engine.body import BodyData, load_body
from refit_engine.body.transfer import transfer_betas


@pytest.fixture(scope="module")
def bundled() -> BodyData:
    return load_body()


@pytest.fixture(scope="module")
def betas() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((20, 10)).astype(np.float32)


def shaped(body: BodyData, betas: np.ndarray) -> np.ndarray:
    return body.v_template + np.einsum("vck,nk->nvc", body.shapedirs, betas, optimize=True)


SHIFT = np.array([0.2, -0.1, 0.05], np.float32)


def other_space(body: BodyData) -> tuple[BodyData, np.ndarray]:
    """The same people with another mean, other components and vertices in another order; and that order."""
    random = np.random.default_rng(1)
    turn, _ = np.linalg.qr(random.standard_normal((10, 10)))
    mean = np.array([0.5, -1, 0.3, 0, 0.5, 0, 0, 0, 0, 0])
    order = random.permutation(len(body.v_template))
    template, directions = body.joints_linear()
    other = replace(
        body,
        name="other",
        kind="smpl",
        v_template=(body.v_template + body.shapedirs @ mean)[order] + SHIFT,
        shapedirs=(body.shapedirs @ turn)[order],
        weights=body.weights[order],
        joint_template=template + directions @ mean + SHIFT,
        joint_shapedirs=directions @ turn,
    )
    return other, order


def test_betas_of_the_same_body_are_kept(bundled, betas):
    np.testing.assert_array_equal(transfer_betas(bundled, betas, load_body()), betas)


def test_the_same_people_are_found_in_another_space(bundled, betas):
    other, order = other_space(bundled)
    found = transfer_betas(bundled, betas, other)
    error = np.linalg.norm(shaped(other, found) - SHIFT - shaped(bundled, betas)[:, order], axis=2)
    spread = np.linalg.norm(shaped(bundled, betas) - bundled.v_template, axis=2)
    assert error.mean() < 0.15 * spread.mean()
    joints, directions = other.joints_linear()
    expected, expected_directions = bundled.joints_linear()
    ours = joints - joints[0] + np.einsum("jck,nk->njc", directions - directions[0], found)
    theirs = expected + np.einsum("jck,nk->njc", expected_directions, betas)
    assert np.linalg.norm(ours - theirs, axis=2).mean() < 0.004


def test_an_unlike_body_gets_moderate_betas(bundled, betas, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **fake_smpl())
    found = transfer_betas(bundled, betas, load_body(tmp_path / "SMPL_NEUTRAL.npz"))
    assert found.shape == betas.shape and found.dtype == betas.dtype
    assert np.isfinite(found).all()


def test_a_single_shape_needs_no_batch(bundled, betas):
    other, _ = other_space(bundled)
    single = transfer_betas(bundled, betas[0], other)
    np.testing.assert_allclose(single, transfer_betas(bundled, betas, other)[0], atol=1e-5)
