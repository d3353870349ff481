# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled body beside SMPL's: lengths of bones, where the skin bends, relaxed hands, and the two sexes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from refit_engine.body import SMPL_JOINT_NAMES, SMPL_PARENTS, BodyData, load_body
from refit_engine.body.points import MARKER_NAMES

# SMPL neutral's rest joints (betas zero), metres from the pelvis, the mean of both sides; its height is 1.71 m.
SMPL_HEIGHT = 1.71
SMPL_JOINTS = {
    "pelvis": (0.0000, 0.0000, 0.0000),
    "left_hip": (0.0686, -0.0910, -0.0056),
    "spine1": (0.0000, 0.1090, -0.0267),
    "left_knee": (0.1049, -0.4699, -0.0122),
    "spine2": (0.0000, 0.2441, -0.0256),
    "left_ankle": (0.0902, -0.8680, -0.0552),
    "spine3": (0.0000, 0.2971, -0.0002),
    "left_foot": (0.1161, -0.9200, 0.0661),
    "neck": (0.0000, 0.5109, -0.0430),
    "left_collar": (0.0803, 0.4173, -0.0365),
    "head": (0.0000, 0.5759, 0.0083),
    "left_shoulder": (0.1738, 0.4489, -0.0455),
    "left_elbow": (0.4305, 0.4358, -0.0700),
    "left_wrist": (0.6827, 0.4442, -0.0733),
    "left_hand": (0.7671, 0.4370, -0.0860),
}
SMPL_KNEE_ABOVE_FLOOR = 0.28  # share of the height
# Which way each limb goes on from the joint.
BENDS = {
    "spine1": (0, 1, 0),
    "spine2": (0, 1, 0),
    "spine3": (0, 1, 0),
    "neck": (0, 0.9, 0.436),
    "head": (0, 0.9, 0.436),
    "left_shoulder": (1, 0, 0),
    "left_elbow": (1, 0, 0),
    "left_wrist": (1, 0, 0),
    "left_hand": (1, 0, 0),
    "left_hip": (0, -1, 0),
    "left_knee": (0, -1, 0),
    "left_ankle": (0, -1, 0),
    "left_foot": (0, 0, 1),
}
WIDE = ("spine1", "spine2", "spine3", "left_hip")


@pytest.fixture(scope="module")
def body() -> BodyData:
    return load_body()


@pytest.fixture(scope="module")
def sexes(tmp_path_factory) -> dict[str, BodyData]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp("cache")))
        return {gender: load_body(gender=gender) for gender in ("neutral", "male", "female")}


def joint(body: BodyData, name: str) -> np.ndarray:
    return body.joints_linear()[0][SMPL_JOINT_NAMES.index(name)].astype(np.float64)


def height(body: BodyData) -> float:
    return float(np.ptp(body.v_template[:, 1]))


def parent(name: str) -> str:
    return SMPL_JOINT_NAMES[SMPL_PARENTS[SMPL_JOINT_NAMES.index(name)]]


def subtree(name: str) -> list[int]:
    found = [SMPL_JOINT_NAMES.index(name)]
    return found + [child for child, above in enumerate(SMPL_PARENTS) if above in found and not found.append(child)]


def marker(body: BodyData, name: str) -> np.ndarray:
    return body.v_template[body.marker_ids[MARKER_NAMES.index(name)]].astype(np.float64)


@pytest.mark.parametrize("name", [name for name in SMPL_JOINTS if name != "pelvis"])
def test_every_bone_has_its_share_of_the_height(body, name):
    ours = np.linalg.norm(joint(body, name) - joint(body, parent(name))) / height(body)
    smpl = np.linalg.norm(np.subtract(SMPL_JOINTS[name], SMPL_JOINTS[parent(name)])) / SMPL_HEIGHT
    assert ours == pytest.approx(smpl, rel=0.025, abs=0.0025)


@pytest.mark.parametrize(("first", "second", "third"), [("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")])
def test_knee_and_elbow_divide_the_limb_as_in_smpl(body, first, second, third):
    def share(places: list[np.ndarray]) -> float:
        upper, lower = (np.linalg.norm(b - a) for a, b in pairwise(places))
        return upper / (upper + lower)

    names = [f"left_{part}" for part in (first, second, third)]
    smpl = share([np.array(SMPL_JOINTS[name]) for name in names])
    assert share([joint(body, name) for name in names]) == pytest.approx(smpl, abs=0.005)


def test_the_knee_is_as_high_as_smpls(body):
    above = joint(body, "left_knee")[1] - body.v_template[:, 1].min()
    assert above / height(body) == pytest.approx(SMPL_KNEE_ABOVE_FLOOR, abs=0.006)


@pytest.mark.parametrize("name", ["left_hip", "left_knee", "left_ankle", "left_foot", "spine1", "spine2", "spine3"])
def test_trunk_and_legs_stand_where_smpls_do(body, name):
    scaled = np.array(SMPL_JOINTS[name]) * height(body) / SMPL_HEIGHT
    np.testing.assert_allclose(joint(body, name), scaled, atol=0.015)


