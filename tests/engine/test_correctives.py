# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives of the bundled body: SMPL's formula with few shapes, nothing at rest, the same on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import BUNDLED_BODY, SMPL_JOINT_NAMES, BodyData, BodyModel, load_body
from refit_engine.body.joints import mirrored_order
from refit_engine.errors import BodyFileError

CORRECTED = {f"{side}_{part}" for side in ("left", "right") for part in ("elbow", "knee", "hip", "shoulder", "wrist")}


@pytest.fixture(scope="module")
def body() -> BodyData:
    return load_body()


def turned(joint: str, degrees: tuple[float, float, float]) -> torch.Tensor:
    """[1,24,3,3]: the T-pose but for one joint, rotation vector in degrees."""
    vectors = torch.zeros(1, 24, 3)
    vectors[0, SMPL_JOINT_NAMES.index(joint)] = torch.deg2rad(torch.tensor(degrees))
    return roma.rotvec_to_rotmat(vectors)


def moved(body: BodyData, rotmats: torch.Tensor) -> np.ndarray:
    """How far [V] the correctives move each vertex, metres."""
    with torch.inference_mode():
        skins = [
            BodyModel(one)(torch.zeros(1, 10), rotmats).vertices[0] for one in (body, replace(body, posedirs=None))
        ]
    return (skins[0] - skins[1]).norm(dim=1).numpy()


def test_posing_agrees_with_smplx(body):
    lbs = pytest.importorskip("smplx.lbs").lbs
    # smplx has no joints linear in betas.
    plain = replace(body, joint_template=None, joint_shapedirs=None)
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(3, 10, generator=generator)
    rotmats = roma.rotvec_to_rotmat(torch.randn(3, 24, 3, generator=generator))
    names = ("v_template", "shapedirs", "J_regressor", "weights")
    arrays = {name: torch.from_numpy(getattr(plain, name)) for name in names}
    theirs, joints = lbs(
        betas,
        rotmats,
        arrays["v_template"],
        arrays["shapedirs"],
        torch.from_numpy(plain.posedirs).reshape(-1, 207).T,
        arrays["J_regressor"],
        torch.from_numpy(plain.parents),
        arrays["weights"],
        pose2rot=False,
    )
    ours = BodyModel(plain)(betas, rotmats)
    torch.testing.assert_close(ours.vertices, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.joints, joints, atol=1e-5, rtol=0)


def test_they_belong_to_limbs_that_bend(body):
    used = body.posedirs.reshape(-1, 3, 23, 9).any(axis=(0, 1, 3))
    assert {SMPL_JOINT_NAMES[index + 1] for index in np.flatnonzero(used)} == CORRECTED
    assert (np.abs(body.posedirs).max(axis=(1, 2)) > 0).mean() < 0.25


def test_the_rest_pose_is_left_as_it_is(body):
    assert moved(body, torch.eye(3).expand(1, 24, 3, 3)).max() == 0


@pytest.mark.parametrize("joint", sorted(CORRECTED))
def test_small_turns_move_little(body, joint):
    for axis in np.vstack([np.eye(3), -np.eye(3)]):
        assert moved(body, turned(joint, tuple(10 * axis))).max() < 2.5e-3


@pytest.mark.parametrize(
    ("joint", "degrees"),
    [("left_elbow", (0, -90, 0)), ("left_knee", (90, 0, 0)), ("left_hip", (-90, 0, 0)), ("left_shoulder", (0, 0, 80))],
)
def test_bends_move_the_skin_near_the_joint_only(body, joint, degrees):
    rotmats = turned(joint, degrees)
    far = moved(body, rotmats)
    assert far.max() > 0.01
    distance = np.linalg.norm(body.v_template - body.joints_linear()[0][SMPL_JOINT_NAMES.index(joint)], axis=1)
    assert not far[distance > 0.3].any()


def test_points_that_no_joint_corrects_can_be_posed_alone(body):
    points = np.flatnonzero(~body.posedirs.any(axis=(1, 2)))[:3]
    rotmats = turned("left_knee", (90, 0, 0))
    model = BodyModel(body)
    alone = model.subset(points)(torch.zeros(1, 10), rotmats)
    torch.testing.assert_close(alone, model(torch.zeros(1, 10), rotmats).vertices[:, points], atol=1e-6, rtol=0)


def test_left_mirrors_right(body):
    generator = torch.Generator().manual_seed(4)
    vectors = torch.randn(1, 24, 3, generator=generator) * 0.7
    order = mirrored_order(SMPL_JOINT_NAMES)
    across = vectors[:, order] * torch.tensor([1.0, -1, -1])
    model = BodyModel(body)
    betas = torch.zeros(1, 10)
    one, other = (model(betas, roma.rotvec_to_rotmat(turns)).vertices[0].numpy() for turns in (vectors, across))
    template = np.round(body.v_template.astype(np.float64), 5) + 0.0
    places = {tuple(place): index for index, place in enumerate(template)}
    mirror = [places.get(tuple(place)) for place in template * [-1, 1, 1] + 0.0]
    known = np.array([index is not None for index in mirror])
    assert known.mean() > 0.95
    pairs = np.array([index for index in mirror if index is not None])
    np.testing.assert_allclose(one[known] * [-1, 1, 1], other[pairs], atol=1e-4)


def test_each_sex_has_them(body, tmp_path, monkeypatch):
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    for sex in ("male", "female"):
        for _ in range(2):  # made, then read
            np.testing.assert_array_equal(load_body(None, sex).posedirs, body.posedirs)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("corrective_joints", 0, "pose correctives point to what it does not have"),
        ("corrective_joints", 24, "pose correctives point to what it does not have"),
        ("corrective_entries", 1 << 20, "pose correctives point to what it does not have"),
        ("corrective_entries", -1, "pose correctives point to what it does not have"),
        ("corrective_mix", np.nan, "no sensible numbers"),
        ("corrective_offsets", None, "it has no corrective_offsets"),
    ],
)
def test_damaged_ones_are_refused(tmp_path, name, value, message):
    with np.load(BUNDLED_BODY) as file:
        arrays = dict(file)
    if value is None:
        del arrays[name]
    else:
        arrays[name].flat[0] = value
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(BodyFileError, match=message):
        load_body(tmp_path / "body.npz")
