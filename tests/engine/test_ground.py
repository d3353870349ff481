# SPDX-License-Identifier: GPL-3.0-or-later
"""One floor for all people of a photo: made-up people on a known floor, their sizes misjudged by a tilted camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.fitting import CameraPeople
from refit_engine.fitting.ground import PRIOR, Ground, feet_of, find_ground
from refit_engine.fitting.height import betas_of_height, standing_height
from refit_engine.fitting.models import Body
from refit_engine.fitting.placing import stand_on_floor
from refit_engine.gravity import Up

CAMERA = 1.5  # metres above the floor
BELIEVED = 1.70  # metres: how tall everybody is estimated to be


@pytest.fixture(scope="module")
def body():
    data = load_body()
    return Body(data, BodyModel(data).eval(), "bundled")


def upwards(pitch: float) -> np.ndarray:
    """The world's up [3] of a camera that looks down by so many degrees."""
    return np.array([0.0, -np.cos(np.radians(pitch)), -np.sin(np.radians(pitch))])


def level_frame(pitch: float) -> np.ndarray:
    """The rotation [3,3] from a level camera's frame to one that looks down by `pitch` degrees."""
    c, s = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def posed(body, betas, rotmats):
    with torch.inference_mode():
        out = body.model(*(torch.tensor(np.asarray(one)[None], dtype=torch.float32) for one in (betas, rotmats)))
    return out.joints[0].numpy().astype(float), out.vertices[0].numpy().astype(float)


def person(body, tall, x, z, lift=0.0, pitch=15.0):
    """Somebody `tall` metres, believed to be BELIEVED, who stands `lift` above the floor at x to the right and z ahead.

    As estimated: betas, rotmats, transl, joints, vertices.
    """
    rotmats = np.tile(np.eye(3), (24, 1, 1))
    for joint, angle in ((16, -1.2), (17, 1.2), (1, 0.1), (2, -0.1)):  # arms down, legs apart
        c, s = np.cos(angle), np.sin(angle)
        rotmats[joint] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    rotmats[0] = level_frame(pitch) @ np.diag([1.0, -1, -1])  # upright, face to the camera
    betas = betas_of_height(body.data, np.zeros(10), tall)
    joints, vertices = posed(body, betas, rotmats)
    place = level_frame(pitch) @ [x, CAMERA - lift, z]
    place = place + upwards(pitch) * -(vertices @ upwards(pitch)).min()
    pelvis = (joints[0] + place) * BELIEVED / tall
    betas = betas_of_height(body.data, betas, BELIEVED)
    joints, vertices = posed(body, betas, rotmats)
    transl = pelvis - joints[0]
    return betas, rotmats, transl, joints + transl, vertices + transl


def group(body, *who, **camera):
    rows = zip(*(person(body, *one, **camera) for one in who), strict=True)
    betas, rotmats, transl, joints, vertices = (np.array(row) for row in rows)
    unknown = np.full((len(betas), 24), np.nan)
    seen = np.zeros((len(betas), 24), dtype=bool)
    return CameraPeople(betas, rotmats, transl, joints, vertices.astype(np.float32), unknown, unknown, seen)


def known_up(pitch=15.0):
    return Up(upwards(pitch), "lines", 1.0, True)


def settle(
    body, people, up=None, fixed=None, camera_height=None
) -> tuple[CameraPeople, Ground, np.ndarray, np.ndarray]:
    """People and floor, how high everybody's lowest vertex is above it, and how tall everybody is, metres."""
    heights = np.array([standing_height(body.data, betas) for betas in people.betas])
    fixed = np.zeros(len(heights), bool) if fixed is None else np.array(fixed)
    ground = find_ground(people.vertices, feet_of(body.data), heights, fixed, up or known_up(), camera_height)
    after = stand_on_floor(people, body, ground)
    above = (after.vertices.astype(float) @ ground.up_cam).min(axis=1) + ground.camera_height
    return after, ground, above, np.array([standing_height(body.data, betas) for betas in after.betas])


def directions(joints):
    return joints[..., :2] / joints[..., 2:]


PAIR = (1.84, -0.5, 3.0), (1.58, 0.8, 6.0)


