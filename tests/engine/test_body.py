# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled body: what it must look like to whoever poses it."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import SMPL_JOINT_NAMES, SMPL_PARENTS, BodyData, BodyModel, load_body
from refit_engine.body.joints import mirrored_name
from refit_engine.body.points import LANDMARK_NAMES, MARKER_NAMES


@pytest.fixture(scope="module")
def body() -> BodyData:
    return load_body()


@pytest.fixture(scope="module")
def model(body) -> BodyModel:
    return BodyModel(body)


@pytest.fixture(scope="module")
def joints(body) -> dict[str, np.ndarray]:
    return dict(zip(SMPL_JOINT_NAMES, body.joints_linear()[0], strict=True))


def direction(joints: dict[str, np.ndarray], start: str, end: str) -> np.ndarray:
    bone = joints[end] - joints[start]
    return bone / np.linalg.norm(bone)


def random_pose(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    axes = torch.randn(batch, 24, 3, generator=generator) * 0.4
    return torch.randn(batch, 10, generator=generator), roma.rotvec_to_rotmat(axes)


def unposed(batch: int) -> torch.Tensor:
    return torch.eye(3).expand(batch, 24, 3, 3)


def test_it_stands_at_the_origin_facing_forward(body, joints):
    np.testing.assert_allclose(joints["pelvis"], 0, atol=1e-6)
    height = np.ptp(body.v_template[:, 1])
    assert 1.6 < height < 1.8
    nose = body.v_template[body.landmark_ids[LANDMARK_NAMES.index("nose")]].mean(axis=0)
    assert nose[2] > joints["head"][2] + 0.05
    assert joints["left_foot"][2] > joints["left_ankle"][2] + 0.08


def test_arms_are_level_and_straight_and_legs_hang(joints):
    for side, sign in (("left", 1), ("right", -1)):
        upper = direction(joints, f"{side}_shoulder", f"{side}_elbow")
        fore = direction(joints, f"{side}_elbow", f"{side}_wrist")
        hand = direction(joints, f"{side}_wrist", f"{side}_hand")
        for bone in (upper, fore, hand):
            assert bone[0] * sign > np.cos(np.deg2rad(8))
        assert direction(joints, f"{side}_hip", f"{side}_knee")[1] < -np.cos(np.deg2rad(8))
        assert direction(joints, f"{side}_knee", f"{side}_ankle")[1] < -np.cos(np.deg2rad(8))


def test_palms_face_down_and_thumbs_forward(body):
    points = {
        name: body.v_template[ids].mean(axis=0) for name, ids in zip(LANDMARK_NAMES, body.landmark_ids, strict=True)
    }
    for side in ("left", "right"):
        assert points[f"{side}_index"][2] > points[f"{side}_pinky"][2] + 0.04
        assert abs(points[f"{side}_index"][1] - points[f"{side}_pinky"][1]) < 0.02
        assert points[f"{side}_thumb"][2] > points[f"{side}_wrist"][2] + 0.02


def test_left_is_on_the_left_and_mirrors_the_right(body, joints):
    markers = dict(zip(MARKER_NAMES, body.v_template[body.marker_ids], strict=True))
    landmarks = {
        name: body.v_template[ids].mean(axis=0) for name, ids in zip(LANDMARK_NAMES, body.landmark_ids, strict=True)
    }
    landmarks = {
        name.replace("mouth_left", "left_mouth").replace("mouth_right", "right_mouth"): place
        for name, place in landmarks.items()
    }
    for points in (joints, markers, landmarks):
        for name, place in points.items():
            if name.startswith("left_"):
                assert place[0] > 0, name
            np.testing.assert_allclose(points[mirrored_name(name)], place * [-1, 1, 1], atol=1e-5, err_msg=name)


def test_landmarks_inside_limbs_are_at_the_joints(body, joints):
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        ids = body.landmark_ids[LANDMARK_NAMES.index(f"left_{part}")]
        assert np.linalg.norm(body.v_template[ids].mean(axis=0) - joints[f"left_{part}"]) < 0.005, part


def test_markers_are_apart_and_on_many_segments(body):
    places = body.v_template[body.marker_ids]
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(67)
    assert distance.min() > 0.03
    carriers = body.weights[body.marker_ids].argmax(axis=1)
    for part in ("hip", "knee", "shoulder", "elbow", "hand"):
        assert (carriers == SMPL_JOINT_NAMES.index(f"left_{part}")).sum() >= 2, part


def test_skin_weights_are_few_and_sum_to_one(body):
    assert (body.weights >= 0).all()
    np.testing.assert_array_equal(body.weights.sum(axis=1), 1)
    assert (body.weights > 0).sum(axis=1).max() <= 6
    assert set(body.weights.argmax(axis=1)) == set(range(24))


def test_triangles_face_outwards(body):
    a, b, c = (body.v_template[body.faces[:, corner]].astype(np.float64) for corner in range(3))
    volume = np.einsum("fc,fc->", a, np.cross(b, c)) / 6
    assert 0.05 < volume < 0.11
    assert body.uv_faces.max() < len(body.uv)
    assert body.uv.min() >= 0 and body.uv.max() <= 1


def test_the_first_beta_is_height_and_two_deviations_are_still_people(body, model):
    betas = torch.cat([torch.eye(10), -torch.eye(10)]) * 2
    shaped = model(betas, unposed(20)).vertices.numpy()
    heights = np.ptp(shaped[:, :, 1], axis=1)
    assert heights[0] > heights[10] + 0.3
    assert (heights > 1.35).all() and (heights < 2.05).all()
    others = np.delete(heights, [0, 10]) - np.ptp(body.v_template[:, 1])
    assert np.abs(others).max() < 0.1
    # No component turns the skin inside out.
    a, b, c = (shaped[:, body.faces[:, corner]].astype(np.float64) for corner in range(3))
    volume = np.einsum("nfc,nfc->n", a, np.cross(b, c)) / 6
    assert (volume > 0.03).all() and (volume < 0.16).all()


def test_the_regressor_finds_the_joints_of_any_shape(body):
    betas = np.random.default_rng(0).standard_normal((50, 10)).astype(np.float32)
    template, directions = body.joints_linear()
    joints = template + np.einsum("jck,nk->njc", directions, betas)
    shaped = body.v_template + np.einsum("vck,nk->nvc", body.shapedirs, betas, optimize=True)
    regressed = np.einsum("jv,nvc->njc", body.J_regressor, shaped, optimize=True)
    assert np.linalg.norm(regressed - joints, axis=2).mean() < 1e-4
    np.testing.assert_allclose(body.J_regressor.sum(axis=1), 1, atol=1e-4)


def test_posing_follows_the_formula_joint_by_joint(body, model):
    betas, rotmats = random_pose(1)
    output = model(betas, rotmats, torch.tensor([[0.1, -0.2, 3.0]]))
    template, directions = body.joints_linear()
    rest = template + directions @ betas[0].numpy()
    world = np.zeros((24, 4, 4))
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotmats[0, joint]
        local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world[joint] = local if parent < 0 else world[parent] @ local
    expected_joints = world[:, :3, 3] + [0.1, -0.2, 3.0]
    world[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], rest)
    blended = np.einsum("vj,jab->vab", body.weights, world[:, :3])
    shaped = body.v_template + body.shapedirs @ betas[0].numpy()
    shaped = shaped + body.posedirs @ (rotmats[0, 1:].numpy() - np.eye(3)).ravel()
    expected = np.einsum("vab,vb->va", blended[..., :3], shaped) + blended[..., 3] + [0.1, -0.2, 3.0]
    np.testing.assert_allclose(output.vertices[0], expected, atol=5e-6)
    np.testing.assert_allclose(output.joints[0], expected_joints, atol=5e-6)