def areas(body: BodyData) -> np.ndarray:
    corners = body.v_template[body.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.bincount(body.faces.ravel(), np.repeat(area, 3), minlength=len(body.v_template))


def share_beyond(body: BodyData, name: str, axis: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The mean share of weight that has gone over to a joint and what hangs on it, at places along the limb."""
    offsets = body.v_template - joint(body, name)
    along = offsets @ axis
    across = np.linalg.norm(offsets - np.outer(along, axis), axis=1)
    own, beyond = body.weights[:, SMPL_JOINT_NAMES.index(parent(name))], body.weights[:, subtree(name)].sum(axis=1)
    radius = 0.25 if name in WIDE else 0.08 if name == "head" else 0.12
    near = (across < radius) & (own + beyond > 0.5) & (body.v_template[:, 0] > (0 if "left" in name else -1))
    nearness = np.exp(-0.5 * ((places[:, None] - along[near]) / 0.01) ** 2) * areas(body)[near]
    return nearness @ (beyond / (own + beyond + 1e-9))[near] / nearness.sum(axis=1)


@pytest.mark.parametrize("name", BENDS)
def test_half_of_the_skin_goes_over_at_the_joint(body, name):
    axis = np.array(BENDS[name], float) / np.linalg.norm(BENDS[name])
    before, after = share_beyond(body, name, axis, np.array([-0.007, 0.007]))
    assert before < 0.5 < after


def test_hands_are_relaxed(body):
    """Neither flat nor fists, the fingers side by side, on both sides alike."""
    wrist, hand, tip = joint(body, "left_wrist"), joint(body, "left_hand"), marker(body, "left_middle_fingertip")
    palm, finger = hand - wrist, tip - hand
    bend = np.rad2deg(np.arccos(palm @ finger / np.linalg.norm(palm) / np.linalg.norm(finger)))
    assert tip[1] < hand[1]
    assert 15 < bend < 45
    np.testing.assert_allclose(marker(body, "right_middle_fingertip"), tip * [-1, 1, 1], atol=1e-5)
    fingers = body.v_template[(body.weights[:, SMPL_JOINT_NAMES.index("left_hand")] > 0.9)]
    beyond = fingers[fingers[:, 0] > fingers[:, 0].max() - 0.04]
    assert np.ptp(beyond[:, 2]) < 0.085


def test_a_man_has_no_breasts_and_a_woman_has(sexes):
    """How far the chest, 9 cm beside the middle, comes forward from below the bust to it."""

    def front(body: BodyData, share_of_height: float) -> float:
        above = (body.v_template[:, 1] - body.v_template[:, 1].min()) / height(body)
        strip = (np.abs(above - share_of_height) < 0.012) & (np.abs(body.v_template[:, 0] - 0.09) < 0.02)
        return float(body.v_template[strip, 2].max())

    bust = {gender: front(body, 0.715) - front(body, 0.67) for gender, body in sexes.items()}
    assert bust["male"] < 0.015
    assert bust["female"] > 0.025
    assert bust["male"] < bust["neutral"] < bust["female"]


def test_men_have_broader_shoulders_and_narrower_hips_at_the_same_height(sexes):
    def ratio(body: BodyData) -> float:
        hips = np.abs(body.v_template[np.abs(body.v_template[:, 1] + 0.05) < 0.02, 0]).max()
        return joint(body, "left_shoulder")[0] / hips

    assert height(sexes["male"]) == pytest.approx(height(sexes["neutral"]), abs=0.01)
    assert height(sexes["female"]) == pytest.approx(height(sexes["neutral"]), abs=0.01)
    assert ratio(sexes["male"]) > ratio(sexes["neutral"]) > ratio(sexes["female"])


@pytest.mark.parametrize("gender", ["male", "female"])
def test_betas_mean_alike_for_all_sexes(sexes, gender):
    """The strongest components change the body as the neutral ones do, and none of the others backwards."""
    neutral, own = (sexes[name].shapedirs.reshape(-1, 10).astype(np.float64) for name in ("neutral", gender))
    cosines = (neutral * own).sum(axis=0) / np.linalg.norm(neutral, axis=0) / np.linalg.norm(own, axis=0)
    assert cosines[0] > 0.97
    assert (cosines[1:3] > 0.75).all()
    assert (cosines > -0.05).all()


@pytest.mark.parametrize("gender", ["male", "female"])
def test_a_sex_is_a_body_of_its_own(sexes, gender):
    body = sexes[gender]
    assert body.name == body.shape_space == f"bundled_{gender}" and body.kind == "bundled"
    np.testing.assert_array_equal(body.marker_ids, sexes["neutral"].marker_ids)
    betas = np.random.default_rng(0).standard_normal((20, 10)).astype(np.float32)
    template, directions = body.joints_linear()
    joints = template + np.einsum("jck,nk->njc", directions, betas)
    shaped = body.v_template + np.einsum("vck,nk->nvc", body.shapedirs, betas, optimize=True)
    regressed = np.einsum("jv,nvc->njc", body.J_regressor, shaped, optimize=True)
    assert np.linalg.norm(regressed - joints, axis=2).mean() < 5e-4
    for name, place in SMPL_JOINTS.items():
        if name.startswith("left_"):
            ours = np.linalg.norm(joint(body, name) - joint(body, parent(name))) / height(body)
            smpl = np.linalg.norm(np.subtract(place, SMPL_JOINTS[parent(name)])) / SMPL_HEIGHT
            assert ours == pytest.approx(smpl, rel=0.12, abs=0.004), name
