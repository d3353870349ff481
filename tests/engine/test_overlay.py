# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies drawn over photos, checked with balls, whose outline and shade are known."""

import numpy as np
import pytest
from refit_engine.overlay import draw_overlay, guessed_vertices

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def ball(center, radius=0.4, n=40):
    """Vertices [V,3] and faces [F,3] that look outwards."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, n, endpoint=False), indexing="ij")
    vertices = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], axis=-1)
    a, b = np.meshgrid(np.arange(n - 1), np.arange(n), indexing="ij")

    def corner(i, j):
        return (i * n + j % n).ravel()

    one = np.stack([corner(a, b), corner(a, b + 1), corner(a + 1, b)], axis=1)
    two = np.stack([corner(a, b + 1), corner(a + 1, b + 1), corner(a + 1, b)], axis=1)
    return vertices.reshape(-1, 3) * radius + center, np.concatenate([one, two])


def changed(image, drawn):
    return np.abs(drawn.astype(int) - image).sum(axis=2) > 0


@pytest.fixture
def photo():
    return np.full((480, 640, 3), 120, np.uint8)


def test_outline_lies_where_the_camera_sees_the_body(photo):
    vertices, faces = ball((0.3, -0.2, 4.0))
    drawn = draw_overlay(photo, vertices[None], faces, K)
    rows, columns = np.nonzero(changed(photo, drawn))
    seen = vertices[:, :2] / vertices[:, 2:] * 600 + (320, 240)
    low, high = seen.min(axis=0), seen.max(axis=0)
    assert np.abs(np.array([columns.min(), rows.min()]) - low).max() < 1.5
    assert np.abs(np.array([columns.max() + 1, rows.max() + 1]) - high).max() < 1.5
    middle = np.pi / 4 * (high - low).prod()
    assert changed(photo, drawn).sum() == pytest.approx(middle, rel=0.03)


def test_nearer_body_hides_the_farther_one(photo):
    near, faces = ball((0.0, 0, 3.0))
    far, _ = ball((0.0, 0, 5.0))
    alone = draw_overlay(photo, np.stack([near]), faces, K)
    both = draw_overlay(photo, np.stack([near, far]), faces, K)
    np.testing.assert_array_equal(both[240, 320], alone[240, 320])


def test_people_have_different_colours(photo):
    left, faces = ball((-0.8, 0, 4.0))
    right, _ = ball((0.8, 0, 4.0))
    drawn = draw_overlay(photo, np.stack([left, right]), faces, K).astype(int)
    assert np.abs(drawn[240, 200] - drawn[240, 440]).max() > 30


def test_photo_shines_through(photo):
    photo[:, ::2] = 200
    vertices, faces = ball((0.0, 0, 3.0))
    drawn = draw_overlay(photo, vertices[None], faces, K).astype(int)
    assert np.abs(drawn[240, 320] - drawn[240, 321]).max() > 10


@pytest.mark.parametrize("center", [(0, 0, -3.0), (0, 0, 0.0), (0, 0, 0.2), (50.0, 0, 4), (np.nan, 0, 3)], ids=str)
def test_bodies_behind_beside_or_around_the_camera_are_survived(photo, center):
    vertices, faces = ball(center)
    assert draw_overlay(photo, vertices[None], faces, K).shape == photo.shape


def test_nobody_leaves_the_photo_as_it_is_and_the_original_is_never_touched(photo):
    vertices, faces = ball((0.0, 0, 3.0))
    before = photo.copy()
    np.testing.assert_array_equal(draw_overlay(photo, np.empty((0, *vertices.shape)), faces, K), photo)
    draw_overlay(photo, vertices[None], faces, K)
    np.testing.assert_array_equal(photo, before)


def test_guessed_parts_are_hatched(photo):
    vertices, faces = ball((0.0, 0, 3.0))
    seen = draw_overlay(photo, vertices[None], faces, K)
    half = (vertices[:, 0] > 0)[None]
    hatched = draw_overlay(photo, vertices[None], faces, K, half)
    changed = (seen != hatched).any(axis=-1)
    left, right = changed[:, :310], changed[:, 330:]
    assert not left.any() and right.any()
    row = changed[240, 330:360]
    assert 0.3 < row.mean() < 0.7 and np.abs(np.diff(row.astype(int))).sum() >= 3  # stripes


def test_part_is_guessed_where_all_that_hangs_on_it_is():
    parents = np.array([-1, 0, 1, 1])
    weights = np.eye(4)
    guessed = np.array([[False, False, True, False], [False, True, True, True], [False, False, True, True]])
    found = guessed_vertices(weights, parents, guessed)
    assert found.tolist() == [[False, False, True, False], [True] * 4, [False, True, True, True]]
