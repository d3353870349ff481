# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who, with people and cameras made of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refit_engine.detect import COCO_JOINT_NAMES
from refit_engine.fitting.multiview.detection_rays import ViewDetections
from refit_engine.fitting.multiview.matching import match_people

K = np.array([[1200.0, 0, 960], [0, 1200, 540], [0, 0, 1]])
MIRROR = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]

# Metres, Z up, facing -Y, standing on the ground; the body's left is +X.
STANDING = {
    "nose": (0, -0.1, 1.6), "eye": (0.03, -0.08, 1.63), "ear": (0.07, 0, 1.62), "shoulder": (0.18, 0, 1.42),
    "elbow": (0.25, 0, 1.15), "wrist": (0.28, -0.05, 0.9), "hip": (0.1, 0, 0.92), "knee": (0.11, 0, 0.5),
    "ankle": (0.11, 0.03, 0.08),
}  # fmt: skip


def person(rng: np.random.Generator, place: tuple[float, float], size: float = 1.0) -> np.ndarray:
    """Joints [17,3] of somebody who faces anywhere and holds arms and legs somehow."""
    joints = np.array([STANDING[name.split("_")[-1]] for name in COCO_JOINT_NAMES])
    joints[[name.startswith("right_") for name in COCO_JOINT_NAMES], 0] *= -1
    joints += rng.normal(size=joints.shape) * np.where(joints[:, 2:] > 1.3, 0.01, 0.08)
    turn = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)
    return size * joints @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [*place, 0]


def camera(angle: float, distance: float = 4.5, height: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """R, t of a camera on a circle that looks at the middle of the stage."""
    place = np.array([distance * np.cos(angle), distance * np.sin(angle), height])
    ahead = np.array([0, 0, 0.9]) - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(ahead, right), ahead])
    return R, -R @ place


def look(cam, people: list[np.ndarray], rng: np.random.Generator, noise: float = 4.0) -> ViewDetections:
    """What a detector that errs by some pixels sees of them, in any order (kept in the boxes' first number)."""
    R, t = cam
    order = rng.permutation(len(people))
    joints, boxes = [], []
    for number in order:
        seen = (people[number] @ R.T + t) @ K.T
        pixels = seen[:, :2] / seen[:, 2:] + rng.normal(size=(17, 2)) * noise
        joints.append(pixels)
        boxes.append([number, 0, *np.ptp(pixels, axis=0)])
    return ViewDetections(
        K, R, t, np.reshape(joints, (-1, 17, 2)), np.full((len(people), 17), 0.6), np.reshape(boxes, (-1, 4))
    )


def who(views: list[ViewDetections], found) -> list[set]:
    """For each person found, the numbers of those who they are in the views."""
    return [
        {int(view.boxes[index, 0]) for view, index in zip(views, one.indices, strict=True) if index is not None}
        for one in found
    ]


def seen_by(found, number: int, views: list[ViewDetections]) -> list[bool]:
    (one,) = [one for one, numbers in zip(found, who(views, found), strict=True) if number in numbers]
    return [index is not None for index in one.indices]


def ring(count: int, start: float = 0.3) -> list[tuple[np.ndarray, np.ndarray]]:
    return [camera(start + 2 * np.pi * i / count, height=1.0 + 0.4 * (i % 3)) for i in range(count)]


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16])
def test_one_person_is_found_in_every_view(rng, count):
    truth = person(rng, (0.2, -0.1))
    cameras = ring(count) if count > 2 else [camera(0.3), camera(1.5)]
    views = [look(cam, [truth], rng) for cam in cameras]
    (found,) = match_people(views)
    assert found.indices == (0,) * count
    assert np.linalg.norm(found.joints_world - truth, axis=-1).mean() < 0.03
    assert found.reprojection_errors.max() < 12


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 4, 8])
def test_people_who_stand_close_together_are_kept_apart(seed, count):
    rng = np.random.default_rng(seed)
    people = [person(rng, place) for place in ((0, 0), (0.45, 0.1), (-0.5, 0.6), (0.3, -0.8))]
    views = [look(cam, people, rng) for cam in (ring(count) if count > 2 else [camera(0.3), camera(1.5)])]
    found = match_people(views)
    assert sorted(map(tuple, who(views, found))) == [(0,), (1,), (2,), (3,)]
    assert all(None not in one.indices for one in found)


def test_people_may_be_missing_in_views_and_seen_in_two_only(rng):
    people = [person(rng, place) for place in ((0, 0), (0.8, 0), (-0.8, 0.5))]
    present = [(0, 1, 2), (0, 2), (1,), (0, 1), ()]
    cameras = ring(5)
    views = [
        replace(view, **{name: getattr(view, name)[[int(b) in here for b in view.boxes[:, 0]]] for name in
                         ("joints2d", "joint_scores", "boxes")})
        for here, view in zip(present, (look(cam, people, rng) for cam in cameras), strict=True)
    ]  # fmt: skip
    found = match_people(views)
    assert sorted(map(tuple, who(views, found))) == [(0,), (1,), (2,)]
    for number in range(3):
        assert seen_by(found, number, views) == [number in here for here in present]