def test_misjudged_sizes_are_found_and_the_floor_is_shared(body):
    people = group(body, *PAIR)
    apart = (people.vertices @ upwards(15)).min(axis=1)
    assert abs(apart[0] - apart[1]) > 0.2
    _, ground, above, tall = settle(body, people)
    np.testing.assert_allclose(above, 0, atol=1e-3)
    np.testing.assert_allclose(tall, [1.84, 1.58], atol=0.02)
    assert ground.on_floor.all() and ground.camera_height == pytest.approx(CAMERA, abs=0.02)


@pytest.mark.parametrize(("height", "stands"), [(1.70, True), (1.88, True), (1.5, True), (2.4, False)])
def test_single_person_steps_onto_a_known_floor_at_a_size_that_people_have(body, height, stands):
    """The network takes everybody for a person of about the same height, so a wrong size shows as a wrong distance."""
    people = group(body, (height, 0.3, 4.0))
    _, ground, above, tall = settle(body, people, camera_height=CAMERA)
    assert ground.camera_height == CAMERA and ground.on_floor.tolist() == [stands]
    if stands:
        assert above[0] == pytest.approx(0, abs=1e-3) and tall[0] == pytest.approx(height, abs=0.02)


def test_the_overlay_stays(body):
    people = group(body, *PAIR)
    after = settle(body, people)[0]
    moved = np.linalg.norm(directions(after.joints) - directions(people.joints), axis=2)
    size = np.ptp(directions(people.joints), axis=1).max(axis=1)
    assert (moved.mean(axis=1) < 0.005 * size).all() and (moved.max(axis=1) < 0.01 * size).all()
    np.testing.assert_array_equal(after.rotmats, people.rotmats)


def test_moved_parameters_give_the_moved_body(body):
    people = group(body, *PAIR)
    after = settle(body, people)[0]
    for betas, rotmats, transl, joints, vertices in zip(
        after.betas, after.rotmats, after.transl, after.joints, after.vertices, strict=True
    ):
        again = posed(body, betas, rotmats)
        np.testing.assert_allclose(again[0] + transl, joints, atol=1e-4)
        np.testing.assert_allclose(again[1] + transl, vertices, atol=1e-4)


@pytest.mark.parametrize("lift", [0.6, 2.5], ids=["jumping", "on a roof"])
def test_who_is_far_above_the_floor_stays_there(body, lift):
    people = group(body, (1.75, -1.0, 4.0), (1.65, 0.0, 5.0), (1.70, 1.0, 4.5, lift))
    after, ground, above, _ = settle(body, people)
    assert ground.on_floor.tolist() == [True, True, False]
    np.testing.assert_allclose(above[:2], 0, atol=1e-3)
    assert above[2] == pytest.approx(lift, abs=0.15)
    np.testing.assert_array_equal(after.vertices[2], people.vertices[2])
    np.testing.assert_array_equal(after.betas[2], people.betas[2])


def test_jumping_beside_one_standing_person(body):
    _, ground, above, _ = settle(body, group(body, (1.70, -0.5, 4.0), (1.70, 0.5, 4.0, 0.6)))
    assert ground.on_floor.tolist() == [True, False] and above[1] > 0.5


def test_nobody_is_below_the_floor(body):
    people = group(body, (1.75, -1.0, 4.0), (1.68, 0.2, 4.5), (1.66, 0.7, 5.0), (1.15, 1.0, 4.0))
    _, ground, above, tall = settle(body, people)
    np.testing.assert_allclose(above, 0, atol=1e-3)
    assert ground.on_floor.all() and tall[3] == pytest.approx(1.15, abs=0.06)


def test_one_person_stands_where_the_picture_has_them(body):
    people = group(body, (1.84, -0.5, 3.0))
    guess = Up(upwards(5), "level", 20.0, False)
    after, ground, above, _ = settle(body, people, guess)
    assert ground.on_floor.tolist() == [True] and abs(above[0]) < 1e-3
    np.testing.assert_allclose(after.vertices, people.vertices, atol=1e-6)
    np.testing.assert_array_equal(ground.up_cam, guess.direction)


