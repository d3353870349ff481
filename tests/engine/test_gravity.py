# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way is up: drawn rooms with known cameras, poses by hand, files that say it, and what is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
from engine_doubles import Found, ScriptedDetector, ScriptedModels, street
from refit_engine.body import SMPL_JOINT_NAMES, BodyModel, load_body
from refit_engine.camera import Intrinsics, camera_matrix, choose_intrinsics
from refit_engine.evaluate import predictions
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, single
from refit_engine.fitting.shown import Shown
from refit_engine.gravity import find_lines, find_up, given_up, with_found_focal
from refit_engine.gravity.bodies import BalanceFileError, body_ups, load_network, save_network
from refit_engine.gravity.directions import angle_deg, level_pair, pitch_roll, up_of
from refit_engine.gravity.segments import find_segments
from refit_engine.images import write_image

NOBODY = np.zeros((0, 4))
LEVEL_UP = np.array([0.0, -1.0, 0.0])


def room(up: np.ndarray, K: np.ndarray, size: tuple[int, int], azimuth: float = 0.5) -> np.ndarray:
    """A picture (width, height) of boxes drawn by their edges, in a world with this up in the camera's frame."""
    across, along = level_pair(up, np.asarray(azimuth))
    axes = np.stack([across, along, up])
    picture = np.full((size[1], size[0], 3), 190, np.uint8)
    rng = np.random.default_rng(3)
    for _ in range(40):
        middle = np.array([*rng.uniform(-3, 3, 2), rng.uniform(4, 9)])
        half = rng.uniform(0.2, 1.2, 3)
        for axis in range(3):
            for first, second in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                corner = np.insert(np.array([first, second]) * np.delete(half, axis), axis, half[axis])
                ends = middle + np.stack([corner, corner * np.where(np.arange(3) == axis, -1, 1)]) @ axes
                if ends[:, 2].min() > 0.5:
                    pixels = ends @ K.T
                    start, end = np.round(pixels[:, :2] / pixels[:, 2:]).astype(int).clip(-(10**4), 10**4).tolist()
                    cv2.line(picture, start, end, (60, 60, 60), 2, cv2.LINE_AA)
    return picture


