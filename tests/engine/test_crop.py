# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops: pixels and camera must tell the same geometry, rolled or not."""

import numpy as np
import pytest
from refit_engine.camera import Intrinsics, project
from refit_engine.crop import (
    CROP_SIZE,
    Crop,
    box_crop,
    crop_matrix,
    cut,
    invert,
    roll_rotation,
    rolled_center,
    transform,
    upright_crop,
)

CAMERAS = {
    "centred": Intrinsics(np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]]), "default"),
    "shifted": Intrinsics(np.array([[700.0, 0, 100], [0, 700, 400], [0, 0, 1]]), "scene"),
    "wide pixels": Intrinsics(np.array([[900.0, 0, 300], [0, 600, 260], [0, 0, 1]]), "scene"),
}
ROLLS = [0.0, 0.4, np.pi / 2, -2.5, np.pi]


def blobs(places, size=(480, 640), width=6.0):
    """An image with a soft dot at each pixel position (corner origin), one per colour channel."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    dots = [255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)) for px, py in places]
    return np.stack(dots, axis=-1).astype(np.uint8)


def centroids(image):
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]] + 0.5
    weights = image.astype(float)
    return np.stack([(x[..., None] * weights).sum((0, 1)), (y[..., None] * weights).sum((0, 1))], -1) / weights.sum(
        (0, 1)
    ).reshape(-1, 1)


@pytest.mark.parametrize("roll", ROLLS)
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_rolled_camera_projects_points_to_where_the_warp_puts_their_pixels(camera, roll):
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-1, 1, (50, 2)), rng.uniform(2, 5, 50)])
    crop = Crop(np.array([333.0, 222.0]), 310.0, roll)

    warped = transform(crop_matrix(crop, camera), project(points, camera.K))

    # The network's view of it: square pixels of focal length fx, turned camera, axis-aligned crop.
    turned = points @ roll_rotation(roll).T
    rolled = turned[:, :2] / turned[:, 2:] * camera.focal[0] + camera.principal
    seen = (rolled - (rolled_center(crop, camera) - crop.side / 2)) * CROP_SIZE / crop.side
    np.testing.assert_allclose(warped, seen, atol=1e-9)


@pytest.mark.parametrize("roll", ROLLS)
@pytest.mark.parametrize("side", [150.0, 256.0, 620.0])
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_pixels_arrive_where_the_matrix_says_at_every_scale(camera, side, roll):
    places = np.array([[300.0, 230.0], [352.5, 240.0], [320.0, 200.25]])
    crop = Crop(np.array([325.0, 228.0]), side, roll)
    found = centroids(cut(blobs(places, width=0.02 * side), crop, camera))
    assert np.abs(found - transform(crop_matrix(crop, camera), places)).max() < 0.25


def test_outside_of_the_image_is_black():
    image = np.full((100, 100, 3), 255, np.uint8)
    patch = cut(image, Crop(np.array([0.0, 50.0]), 100.0), CAMERAS["centred"])
    assert (patch[:, :120] == 0).all() and (patch[5:-5, 136:] == 255).all()
    assert (cut(image, Crop(np.array([900.0, 50.0]), 100.0), CAMERAS["centred"]) == 0).all()


def test_fine_texture_is_averaged_not_aliased_when_a_crop_shrinks():
    stripes = np.zeros((2048, 2048, 3), np.uint8)
    stripes[:, ::2] = 255
    camera = Intrinsics(np.array([[2000.0, 0, 1024], [0, 2000, 1024], [0, 0, 1]]), "default")
    for roll in (0.0, 0.3):
        patch = cut(stripes, Crop(np.array([1024.0, 1024.0]), 1400.0, roll), camera)
        assert patch.std() < 15  # of 127


def test_box_crop_is_the_published_square():
    crop = box_crop(np.array([10.0, 20, 100, 200]), CAMERAS["centred"])
    assert crop.center.tolist() == [60, 120]
    assert crop.side == pytest.approx(240)


def test_box_crop_of_wide_pixels_covers_the_box():
    camera = CAMERAS["wide pixels"]
    box = np.array([100.0, 50, 80, 200])
    corners = np.array([[100.0, 50], [180, 50], [100, 250], [180, 250]])
    inside = transform(crop_matrix(box_crop(box, camera), camera), corners)
    assert inside.min() > 0 and inside.max() < CROP_SIZE


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 3.1, -1.6])
def test_upright_crop_puts_the_hips_in_the_middle_and_the_body_upwards(camera, angle):
    first = Crop(np.array([300.0, 250.0]), 400.0, roll=0.2)
    to_crop = crop_matrix(first, camera)
    stretch = np.array([1.0, camera.focal[1] / camera.focal[0]])
    hip = np.array([310.0, 240.0])
    top = hip + 90 * np.array([np.sin(angle), -np.cos(angle)]) * stretch
    crop = upright_crop(first, camera, *transform(to_crop, np.stack([hip, top])))
    seen = transform(crop_matrix(crop, camera), np.stack([hip, top]))
    np.testing.assert_allclose(seen, [[128, 128], [128, 128 - 128 / 1.25]], atol=1e-6)


def test_upright_crop_without_a_direction_keeps_the_first_crop():
    first = Crop(np.array([300.0, 250.0]), 400.0)
    assert upright_crop(first, CAMERAS["centred"], np.array([5.0, 5]), np.array([5.0, 5])) is first


def test_invert_undoes_an_affine():
    matrix = crop_matrix(Crop(np.array([30.0, 20]), 77.0, 1.1), CAMERAS["wide pixels"])
    points = np.random.default_rng(0).normal(size=(5, 2)) * 100
    np.testing.assert_allclose(transform(invert(matrix), transform(matrix, points)), points)