def test_known_size_counts_and_stays(body):
    people = group(body, (BELIEVED, -0.5, 3.0), (1.58, 0.8, 6.0))
    after, ground, above, tall = settle(body, people, fixed=[True, False])
    np.testing.assert_array_equal(after.vertices[0], people.vertices[0])
    np.testing.assert_allclose(above, 0, atol=0.03)
    assert ground.on_floor.all() and tall[1] == pytest.approx(1.58, abs=0.03)


def test_guessed_pitch_is_corrected_by_people_at_different_distances(body):
    people = group(body, (1.72, -0.5, 3.0), (1.68, 0.8, 8.0))
    guess = Up(upwards(8), "bodies", 7.0, False)
    _, ground, above, tall = settle(body, people, guess)
    assert np.degrees(np.arccos(ground.up_cam @ upwards(15))) < 2
    np.testing.assert_allclose(above, 0, atol=1e-3)
    np.testing.assert_allclose(tall, BELIEVED, atol=0.06)
    kept = settle(body, people, Up(upwards(8), "lines", 7.0, True))[1].up_cam
    np.testing.assert_array_equal(kept, upwards(8))


def test_order_of_people_does_not_matter_and_the_same_comes_out_again(body):
    people = group(body, *PAIR, (1.7, 0.0, 4.0))
    order = np.array([2, 0, 1])
    first, again = settle(body, people)[0], settle(body, people)[0]
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_allclose(settle(body, people[order])[0].vertices, first.vertices[order], atol=1e-4)


def test_camera_below_the_feet(body):
    """On a stage: the floor is above the camera."""
    people = group(body, (1.72, -0.5, 3.0, 2.0), (1.66, 0.8, 4.0, 2.0), pitch=-15.0)
    _, ground, above, _ = settle(body, people, known_up(-15))
    np.testing.assert_allclose(above, 0, atol=1e-3)
    assert ground.on_floor.all() and ground.camera_height == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("step, lowest", [(0.03, -0.015), (0.08, 0.0)], ids=["both feet", "a lifted foot"])
def test_the_floor_lies_between_feet_that_both_stand(body, step, lowest):
    *_, vertices = person(body, BELIEVED, 0.0, 4.0)
    left, right = feet_of(body.data)
    heights = vertices @ upwards(15)
    vertices[left] += np.outer(np.full(left.sum(), heights.min() + step - heights[left].min()), upwards(15))
    vertices[right] += np.outer(np.full(right.sum(), heights.min() - heights[right].min()), upwards(15))
    ground = find_ground(vertices[None], feet_of(body.data), np.array([BELIEVED]), np.array([False]), known_up())
    above = vertices @ upwards(15) + ground.camera_height
    assert above.min() == pytest.approx(lowest, abs=1e-3)
    assert above[left].min() == pytest.approx(lowest + step, abs=1e-3)
    assert lowest == 0 or step < PRIOR.both_feet


def test_guessed_feet_tell_nothing_of_the_floor(body):
    """Whose feet the picture does not show keeps size and place; the others find the floor that they find without."""
    alone = group(body, (1.70, -0.5, 3.0), (1.70, 0.5, 3.5))
    people = group(body, (1.70, -0.5, 3.0), (1.70, 0.5, 3.5), (1.70, 1.5, 3.2, 0.12))
    heights, fixed = np.full(3, BELIEVED), np.zeros(3, dtype=bool)
    guessed = np.array([False, False, True])
    feet = feet_of(body.data)
    known = find_ground(alone.vertices, feet, heights[:2], fixed[:2], known_up())
    found = find_ground(people.vertices, feet, heights, fixed, known_up(), guessed=guessed)
    assert found.camera_height == pytest.approx(known.camera_height, abs=1e-6)
    assert found.on_floor.tolist() == found.moved.tolist() == [True, True, False]
    heard = find_ground(people.vertices, feet, heights, fixed, known_up())
    assert heard.on_floor.all() and abs(heard.camera_height - known.camera_height) > 0.01


def test_floor_lies_below_guessed_feet_where_there_are_no_others(body):
    people = group(body, (1.70, 0.0, 3.0))
    nobody = np.array([True])
    found = find_ground(people.vertices, feet_of(body.data), np.array([BELIEVED]), ~nobody, known_up(), guessed=nobody)
    assert found.camera_height == pytest.approx(CAMERA, abs=0.02)
    assert not found.on_floor.any() and not found.moved.any()
