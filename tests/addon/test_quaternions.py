# SPDX-License-Identifier: GPL-3.0-or-later
"""Quaternions in arrays, against matrices; and the heading of somebody who turns over."""

import numpy as np
import pytest
from mathutils import Quaternion
from synthetic_body import random_rotations

from refit_blender.motion_keys import quaternions_of
from refit_blender.quaternions import conjugated, headings, inverse, product, rotated


def matrices(quaternions: np.ndarray) -> np.ndarray:
    return np.array([Quaternion(one.tolist()).to_matrix() for one in quaternions])


def test_they_are_the_same_rotations_as_matrices():
    rng = np.random.default_rng(0)
    first, second = random_rotations(rng, 8, 3.0), random_rotations(rng, 8, 3.0)
    p, q = quaternions_of(first), quaternions_of(second)
    np.testing.assert_allclose(matrices(product(p, q)), first @ second, atol=1e-6)
    np.testing.assert_allclose(matrices(inverse(p)), first.transpose(0, 2, 1), atol=1e-6)
    np.testing.assert_allclose(matrices(conjugated(p, q)), first @ second @ first.transpose(0, 2, 1), atol=1e-6)
    vectors = rng.normal(size=(8, 3))
    np.testing.assert_allclose(rotated(p, vectors), np.einsum("kab,kb->ka", first, vectors), atol=1e-6)


@pytest.mark.parametrize("tilt", [0.0, 0.7, 2.0])
def test_a_heading_is_what_a_tilted_body_is_turned_by(tilt):
    turn = np.array([Quaternion((0, 0, 1), angle)[:] for angle in np.linspace(-3, 3, 9)])
    lean = np.array(Quaternion((0.6, 0.8, 0), tilt)[:])
    np.testing.assert_allclose(np.abs((headings(product(turn, lean)) * turn).sum(axis=1)), 1, atol=1e-9)


def test_a_heading_does_not_jump_while_somebody_turns_over():
    rng = np.random.default_rng(1)
    over = np.array([Quaternion((0, 1, 0), angle)[:] for angle in np.linspace(0, 2 * np.pi, 61)])
    shaking = quaternions_of(random_rotations(rng, 61, 0.05))
    found = headings(product(shaking, over))
    angles = np.degrees(np.unwrap(2 * np.arctan2(found[:, 3], found[:, 0])))
    assert np.abs(angles).max() < 25 and np.abs(np.diff(angles)).max() < 15