def standing(up: np.ndarray, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [N,24,3,3] and joints [N,24,3] of people in the T-pose who stand before a camera with this up."""
    across, along = level_pair(up, np.asarray(0.0))
    rotmats = np.tile(np.eye(3), (count, 24, 1, 1))
    rotmats[:, 0] = np.stack([-across, up, -along], axis=-1)
    with torch.no_grad():
        joints = BodyModel(load_body()).joints(torch.zeros(count, 10), torch.from_numpy(rotmats).float())
    return rotmats, joints.numpy().astype(np.float64)


@pytest.mark.parametrize("pitch, roll", [(0, 0), (25, 0), (-10, 12), (35, -15), (12, 24)])
def test_lines_of_a_room_tell_up_and_focal_length(pitch, roll):
    true, size = up_of(np.radians(pitch), np.radians(roll)), (800, 600)
    K = camera_matrix(750.0, *size)
    picture = room(true, K, size)
    for intrinsics in (Intrinsics(K, "user"), choose_intrinsics(*size)):
        lines = find_lines(picture, NOBODY, intrinsics)
        up = find_up(lines, *standing(true))
        assert angle_deg(up.direction, true) < (1.0 if intrinsics.source == "user" else 1.7)
        assert up.sure and up.source == "lines" and up.std_deg < 3
        found = with_found_focal(intrinsics, lines, size)
        assert found.source == ("user" if intrinsics.source == "user" else "lines")
        assert found.focal[0] == pytest.approx(750, rel=0.04)
        np.testing.assert_array_equal(found.principal, (400, 300))


def test_portraits_and_large_pictures_are_the_same_to_lines():
    true, size = up_of(np.radians(20), np.radians(-5)), (1500, 2000)
    K = camera_matrix(2100.0, *size)
    up = find_up(find_lines(room(true, K, size), NOBODY, choose_intrinsics(*size)), *standing(true))
    assert angle_deg(up.direction, true) < 2.0 and up.sure


def test_a_picture_stored_sideways_gives_the_up_of_its_pixels():
    true, size = up_of(np.radians(20), np.radians(4)), (600, 800)
    picture = room(true, camera_matrix(900.0, *size), size)
    sideways = np.ascontiguousarray(np.rot90(picture))  # one clockwise turn makes it upright again
    true_there = np.array([true[1], -true[0], true[2]])
    intrinsics = Intrinsics(camera_matrix(900.0, 800, 600), "scene")
    up = find_up(find_lines(sideways, NOBODY, intrinsics, quarter_turns=1), *standing(true_there))
    assert angle_deg(up.direction, true_there) < 1.0 and up.sure


def test_pixels_that_are_not_square_are_heard():
    true, size = up_of(np.radians(25), np.radians(8)), (800, 600)
    K = camera_matrix(750.0, *size)
    squeezed = np.diag([0.5, 1, 1]) @ K
    picture = cv2.resize(room(true, K, size), (400, 600), interpolation=cv2.INTER_AREA)
    up = find_up(find_lines(picture, NOBODY, Intrinsics(squeezed, "scene")), *standing(true))
    assert angle_deg(up.direction, true) < 1.5 and up.sure


def test_lines_in_peoples_boxes_and_at_the_border_are_not_heard():
    picture = np.full((600, 800, 3), 200, np.uint8)
    cv2.rectangle(picture, (0, 0), (799, 599), (0, 0, 0), 2)
    cv2.line(picture, (100, 100), (150, 500), (0, 0, 0), 3)
    cv2.line(picture, (600, 100), (700, 500), (0, 0, 0), 3)
    segments = find_segments(picture, np.array([[560.0, 80, 180, 440]]), camera_matrix(1000.0, 800, 600))
    assert len(segments) == 2  # the two sides of the first line
    np.testing.assert_allclose(segments.middles, np.tile([[-0.275, 0.0]], (2, 1)), atol=0.005)
    np.testing.assert_allclose(segments.lengths, 0.403, atol=0.01)


@pytest.mark.parametrize("pitch, roll", [(0, 0), (20, 6), (-8, -10)])
def test_without_lines_bodies_and_habit_decide_and_nothing_is_sure(pitch, roll):
    true = up_of(np.radians(pitch), np.radians(roll))
    plain = np.full((600, 800, 3), 128, np.uint8)
    up = find_up(find_lines(plain, NOBODY, choose_intrinsics(800, 600)), *standing(true))
    assert not up.sure and up.source == "bodies" and 2 < up.std_deg < 20
    assert angle_deg(up.direction, true) < 8
    assert angle_deg(up.direction, true) < max(angle_deg(LEVEL_UP, true), 4)


def test_noise_is_no_evidence():
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    noise = cv2.resize(noise[:60, :80], (800, 600), interpolation=cv2.INTER_CUBIC)
    intrinsics = choose_intrinsics(800, 600)
    lines = find_lines(noise, NOBODY, intrinsics)
    assert not find_up(lines, *standing(LEVEL_UP)).sure
    assert with_found_focal(intrinsics, lines, (800, 600)) == intrinsics


def test_the_same_picture_gives_the_same_up():
    true, size = up_of(np.radians(15), 0.1), (800, 600)
    picture = room(true, camera_matrix(750.0, *size), size)
    first, second = (find_up(find_lines(picture, NOBODY, choose_intrinsics(*size)), *standing(true)) for _ in range(2))
    np.testing.assert_array_equal(first.direction, second.direction)
    assert first.std_deg == second.std_deg


def test_pitch_and_roll_of_an_up_and_back():
    pitch, roll = np.radians([20.0, -35, 0]), np.radians([5.0, -40, 0])
    np.testing.assert_allclose(pitch_roll(up_of(pitch, roll)), (pitch, roll), atol=1e-12)
    np.testing.assert_allclose(up_of(0, 0), LEVEL_UP)
    assert up_of(0.3, 0)[2] < 0, "the world's up lies behind a camera that looks down"


def bent(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Somebody who bends forward at the hips on straight, upright legs, arms down; the world's up is +Y."""
    rotmats = np.tile(np.eye(3), (1, 24, 1, 1))
    lean = roma.rotvec_to_rotmat(torch.tensor([np.radians(degrees), 0.0, 0.0])).numpy()
    rotmats[0, 0] = lean
    for side, sign in (("left", -1), ("right", 1)):
        rotmats[0, SMPL_JOINT_NAMES.index(f"{side}_hip")] = lean.T
        arm = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, sign * 1.2])).numpy()
        rotmats[0, SMPL_JOINT_NAMES.index(f"{side}_shoulder")] = arm
    with torch.no_grad():
        joints = BodyModel(load_body()).joints(torch.zeros(1, 10), torch.from_numpy(rotmats).float())
    return rotmats, joints.numpy()


