# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracks of several people on constructed paths."""

import numpy as np
from refit_engine.fitting.motion.tracks import TRACKS, Found, Track, assign, clothes, distinct, shared_joints, size_of

RATE = 25.0
RED, BLUE = np.array([50.0, 60, 40, 30, 0, 0]), np.array([40.0, 10, -60, 60, 0, 0])


def person(x, y=200.0, seed=0, noise=0.0):
    """Joints [17,2] of somebody about 170 pixels tall, whose middle is at x, y."""
    columns = np.array([0, 3, -3, 6, -6, 20, -20, 26, -26, 28, -28, 12, -12, 13, -13, 14, -14.0])
    rows = np.array([-70, -72, -72, -71, -71, -50, -50, -20, -20, 8, 8, 5, 5, 50, 50, 95, 95.0])
    joints = np.stack([columns, rows], axis=1)
    joints = joints - joints.mean(axis=0)
    return joints + (x, y) + noise * np.random.default_rng(seed).normal(size=(17, 2))


def follow(paths, frames, noise=2.0):
    """Tracks run over paths (function of time to x or None, colours); the list of (track number, path) per frame."""
    tracks, history, rng = [], [], np.random.default_rng(3)
    for frame in range(frames):
        time = frame / RATE
        places = [(name, path(time), colours) for name, (path, colours) in paths.items()]
        there = [(name, x, colours) for name, x, colours in places if x is not None]
        found = [Found(person(x, seed=rng.integers(1 << 30), noise=noise), colours) for _, x, colours in there]
        kept = distinct(found)
        pairs = assign(tracks, [found[n] for n in kept], time)
        for row, column in pairs.items():
            tracks[row].update(found[kept[column]], time)
        taken = set(pairs.values())
        for column, n in enumerate(kept):
            if column not in taken:
                tracks.append(Track(len(tracks), found[n].joints, time, found[n].colours))
                pairs[len(tracks) - 1] = column
        history.append({tracks[row].number: there[kept[column]][0] for row, column in pairs.items()})
    return tracks, history


def test_two_people_who_cross_keep_their_identity():
    paths = {"right": (lambda t: 100 + 90 * t, RED), "left": (lambda t: 500 - 90 * t, RED)}
    tracks, history = follow(paths, 110)
    assert len(tracks) == 2
    assert history[0] == history[-1] == {0: "right", 1: "left"}


def test_somebody_who_is_hidden_while_crossing_is_found_again():
    def behind(t):
        return None if 1.6 < t < 2.8 else 500 - 90 * t

    tracks, history = follow({"front": (lambda t: 100 + 90 * t, RED), "behind": (behind, BLUE)}, 110)
    assert len(tracks) == 2
    assert history[-1] == {0: "front", 1: "behind"}


def test_who_leaves_and_comes_back_elsewhere_is_known_by_the_clothes():
    def leaves(t):
        return 100 - 100 * t if t < 1 else None if t < 4 else 900 - 50 * (t - 4)

    tracks, history = follow({"stays": (lambda t: 500.0, RED), "leaves": (leaves, BLUE)}, 125)
    assert len(tracks) == 2
    assert history[-1] == {0: "stays", 1: "leaves"}


def test_somebody_else_who_comes_is_somebody_else():
    def leaves(t):
        return 100 - 100 * t if t < 1 else None

    def comes(t):
        return 900 - 50 * (t - 4) if t > 4 else None

    tracks, history = follow({"leaves": (leaves, BLUE), "comes": (comes, RED)}, 125)
    assert len(tracks) == 2
    assert history[-1] == {1: "comes"}


def test_somebody_else_who_comes_where_somebody_was_lost_is_somebody_else():
    tracks, history = follow(
        {"leaves": (lambda t: 300 if t < 1 else None, RED), "comes": (lambda t: 310 if t > 2 else None, BLUE)}, 60
    )
    assert len(tracks) == 2
    assert history[-1] == {1: "comes"}
    darker = RED + [15, 0, 0, 10, 0, 0]
    tracks, _ = follow(
        {"leaves": (lambda t: 300 if t < 1 else None, RED), "back": (lambda t: 310 if t > 2 else None, darker)}, 60
    )
    assert len(tracks) == 1


def test_who_turns_round_fast_is_known_by_the_clothes_and_somebody_else_is_not():
    track, apart = Track(0, person(100), 1.0, RED), 0.5 * size_of(person(100))
    assert assign([track], [Found(person(100 + apart), RED)], 1.04) == {0: 0}
    assert assign([track], [Found(person(100 + apart), BLUE)], 1.04) == {}
    assert assign([track], [Found(person(100 + 2 * apart), RED)], 1.04) == {}


def test_one_body_is_not_given_to_two_tracks():
    tracks = [Track(0, person(100), 0.0, RED), Track(1, person(130), 0.0, RED)]
    found = [Found(person(104), RED), Found(person(106), RED)]
    assert distinct(found) == [0]
    assert assign(tracks, [found[0]], 1 / RATE) == {0: 0}


def test_a_jump_across_the_picture_is_not_followed():
    track = Track(0, person(100), 0.0, RED)
    assert assign([track], [Found(person(100 + 3 * size_of(track.joints)), RED)], 1 / RATE) == {}


def test_prediction_goes_on_with_the_velocity_and_stops():
    track = Track(0, person(100), 0.0, RED)
    for frame in range(1, 20):
        track.update(Found(person(100 + 4 * frame), RED), frame / RATE)
    ahead = track.predicted(20 / RATE) - track.joints
    assert 3.5 < ahead[:, 0].mean() < 4.5
    np.testing.assert_allclose(track.predicted(100.0), track.predicted(19 / RATE + 3 * TRACKS.patience))


def test_clothes_are_the_colours_of_trunk_and_thighs():
    picture = np.zeros((400, 400, 3), np.uint8)
    joints = person(200)
    picture[: int(joints[11, 1])] = (255, 0, 0)
    picture[int(joints[11, 1]) :] = (0, 0, 255)
    colours = clothes(picture, joints)
    assert colours[1] > 60 and colours[2] > 40
    assert colours[5] < -60
    assert np.isnan(clothes(picture, joints + 1000)).all()


def test_shared_joints_are_the_detectors():
    landmarks = np.arange(66.0).reshape(33, 2)
    assert shared_joints(landmarks)[0].tolist() == [0, 1]
    assert shared_joints(landmarks)[-1].tolist() == [56, 57]