def test_the_root_turns_the_body_about_its_pelvis(model):
    betas, rotmats = random_pose(2)
    upright = rotmats.clone()
    upright[:, 0] = torch.eye(3)
    turned, still = model(betas, rotmats), model(betas, upright)
    pelvis = still.joints[:, :1]
    expected = (still.vertices - pelvis) @ rotmats[:, 0].mT + pelvis
    torch.testing.assert_close(turned.vertices, expected, atol=1e-5, rtol=0)


def test_points_alone_are_posed_as_with_the_whole_body(body, model):
    betas, rotmats = random_pose(3)
    vertices = model(betas, rotmats).vertices
    markers = model.subset(body.marker_ids)(betas, rotmats)
    torch.testing.assert_close(markers, vertices[:, body.marker_ids], atol=1e-6, rtol=0)
    landmarks = model.subset(body.landmark_ids)(betas, rotmats)
    means = vertices[:, body.landmark_ids.reshape(-1)].unflatten(1, (33, 4)).mean(dim=2)
    torch.testing.assert_close(landmarks, means, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.joints(betas, rotmats), model(betas, rotmats).joints)


def test_gradients_reach_betas_and_rotations(body, model):
    betas, rotmats = (tensor.requires_grad_() for tensor in random_pose(2))
    model.subset(body.marker_ids)(betas, rotmats).square().sum().backward()
    assert betas.grad.abs().min() > 0
    assert rotmats.grad.abs().amax(dim=(0, 2, 3))[:16].min() > 0


def test_a_body_adds_nothing_to_a_weights_file(model, body):
    assert not model.state_dict()
    assert not model.subset(body.marker_ids).state_dict()
    assert not list(model.parameters())
