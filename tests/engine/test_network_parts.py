# SPDX-License-Identifier: GPL-3.0-or-later
"""Camera, rotations, feedback windows, keypoint sets and fast convolution, each alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import roma
import torch
from parity_rules import fill_by_rule, reference
from refit_engine.body import BodyModel, load_body
from refit_engine.network import CropCamera, ReFit, ReFitConfig
from refit_engine.network.backbones.blazepose import Conv as BlazePoseConv
from refit_engine.network.flip import mirror_camera, mirror_rotmats
from refit_engine.network.geometry import (
    bbox_features,
    crop_only,
    full_to_crop,
    project,
    project_to_crop,
    rotmats_from_6d,
    rotmats_to_6d,
    translation,
)
from refit_engine.network.inference import prepare_for_inference
from refit_engine.network.keypoints import KEYPOINT_COUNTS, LANDMARK_COUNT, dense_ids, farthest_points, keypoint_points
from refit_engine.network.lookup import lookup, window_offsets
from refit_engine.network.packed import PackedConv2d, can_pack, pack_convolutions
from refit_engine.network.vector_head import LANDMARK_VALUES, VectorHead
from refit_engine.network.winograd import WinogradConv2d
from torch import nn


@pytest.fixture
def camera() -> CropCamera:
    return CropCamera(
        center=torch.tensor([[420.0, 310.0], [900.0, 600.0]]),
        side=torch.tensor([270.0, 620.0]),
        focal=torch.tensor([1080.0, 2200.0]),
        principal=torch.tensor([[450.0, 300.0], [960.0, 540.0]]),
    )


def test_rotations_survive_the_way_through_six_numbers():
    rotmats = roma.random_rotmat((5, 24))
    torch.testing.assert_close(rotmats_from_6d(rotmats_to_6d(rotmats)), rotmats, atol=1e-6, rtol=0)


def test_any_six_numbers_are_a_rotation():
    rotmats = rotmats_from_6d(torch.randn(4, 144))
    torch.testing.assert_close(rotmats @ rotmats.mT, torch.eye(3).expand(4, 24, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(rotmats) > 0).all()


@pytest.mark.parametrize("columns", [[0.0] * 6, [1.0, 1, 0, 0, 0, 0], [1e-30] * 6])
def test_degenerate_columns_give_finite_values_and_gradients(columns):
    pose6d = torch.tensor(columns).repeat(2, 24).requires_grad_()
    rotmats = rotmats_from_6d(pose6d)
    rotmats.sum().backward()
    assert rotmats.isfinite().all()
    assert pose6d.grad.isfinite().all()


def test_crop_is_two_over_s_metres_wide_where_the_body_is(camera):
    cam = torch.tensor([[0.9, 0.0, 0.0], [0.6, 0.2, -0.1]])
    depth = translation(cam, camera)[:, 2]
    torch.testing.assert_close(camera.side * depth / camera.focal, 2 / cam[:, 0])


def test_body_without_offset_appears_in_the_middle_of_the_crop(camera):
    cam = torch.tensor([[0.9, 0.0, 0.0], [0.6, 0.0, 0.0]])
    origin = torch.zeros(2, 1, 3)
    torch.testing.assert_close(project(origin, cam, camera)[:, 0], camera.center, atol=1e-3, rtol=0)
    torch.testing.assert_close(project_to_crop(origin, cam, camera), torch.full((2, 1, 2), 128.0), atol=1e-3, rtol=0)


def test_crop_pixels_count_from_the_crops_corner(camera):
    corners = torch.stack([camera.center - camera.side[:, None] / 2, camera.center + camera.side[:, None] / 2], dim=1)
    expected = torch.tensor([[0.0, 0.0], [256.0, 256.0]]).expand(2, 2, 2)
    torch.testing.assert_close(full_to_crop(corners, camera), expected)


def test_crop_only_camera_forgets_where_the_crop_was(camera):
    assert bbox_features(crop_only(camera))[:, :2].abs().max() == 0
    assert bbox_features(camera)[:, :2].abs().min() > 0


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, -1e9, 1e-12])
@pytest.mark.parametrize("z", [0.0, -50.0, -1e5])
def test_impossible_cameras_and_depths_stay_finite_and_can_be_left(camera, scale, z):
    cam = torch.tensor([[scale, 0.1, 0.1], [0.8, 0.1, 0.1]], requires_grad=True)
    points = torch.tensor([[[0.3, 0.2, z]]]).repeat(2, 1, 1).requires_grad_()
    pixels = project_to_crop(points, cam, camera)
    assert (translation(cam, camera)[:, 2] > 0).all()
    pixels.sum().backward()
    assert pixels.isfinite().all()
    assert cam.grad.isfinite().all()
    assert points.grad.isfinite().all()


def test_scale_below_zero_is_told_the_way_up(camera):
    cam = torch.tensor([[-0.5, 0.0, 0.0]] * 2, requires_grad=True)
    translation(cam, camera)[:, 2].sum().backward()
    assert (cam.grad[:, 0] < 0).all()  # nearer is larger s


def _slow_lookup(maps: np.ndarray, points: np.ndarray, radius: int) -> np.ndarray:
    batch, count, size, _ = maps.shape
    result = np.zeros((batch, count, (2 * radius + 1) ** 2))
    for b, k in np.ndindex(batch, count):
        window = []
        for dx in range(-radius, radius + 1):
            for dy in range(-radius, radius + 1):
                x, y = points[b, k] + (dx, dy)
                left, top = int(np.floor(x)), int(np.floor(y))
                value = 0.0
                for i, j in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
                    if 0 <= i < size and 0 <= j < size:
                        value += maps[b, k, j, i] * (1 - abs(x - i)) * (1 - abs(y - j))
                window.append(value)
        result[b, k] = window
    return result


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
@pytest.mark.parametrize("radius", [0, 2, 3])
def test_lookup_is_bilinear_sampling_with_x_slow_and_zeros_outside(dtype, atol, radius):
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 16, 16, dtype=dtype)
    points = torch.rand(2, 5, 2, dtype=dtype) * 24 - 4
    fast = lookup(maps, points, window_offsets(radius).to(dtype))
    slow = torch.from_numpy(_slow_lookup(maps.numpy(), points.numpy(), radius)).to(dtype)
    torch.testing.assert_close(fast, slow, atol=atol, rtol=0)


def test_lookup_far_outside_is_zero():
    points = torch.tensor([[[1e9, -1e9], [3e38, 0.0]]])
    assert lookup(torch.ones(1, 2, 8, 8), points, window_offsets(1)).abs().max() == 0


def test_lookup_teaches_the_maps():
    maps = torch.randn(1, 1, 8, 8, requires_grad=True)
    lookup(maps, torch.tensor([[[4.0, 2.0]]]), window_offsets(0)).sum().backward()
    assert maps.grad[0, 0, 2, 4] == 1
    assert maps.grad.sum() == 1


def test_every_keypoint_set_poses_its_points():
    data = load_body()
    body = BodyModel(data)
    betas, rotmats = torch.randn(2, 10), roma.random_rotmat((2, 24))
    whole = body(betas, rotmats)
    for kind, count in KEYPOINT_COUNTS.items():
        posed = keypoint_points(body, data, kind)(betas, rotmats)
        assert posed.shape == (2, count, 3)
    torch.testing.assert_close(keypoint_points(body, data, "semantic24")(betas, rotmats), whole.joints)
    dense = keypoint_points(body, data, "dense231")(betas, rotmats)
    torch.testing.assert_close(dense, whole.vertices[:, dense_ids(data)], atol=1e-5, rtol=0)


def test_farthest_points_are_different_and_spread_out():
    grid = np.stack(np.meshgrid(*[np.arange(8.0)] * 3), axis=-1).reshape(-1, 3)
    chosen = farthest_points(grid, 27)
    assert len(set(chosen.tolist())) == 27
    apart = np.linalg.norm(grid[chosen][:, None] - grid[chosen], axis=2)
    assert apart[~np.eye(27, dtype=bool)].min() >= 2


def test_mirroring_twice_changes_nothing(camera):
    rotmats = roma.random_rotmat((2, 24))
    torch.testing.assert_close(mirror_rotmats(mirror_rotmats(rotmats)), rotmats)
    torch.testing.assert_close(mirror_camera(mirror_camera(camera)).center, camera.center)


def test_mirrored_body_is_seen_at_mirrored_pixels(camera):
    points = torch.randn(2, 9, 3) * 0.5
    cam = torch.tensor([[0.9, 0.1, -0.2], [0.6, -0.3, 0.05]])
    flip = torch.tensor([-1.0, 1, 1])
    seen = project_to_crop(points, cam, camera)
    mirrored = project_to_crop(points * flip, cam * torch.tensor([1.0, -1, 1]), mirror_camera(camera))
    torch.testing.assert_close(mirrored[..., 0], 256 - seen[..., 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(mirrored[..., 1], seen[..., 1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_winograd_convolution_is_the_convolution(bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(24, 8, 3, padding=1, bias=bias)
    maps = torch.randn(2, 24, 16, 12)
    expected = conv(maps)
    for layout in (torch.contiguous_format, torch.channels_last):
        ours = WinogradConv2d(conv)(maps.contiguous(memory_format=layout))
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)


@pytest.mark.skipif(not can_pack(), reason="PyTorch without oneDNN")
def test_packed_convolutions_do_what_they_replace():
    torch.manual_seed(0)
    convs = [
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False),
        nn.Conv2d(16, 4, 1),
    ]
    plain = nn.Sequential(*convs, BlazePoseConv(4, 4), BlazePoseConv(4, 4, linear=True)).eval()
    packed = copy.deepcopy(plain)
    with torch.inference_mode():
        pack_convolutions(packed, lambda: packed(torch.zeros(1, 8, 16, 16)))
        assert sum(isinstance(module, PackedConv2d) for module in packed.modules()) == 5
        for maps in (torch.randn(1, 8, 16, 16), torch.randn(3, 8, 12, 20)):
            torch.testing.assert_close(packed(maps), plain(maps), atol=1e-5, rtol=0)


def test_prepared_hrnet_gives_the_same_result(camera):
    model = ReFit(ReFitConfig(backbone="hrnet_w32")).eval()
    start = {"init_pose": model.init_pose.numpy(), "init_shape": np.zeros((1, 10), np.float32)}
    fill_by_rule(model, {**reference(), **start})
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    assert any(isinstance(module, WinogradConv2d) for module in prepared.modules())

    data = load_body()
    points = keypoint_points(BodyModel(data), data, "markers67")
    crop = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs, ours = (m(crop, camera, points)[-1] for m in (model, prepared))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_head_begins_with_landmarks_alone_and_learns_what_is_seen_at_them_and_where_they_are_exactly():
    torch.manual_seed(0)
    head = VectorHead(LANDMARK_VALUES + 20, 6, 16, exact=True).eval()
    vector, local = torch.randn(2, LANDMARK_VALUES + 20), torch.randn(2, LANDMARK_COUNT, 6)
    exact = torch.randn(2, LANDMARK_COUNT, 3)
    without_image = torch.cat([torch.zeros(2, 20), vector[:, -LANDMARK_VALUES:]], dim=1)
    lifted = head(without_image, None)
    torch.testing.assert_close(head(vector, local, exact), lifted)

    head(vector, local, exact).sum().backward()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter -= parameter.grad
    learned = head(vector, local, exact)
    for other in ((local.flip(1), exact), (None, exact), (local, exact.flip(1)), (local, None)):
        assert not torch.allclose(learned, head(vector, *other), atol=1e-4)