@pytest.mark.parametrize("degrees, allowed", [(0, 5), (20, 8), (45, 22)])
def test_bodies_that_stand_or_bend_know_where_up_is(degrees, allowed):
    (up,), (concentration,) = body_ups(*bent(degrees))
    assert angle_deg(up, np.array([0.0, 1, 0])) < allowed
    assert concentration > 5


def test_a_damaged_network_is_named(tmp_path):
    network = load_network()
    save_network(tmp_path / "good.npz", network)
    np.testing.assert_array_equal(load_network(tmp_path / "good.npz").weights[0], network.weights[0])
    save_network(tmp_path / "narrow.npz", replace(network, weights=(network.weights[0][:, :5], *network.weights[1:])))
    (tmp_path / "text.npz").write_text("no network")
    for name in ("narrow.npz", "text.npz", "missing.npz"):
        with pytest.raises(BalanceFileError, match=name):
            load_network(tmp_path / name)


def test_a_given_camera_is_believed_before_a_sensor():
    up = given_up(np.array([0.0, -3.0, -4.0]), np.array([1.0, 0, 0]))
    assert (up.source, up.sure, up.std_deg) == ("camera", True, 0.0)
    np.testing.assert_allclose(up.direction, (0, -0.6, -0.8))
    assert given_up(None, np.array([0.0, -1, 0])).source == "sensor" and given_up(None, None) is None


@pytest.fixture
def fitter(untrained_weights) -> Fitter:
    models = ScriptedModels(ScriptedDetector([Found((100, 40, 120, 190), 0.9)]))
    return Fitter(models, FitOptions(weights=untrained_weights, iterations=1, confidence=False), "cpu")


def test_a_result_says_where_its_up_comes_from(fitter, tmp_path, monkeypatch, nothing_hidden):
    photo_file = tmp_path / "plain.png"
    write_image(photo_file, np.full((240, 320, 3), 120, np.uint8))
    found, _ = fitter.reconstruct(ImageRequest(photo_file))
    assert found.up_source == "bodies" and not found.up_sure and found.up_std_deg > 1
    assert np.linalg.norm(found.up_cam) == pytest.approx(1)

    true = up_of(0.4, 0.1)
    monkeypatch.setattr(
        single, "shown_from", lambda seen: Shown(*(np.ones_like(seen.inside),) * 2)
    )  # feet too: the floor is theirs
    given, _ = fitter.reconstruct(ImageRequest(photo_file, up=2 * true))
    np.testing.assert_allclose(given.up_cam, true)
    assert (given.up_source, given.up_sure) == ("camera", True)
    assert given.camera_height == pytest.approx(-(given.vertices_cam[0] @ true).min(), abs=1e-5)

    read = single.read_photo
    monkeypatch.setattr(single, "read_photo", lambda path: replace(read(path), up_sensor=true))
    sensed, _ = fitter.reconstruct(ImageRequest(photo_file))
    assert sensed.up_source == "sensor" and sensed.up_sure
    np.testing.assert_allclose(sensed.up_cam, true)


def test_a_focal_length_from_lines_is_used_where_nobody_knows_better(fitter, tmp_path):
    true, size = up_of(np.radians(15), 0.0), (640, 480)
    write_image(tmp_path / "room.png", room(true, camera_matrix(600.0, *size), size))
    boxes = np.array([[300.0, 200, 60, 120]])
    result, _ = fitter.reconstruct(ImageRequest(tmp_path / "room.png", boxes_xywh=boxes))
    assert result.focal_source == "lines" and result.K[0, 0] == pytest.approx(600, rel=0.05)
    result, _ = fitter.reconstruct(ImageRequest(tmp_path / "room.png", boxes_xywh=boxes, focal=640.0))
    assert result.focal_source == "user" and result.K[0, 0] == 640


def test_evaluation_writes_up(fitter, tmp_path):
    write_image(tmp_path / "a.png", street())
    (one,) = predictions([{"id": 1, "image": "a.png", "bbox_xywh": [100, 40, 120, 190]}], Path(tmp_path), fitter)
    assert np.linalg.norm(one["up_cam"]) == pytest.approx(1) and one["up_cam"][1] < 0
    json.dumps(one)
