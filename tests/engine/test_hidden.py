# SPDX-License-Identifier: GPL-3.0-or-later
"""Limbs that a picture does not show: found, given a likely pose, and marked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import roma
import torch
from engine_doubles import SAMPLES
from refit_engine.body import SMPL_JOINT_NAMES, BodyModel, load_body
from refit_engine.errors import RefitError
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, Models, likely_pose, shown
from refit_engine.fitting.likely_pose import LikelyPosesError, load_likely_poses, save_likely_poses
from refit_engine.fitting.shown import Evidence
from refit_engine.images import write_image

J = {name: number for number, name in enumerate(SMPL_JOINT_NAMES)}
LEG = ("hip", "knee", "ankle", "foot")


@pytest.fixture(scope="module")
def body():
    return BodyModel(load_body()).eval()


@pytest.fixture(scope="module")
def fitter():
    return Fitter(Models(), FitOptions(people="largest", confidence=False), "cpu")


@pytest.fixture(scope="module")
def whole(fitter):
    """The sample photo's result, and the photo."""
    return fitter.reconstruct(ImageRequest(SAMPLES / "balance.jpg"))


def pose(**turns: tuple[float, float, float]) -> np.ndarray:
    """Rotations [1,24,3,3] with arms down; others as rotation vectors in degrees."""
    vectors = np.zeros((24, 3))
    vectors[J["left_shoulder"]], vectors[J["right_shoulder"]] = (0, 0, -65), (0, 0, 65)
    for name, turn in turns.items():
        vectors[J[name]] = turn
    return roma.rotvec_to_rotmat(torch.deg2rad(torch.from_numpy(vectors))).numpy()[None]


def placed(body: BodyModel, rotmats: np.ndarray) -> np.ndarray:
    """Joints [24,3], Y up."""
    with torch.inference_mode():
        return body.joints(torch.zeros(1, 10), torch.from_numpy(rotmats).float())[0].numpy()


def opened(*names: str) -> np.ndarray:
    return np.isin(SMPL_JOINT_NAMES, names).astype(float)[None]


def both(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for side in ("left", "right") for part in parts)


def names(marked: np.ndarray) -> set[str]:
    return {name for name, one in zip(SMPL_JOINT_NAMES, marked[0], strict=True) if one}


def seen(*hidden: str, told: np.ndarray | None = None, over: float = 0.0) -> Evidence:
    """Everything in the picture but for these joints."""
    inside = 1 - opened(*hidden)
    return Evidence(inside, inside, np.full(inside.shape, over), told)


def test_rotation_is_open_where_nothing_that_hangs_on_it_is_in_the_picture():
    likely = shown.shown_from(seen(*both("knee", "ankle", "foot")))
    guessed = shown.guessed_joints(likely.joints)
    assert names(guessed) == set(both("knee", "ankle", "foot"))
    assert names(shown.open_rotations(likely.bones)) == set(both(*LEG))
    assert shown.guessed_feet(guessed).tolist() == [True]


def test_foot_in_the_picture_holds_the_whole_leg():
    likely = shown.shown_from(seen("left_knee", "left_ankle"))
    assert not shown.guessed_joints(likely.joints).any() and not shown.open_rotations(likely.bones).any()


def test_joint_just_outside_is_guessed_and_the_bone_to_it_holds_its_direction():
    out = 1 - opened("left_ankle", "left_foot"), 1 - opened("left_foot")  # the most of the shin is in the picture
    likely = shown.shown_from(Evidence(*out, over=np.zeros((1, 24))))
    assert names(shown.guessed_joints(likely.joints)) == {"left_ankle", "left_foot"}
    assert names(shown.open_rotations(likely.bones)) == {"left_ankle", "left_foot"}


@pytest.mark.parametrize(("limb", "over", "guessed"), [("left_wrist", 0.0, False), ("left_wrist", 1.0, True)])
def test_limb_near_the_border_needs_clearer_evidence(limb, over, guessed):
    told = np.tile([-2.0, 2.0, 2.0, 0.2], (1, 24, 1))  # of landmarks that are half visible
    assert (limb in names(shown.guessed_joints(shown.shown_from(seen(told=told, over=over)).joints))) == guessed


def test_clearly_seen_limb_near_the_border_is_seen():
    told = np.tile([3.0, 6.0, 0.5, 0.6], (1, 24, 1))
    assert not shown.guessed_joints(shown.shown_from(seen(told=told, over=1.0)).joints).any()


def test_limbs_reach_over_the_border_that_cuts_them(body):
    joints = placed(body, pose())[None]
    below = joints[:, :, 1] - joints[:, [J["left_knee"]], 1]  # metres above a border at the knees, the only one near
    over = shown.over_border(100 * below, joints, np.array([100.0]))[0]
    assert over[J["left_foot"]] == pytest.approx(0.5, abs=0.1) and over[J["left_knee"]] == pytest.approx(0, abs=0.05)
    assert over[J["left_ankle"]] == pytest.approx(over[J["right_ankle"]], abs=0.05) and over[J["left_hand"]] == 0


def test_bone_most_of_which_is_in_the_picture_is_not_hidden():
    guessed = opened("left_ankle", "left_foot", "right_knee", "right_ankle", "right_foot").astype(bool)
    places = np.full((1, 24, 2), 50.0)
    heights = {
        "left_knee": 85,
        "left_ankle": 105,
        "left_foot": 112,
        "right_knee": 150,
        "right_ankle": 190,
        "right_foot": 195,
    }
    places[0, [J[name] for name in heights], 1] = list(heights.values())
    hidden = names(shown.hidden_bones(guessed, [(places, (100, 100))]))
    assert hidden == {"left_foot", "right_knee", "right_ankle", "right_foot"}
    assert names(shown.hidden_bones(guessed, [(places, (100, 100)), (places, (100, 140))])) == hidden - {"right_knee"}