def test_view_that_shows_somebody_else_is_left_out(rng):
    truth, stranger = person(rng, (0, 0)), person(rng, (0.5, -0.9))
    views = [look(cam, [truth], rng) for cam in ring(4)]
    views[2] = look(ring(4)[2], [stranger], rng)
    (found,) = match_people(views)
    assert found.indices == (0, 0, None, 0) and np.isnan(found.reprojection_errors[2])
    assert np.linalg.norm(found.joints_world - truth, axis=-1).mean() < 0.03


def test_somebody_of_one_view_is_nobody(rng):
    truth, stranger = person(rng, (0, 0)), person(rng, (1.0, -0.9))
    views = [look(cam, [truth], rng) for cam in ring(3)]
    views[0] = look(ring(3)[0], [truth, stranger], rng)
    assert who(views, match_people(views)) == [{0}]


def test_detection_is_used_once_where_one_person_hides_the_other(rng):
    people = [person(rng, (0, 0)), person(rng, (0.9, 0.3))]
    views = [look(cam, people, rng) for cam in ring(4)]
    hidden = camera(np.arctan2(0.3, 0.9))
    views.append(look(hidden, [people[1]], rng))
    views[-1].boxes[:, 0] = 1
    found = match_people(views)
    assert seen_by(found, 1, views)[-1] and not seen_by(found, 0, views)[-1]


@pytest.mark.parametrize("shift", [(25, 0), (0, 25)])
def test_badly_calibrated_view_still_knows_its_people(rng, shift):
    people = [person(rng, place) for place in ((0, 0), (0.6, 0.3))]
    views = [look(cam, people, rng) for cam in ring(4)]
    views[2] = replace(views[2], joints2d=views[2].joints2d + np.array(shift))
    found = match_people(views)
    assert sorted(map(tuple, who(views, found))) == [(0,), (1,)]
    for one in found:
        assert None not in one.indices
        assert one.reprojection_errors[2] == pytest.approx(25, abs=6)
        assert one.reprojection_errors[[0, 1, 3]].max() < 15


def test_camera_turned_by_three_degrees_still_knows_its_people(rng):
    people = [person(rng, place) for place in ((0, 0), (0.8, 0.3))]
    views = [look(cam, people, rng) for cam in ring(4)]
    c, s = np.cos(np.radians(3)), np.sin(np.radians(3))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    views[1] = replace(views[1], R=turn @ views[1].R, t=turn @ views[1].t)
    found = match_people(views)
    assert sorted(map(tuple, who(views, found))) == [(0,), (1,)]
    for one in found:
        assert np.nanmean(one.reprojection_errors[[0, 2, 3]]) < 15


@pytest.mark.parametrize("parts", [("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"), None], ids=str)
def test_left_and_right_exchanged_in_a_view_do_no_harm(rng, parts):
    truth = person(rng, (0, 0))
    views = [look(cam, [truth], rng) for cam in ring(4)]
    joints = views[0].joints2d.copy()
    chosen = [i for i, name in enumerate(COCO_JOINT_NAMES) if parts is None or name.split("_")[-1] in parts]
    joints[:, chosen] = joints[:, [MIRROR[i] for i in chosen]]
    views[0] = replace(views[0], joints2d=joints)
    (found,) = match_people(views)
    assert found.indices == (0, 0, 0, 0)
    assert np.linalg.norm(found.joints_world - truth, axis=-1).mean() < 0.04


def test_joints_that_nobody_sees_are_unknown(rng):
    truth = person(rng, (0, 0))
    views = [look(cam, [truth], rng) for cam in ring(3)]
    for view in views:
        view.joint_scores[:, 11:] = 0.0
    (found,) = match_people(views)
    assert np.isnan(found.joints_world[11:]).all() and np.isfinite(found.joints_world[:11]).all()


def test_one_person_detected_twice_is_one(rng):
    truth = person(rng, (0, 0))
    views = [look(cam, [truth, truth], rng) for cam in ring(4)]
    assert len(match_people(views)) == 1


def test_size_tells_people_apart_whose_rays_all_meet(rng):
    """Two level cameras at the height of two distant people: every pair's rays meet somewhere, at the wrong size."""
    people = [person(rng, (0, 0)), person(rng, (1.5, 1.5))]
    views = [look(camera(angle, height=0.9), people, rng) for angle in (0.2, 1.4)]
    assert sorted(map(tuple, who(views, match_people(views)))) == [(0,), (1,)]


def test_nobody_and_nowhere_are_no_people(rng):
    truth = person(rng, (0, 0))
    empty = look(camera(0.0), [], rng)
    assert match_people([]) == []
    assert match_people([empty, empty]) == []
    assert match_people([look(camera(0.0), [truth], rng), empty]) == []
    assert match_people([look(camera(0.0), [truth], rng)] * 2) == []