def test_trunk_is_held_even_where_nothing_is_shown():
    likely = shown.shown_from(seen(*SMPL_JOINT_NAMES))
    free = shown.open_rotations(likely.bones)[0]
    assert not free[[J["pelvis"], J["spine1"], J["spine2"], J["spine3"]]].any() and free[J["left_hip"]] == 1


@pytest.mark.parametrize(("visibility", "covered"), [(3.0, False), (-7.0, True)])
def test_landmarks_tell_what_is_covered(visibility, covered):
    told = np.tile([visibility, 5.0, 1.0, 0.6], (1, 24, 1))
    leg = [J["left_knee"], J["left_ankle"], J["left_foot"]]
    told[:, leg] = [visibility, 5.0, 1.0, 0.6] if not covered else [visibility, 0.0, 3.0, -0.2]
    told[:, [joint for joint in range(24) if joint not in leg]] = [3.0, 6.0, 0.5, 0.6]
    guessed = shown.guessed_joints(shown.shown_from(seen(told=told)).joints)[0]
    assert guessed.any() == covered and set(np.flatnonzero(guessed)) <= set(leg)


@pytest.mark.parametrize(
    ("size", "cut_off"),
    [((1080, 864), {*both(*LEG[1:]), "left_wrist", "left_hand"}), ((718, 1920), {"left_hand"})],
    ids=["below the thighs", "beside the left hand"],
)
def test_what_the_border_of_a_photo_cuts_off_is_guessed(fitter, whole, tmp_path, size, cut_off):
    photo = whole[1]
    write_image(tmp_path / "cut.png", photo.pixels[: size[1], : size[0]])
    found, _ = fitter.reconstruct(ImageRequest(tmp_path / "cut.png"))
    assert names(found.guessed[:1]) == cut_off


def test_nothing_is_guessed_in_the_whole_photo(whole):
    assert not whole[0].guessed[0].any()


def test_raised_knees_and_arms_come_down_where_nobody_sees_them(body):
    strange = pose(left_hip=(-100, 0, 0), left_knee=(110, 0, 0), right_shoulder=(0, 0, -70))
    free = opened(*both(*LEG), "right_shoulder", "right_elbow", "right_wrist", "right_hand")
    before, after = placed(body, strange), placed(body, load_likely_poses().complete(strange, free)[0])
    assert before[J["left_knee"], 1] > before[J["left_hip"], 1] - 0.1
    assert before[J["right_wrist"], 1] > before[J["head"], 1]
    for side in ("left", "right"):
        thigh = after[J[f"{side}_knee"]] - after[J[f"{side}_hip"]]
        shin = after[J[f"{side}_ankle"]] - after[J[f"{side}_knee"]]
        assert -thigh[1] / np.linalg.norm(thigh) > 0.94 and -shin[1] / np.linalg.norm(shin) > 0.9
    assert after[J["right_wrist"], 1] < after[J["right_shoulder"], 1] - 0.3
    np.testing.assert_allclose(after[J["left_wrist"]], before[J["left_wrist"]], atol=1e-6)


def test_shins_hang_below_thighs_of_the_seated(body):
    seated = pose(**{f"{side}_hip": (-85, 0, 0) for side in ("left", "right")})
    after = placed(body, load_likely_poses().complete(seated, opened(*both("knee", "ankle", "foot")))[0])
    shin = after[J["left_ankle"]] - after[J["left_knee"]]
    assert -shin[1] / np.linalg.norm(shin) > 0.75  # before, they pointed forwards


def test_pose_changes_smoothly_with_how_far_it_is_open():
    strange = pose(left_hip=(-100, 0, 0), left_knee=(110, 0, 0))
    free = opened(*both(*LEG))
    poses = [load_likely_poses().complete(strange, share * free)[0] for share in np.linspace(0, 1, 21)]
    np.testing.assert_allclose(poses[0], strange, atol=1e-9)
    steps = [roma.rotmat_geodesic_distance(*map(torch.from_numpy, pair)).max() for pair in pairwise(poses)]
    assert np.degrees(float(max(steps))) < 25


def test_guesses_may_be_far_off_and_what_is_seen_not():
    _, std = load_likely_poses().complete(pose(), opened(*both(*LEG)))
    assert np.degrees(std[0, J["left_hip"]]) > 10 and std[0, J["left_shoulder"]] == 0
    swept = likely_pose._swept(np.cumsum(np.full((1, 24, 3), 0.1), axis=1), std)
    assert swept[0, J["left_hip"]] == 0 < swept[0, J["left_knee"]] < swept[0, J["left_foot"]]


def test_mixture_survives_its_file(tmp_path):
    poses = load_likely_poses()
    save_likely_poses(tmp_path / "poses.npz", poses)
    again = load_likely_poses(tmp_path / "poses.npz")
    np.testing.assert_allclose(again.means, poses.means, atol=1e-3)
    np.testing.assert_allclose(again.covariances, poses.covariances, atol=1e-3)
    assert (tmp_path / "poses.npz").stat().st_size < 60_000


@pytest.mark.parametrize("damage", ["missing", "cut", "other format", "other numbers"])
def test_damaged_mixture_is_named(tmp_path, damage):
    path = tmp_path / "poses.npz"
    save_likely_poses(path, load_likely_poses())
    with np.load(path) as data:
        arrays = dict(data)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        arrays |= {"format": np.array("x")} if damage == "other format" else {"means": np.zeros((2, 5))}
        np.savez(path, **arrays)
    with pytest.raises(LikelyPosesError, match="poses.npz") as caught:
        load_likely_poses(path)
    assert isinstance(caught.value, RefitError)
