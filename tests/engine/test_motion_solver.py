# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion solver on constructed motions, of which everything is known."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.body.landmarks import landmark_spread
from refit_engine.errors import Cancelled
from refit_engine.fitting.motion.banded import Banded, covariances, factor, solve
from refit_engine.fitting.motion.contacts import FOOT_POINTS, of_feet, standing
from refit_engine.fitting.motion.footing import Feet, Footing, find_footings, near_floor
from refit_engine.fitting.motion.numbers import NUMBERS
from refit_engine.fitting.motion.observations import Motion, Observations, first_motion, when_seen
from refit_engine.fitting.motion.sides import LIMBS, exchanged, with_consistent_sides
from refit_engine.fitting.motion.solve import feet_of_motion, solve_motion
from refit_engine.fitting.motion.view_fusion import refined_betas, trusted
from refit_engine.fitting.motion.windows import segments, solve_track, windows
from refit_engine.gravity import Up
from refit_engine.motion_results import ABSENT, FILLED, SEEN

RATE = 10.0
FOCAL, PRINCIPAL = 1000.0, (500.0, 400.0)
BETAS = torch.zeros(10, dtype=torch.float64)
LEFT_HIP, LEFT_KNEE, RIGHT_SHOULDER = 1, 4, 17


@pytest.fixture(scope="module")
def body():
    return LandmarkBody(load_body()).double()


def swinging(count, rate=RATE, start=0.0):
    """Somebody who stands on the right leg and swings an arm and the left leg sideways: rotmats, pelvis, times."""
    times = torch.arange(count, dtype=torch.float64) / rate + start
    turns = torch.zeros(count, 24, 3, dtype=torch.float64)
    turns[:, 0, 0] = np.pi
    turns[:, RIGHT_SHOULDER, 2] = 0.8 * torch.sin(2 * np.pi * times / 1.3)
    turns[:, LEFT_HIP, 2] = 0.4 + 0.4 * torch.sin(2 * np.pi * times / 1.7)
    turns[:, LEFT_KNEE, 0] = 0.3 - 0.3 * torch.sin(2 * np.pi * times / 1.7)
    pelvis = torch.tensor([0.1, 0.0, 4.0], dtype=torch.float64).repeat(count, 1)
    return roma.rotvec_to_rotmat(turns), pelvis, times


def points_of(body, rotmats, pelvis):
    posed = body.pose(BETAS.expand(len(rotmats), -1), rotmats)
    return posed.points - posed.joints[:, :1] + pelvis[:, None], posed.joints - posed.joints[:, :1] + pelvis[:, None]


def observed(body, rotmats, pelvis, frames=None, noise=1.0, seed=0, camera=None, view=0, lag=0.0):
    """What a camera (R, t) sees of a motion, with as much noise in landmarks, poses and depth as is usual."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return noise * torch.from_numpy(rng.normal(size=shape))

    frames = torch.arange(len(rotmats)) if frames is None else torch.as_tensor(frames)
    count = len(frames)
    R, t = camera or (torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    seen = Observations(
        frame=frames,
        view=torch.full((count,), view),
        rotation=R.expand(count, 3, 3),
        translation=t.expand(count, 3),
        focal=torch.full((count, 2), FOCAL, dtype=torch.float64),
        principal=torch.tensor(PRINCIPAL, dtype=torch.float64).expand(count, 2),
        pixels=torch.zeros(count, 33, 2, dtype=torch.float64),
        confidence=torch.full((count, 33), 0.9, dtype=torch.float64),
        rotmats=rotmats[frames] @ roma.rotvec_to_rotmat(np.radians(12) * normal(count, 24, 3)),
        depth=torch.zeros(count, dtype=torch.float64),
        slant=torch.zeros(count, 2, dtype=torch.float64),
        lag=torch.full((count,), lag, dtype=torch.float64),
        pose_trust=torch.ones(count, 24, dtype=torch.float64),
    )
    points, joints = points_of(body, rotmats[frames], pelvis[frames])
    depth = seen.in_camera(joints)[:, 0, 2]
    spread = torch.from_numpy(landmark_spread())[:, None] * FOCAL / depth.mean()
    pixels = seen.project(points) + 0.3 * spread * normal(count, 33, 2)
    slant = seen.in_camera(joints)[:, 0, :2] / depth[:, None] + 0.015 / depth.mean() * normal(count, 2)
    return seen._replace(pixels=pixels, slant=slant, depth=depth * (1 + 0.05 * normal(count)))


def solved_twice(seen, times, body, footing=None):
    """As tracks are solved: the first motion says where feet stand in the second."""
    first = solve_motion(seen, times, body, BETAS)
    return solve_motion(seen, times, body, BETAS, NUMBERS, footing, first.motion)


def joint_errors(body, solution_rotmats, solution_pelvis, rotmats, pelvis):
    """[F,24] metres."""
    return (points_of(body, solution_rotmats, solution_pelvis)[1] - points_of(body, rotmats, pelvis)[1]).norm(dim=-1)


def acceleration(body, rotmats, pelvis):
    joints = points_of(body, rotmats, pelvis)[1]
    return joints[2:] - 2 * joints[1:-1] + joints[:-2]


def test_banded_elimination_is_dense_algebra():
    generator = torch.Generator().manual_seed(1)
    for frames in (1, 2, 3, 4, 7):
        size = 3

        def normal(*shape):
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        dense = torch.zeros(frames * size, frames * size, dtype=torch.float64)
        matrix = Banded(normal(frames, size, size), normal(frames - 1, size, size), normal(max(frames - 2, 0), size))
        matrix = matrix._replace(diagonal=matrix.diagonal @ matrix.diagonal.mT + 20 * torch.eye(size))
        for t in range(frames):
            here = slice(t * size, (t + 1) * size)
            dense[here, here] = matrix.diagonal[t]
            for distance, blocks in ((1, matrix.next), (2, torch.diag_embed(matrix.second))):
                if t + distance < frames:
                    there = slice((t + distance) * size, (t + distance + 1) * size)
                    dense[there, here] = blocks[t]
                    dense[here, there] = blocks[t].mT
        right = normal(frames, size)
        factors = factor(matrix)
        torch.testing.assert_close(solve(factors, right).flatten(), torch.linalg.solve(dense, right.flatten()))
        inverse = torch.linalg.inv(dense).view(frames, size, frames, size)
        torch.testing.assert_close(covariances(factors), torch.stack([inverse[t, :, t] for t in range(frames)]))


@pytest.mark.parametrize("seed", range(3))
def test_the_solver_comes_to_rest_where_depths_are_wrong(body, seed):
    """Nearly straight legs that are too short for where their landmarks are: whole steps would bend knees to and fro."""
    rotmats, pelvis, times = swinging(30)
    seen = observed(body, rotmats, pelvis, seed=seed)
    seen = seen._replace(depth=1.15 * seen.depth)
    some, more = (
        solve_motion(seen, times, body, BETAS, replace(NUMBERS, steps=steps, converged=0.0)).motion
        for steps in (12, 13)
    )
    assert joint_errors(body, some.rotmats, some.pelvis, more.rotmats, more.pelvis).max() < 0.01


def test_without_noise_the_motion_is_found(body):
    rotmats, pelvis, times = swinging(30)
    solution = solve_motion(observed(body, rotmats, pelvis, noise=0), times, body, BETAS)
    assert joint_errors(body, *solution.motion, rotmats, pelvis).max() < 0.06


def test_the_solver_is_smoother_and_nearer_than_single_frames(body):
    rotmats, pelvis, times = swinging(40)
    seen = observed(body, rotmats, pelvis)
    single = first_motion(seen, times)
    solution = solve_motion(seen, times, body, BETAS)
    truth = acceleration(body, rotmats, pelvis)
    alone, solved = ((acceleration(body, *motion) - truth).norm(dim=-1).mean() for motion in (single, solution.motion))
    assert solved < 0.2 * alone
    errors = [joint_errors(body, *motion, rotmats, pelvis).mean() for motion in (single, solution.motion)]
    assert errors[1] < 0.4 * errors[0]


def test_fast_motion_keeps_its_peaks(body):
    rotmats, pelvis, times = swinging(40)
    solution = solve_motion(observed(body, rotmats, pelvis), times, body, BETAS)
    wrist = 21

    def peak(motion):
        joints = points_of(body, *motion)[1]
        return (joints[1:, wrist] - joints[:-1, wrist] - joints[1:, 0] + joints[:-1, 0]).norm(dim=-1).max()

    assert 0.85 < peak(solution.motion) / peak((rotmats, pelvis)) < 1.15


def test_feet_that_stand_do_not_slide(body):
    rotmats, pelvis, times = swinging(40)
    solution = solved_twice(observed(body, rotmats, pelvis), times, body)
    ankle = points_of(body, *solution.motion)[1][:, 8]
    speed = (ankle[1:] - ankle[:-1]).norm(dim=-1).mean() * RATE
    assert speed < 0.06
    contacts = of_feet(standing(observed(body, rotmats, pelvis, noise=0), times))
    assert contacts[:, 1].min() > 0.9
    assert contacts[:, 0].median() < 0.3


def test_feet_stand_for_a_camera_that_moves(body):
    rotmats, pelvis, times = swinging(20)
    seen = observed(body, rotmats, pelvis, noise=0)
    turns = torch.zeros(20, 3, dtype=torch.float64)
    turns[:, 1] = 0.3 * times
    panned = seen._replace(rotation=roma.rotvec_to_rotmat(turns))
    points, joints = points_of(body, rotmats, pelvis)
    panned = panned._replace(pixels=panned.project(points), depth=panned.in_camera(joints)[:, 0, 2])
    assert of_feet(standing(panned, times))[:, 1].min() > 0.9
    slow = replace(NUMBERS, contact_speed=0.2)
    assert of_feet(standing(panned._replace(rotation=seen.rotation), times, slow))[:, 1].max() < 0.1


def test_a_foot_that_comes_straight_at_a_single_camera_moves_in_space(body):
    rotmats, pelvis, times = swinging(30)
    coming = pelvis.clone()
    coming[:, 2] -= 1.5 * times
    seen = observed(body, rotmats, coming, noise=0)
    quick = standing(seen, times, NUMBERS, feet_of_motion(Motion(rotmats, coming), body, BETAS))
    still = standing(seen, times, NUMBERS, feet_of_motion(Motion(rotmats, pelvis), body, BETAS))
    toe = 5
    assert quick[:, toe].median() < 0.5 < 0.9 < still[:, toe].median()
    assert standing(seen, times)[:, toe].median() > quick[:, toe].median()


def test_gaps_are_filled_marked_and_less_certain(body):
    rotmats, pelvis, times = swinging(60)
    frames = [*range(20), *range(26, 60)]
    track = solve_track(observed(body, rotmats, pelvis, frames), times, body, BETAS)
    assert track.state.tolist() == [SEEN] * 20 + [FILLED] * 6 + [SEEN] * 34
    assert (track.joint_std_m[22:24, 21] > 1.5 * track.joint_std_m[10, 21]).all()
    errors = joint_errors(body, track.rotmats, track.pelvis, rotmats, pelvis)
    assert errors[20:26].mean() < 0.15
    steps = (points_of(body, track.rotmats, track.pelvis)[1].diff(dim=0)).norm(dim=-1)
    assert steps[18:28].max() < 0.3


def test_a_long_absence_is_not_filled(body):
    rotmats, pelvis, times = swinging(60)
    frames = [*range(10, 20), *range(45, 55)]
    track = solve_track(observed(body, rotmats, pelvis, frames), times, body, BETAS)
    assert (track.state == SEEN).nonzero()[:, 0].tolist() == frames
    assert (track.state == ABSENT).sum() == 40
    assert torch.isnan(track.pelvis[track.state == ABSENT]).all()
    assert torch.isfinite(track.rotmats[frames]).all()


@pytest.mark.parametrize("seed", range(3))
def test_windows_agree_with_the_whole(body, seed):
    rotmats, pelvis, times = swinging(130)
    seen = observed(body, rotmats, pelvis, seed=seed)
    whole = solve_track(seen, times, body, BETAS, replace(NUMBERS.rough(), window=100.0, window_frames=1000))
    pieces = solve_track(seen, times, body, BETAS, replace(NUMBERS.rough(), window=4.0))
    assert len(list(windows(times, replace(NUMBERS, window=4.0)))) == 3
    whole = solve_track(seen, times, body, BETAS, replace(NUMBERS, window=100.0, window_frames=1000), before=whole)
    pieces = solve_track(seen, times, body, BETAS, replace(NUMBERS, window=4.0), before=pieces)
    difference = joint_errors(body, whole.rotmats, whole.pelvis, pieces.rotmats, pieces.pelvis)
    seams = torch.tensor([40, 80])
    away = (torch.arange(130)[:, None] - seams).abs().amin(dim=1) > RATE
    assert difference[away].max() < 0.001
    assert difference.max() < 0.01


def test_progress_rises_within_a_window_and_can_stop_it(body):
    rotmats, pelvis, times = swinging(20)
    seen, told = observed(body, rotmats, pelvis), []

    def stop(done):
        told.append(done)
        if len(told) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        solve_track(seen, times, body, BETAS, NUMBERS, stop)
    assert 0 < told[0] < told[1] < told[2] < 20


def test_windows_cover_every_instant_once():
    for count in (1, 2, 199, 200, 201, 299, 301, 1000):
        times = torch.arange(count, dtype=torch.float64) / RATE
        kept = []
        for low, high, part in windows(times):
            assert low <= part.start < part.stop <= high <= count
            assert part.start == 0 or times[part.start] - times[low] > NUMBERS.margin - 0.15
            kept += range(part.start, part.stop)
        assert kept == list(range(count))
    assert segments(torch.tensor([3, 4, 9]), torch.arange(20.0), 2.0) == [(3, 5), (9, 10)]


def test_uneven_times_and_a_single_frame_are_solved(body):
    rotmats, pelvis, times = swinging(12)
    seen = observed(body, rotmats, pelvis)
    uneven = times.clone()
    uneven[6:] += 0.07
    assert torch.isfinite(solve_motion(seen, uneven, body, BETAS).motion.rotmats).all()
    for count in (1, 2, 3):
        solution = solve_motion(seen.between(0, count), times[:count], body, BETAS)
        assert solution.motion.pelvis.shape == (count, 3)
        assert torch.isfinite(solution.joint_std_m).all()


def test_an_outlier_of_a_frame_does_not_kick_the_body(body):
    """A frame whose own fit is turned round, with the landmarks of left and right exchanged."""
    rotmats, pelvis, times = swinging(40)
    seen = observed(body, rotmats, pelvis)
    turned = seen.rotmats.clone()
    turned[20, 0] = turned[20, 0] @ roma.rotvec_to_rotmat(torch.tensor([0, np.pi, 0], dtype=torch.float64))
    pixels = seen.pixels.clone()
    pixels[20, 11:] = pixels[20, 11:].view(11, 2, 2).flip(1).reshape(22, 2)
    solution = solve_motion(seen._replace(rotmats=turned, pixels=pixels), times, body, BETAS)
    errors = joint_errors(body, *solution.motion, rotmats, pelvis).mean(dim=1)
    assert errors[20] < 2 * errors.mean() + 0.01


def seen_from_around(body, rotmats, pelvis, count=2, **changes):
    """What `count` cameras in a quarter circle around the body see; the views, and all together."""
    middle = torch.tensor([0.0, 0, 4], dtype=torch.float64)
    cameras = []
    for number in range(count):
        R = roma.rotvec_to_rotmat(torch.tensor([0, np.pi / 2 * number / (count - 1), 0], dtype=torch.float64))
        cameras.append((R, middle - R @ middle))
    views = [observed(body, rotmats, pelvis, seed=n, camera=camera, view=n) for n, camera in enumerate(cameras)]
    both = Observations(*(torch.cat(parts) for parts in zip(*views, strict=True)))
    return views, both.select(both.frame.argsort(stable=True))


def test_several_views_tell_the_size(body):
    """Seen is a body one deviation smaller than the frames' own shapes say."""
    rotmats, pelvis, times = swinging(20)
    _, both = seen_from_around(body, rotmats, pelvis, 3)
    wrong = BETAS.clone()
    wrong[0] = 1.0
    numbers = NUMBERS.of_several_views()
    track = solve_track(both, times, body, wrong, numbers)
    better = refined_betas(both, track, times, body, wrong, numbers)
    assert abs(better[0]) < 0.5


def test_a_camera_that_was_moved_loses_its_say(body):
    rotmats, pelvis, times = swinging(20)
    _, both = seen_from_around(body, rotmats, pelvis, 3)
    pushed = both.rotation.clone()
    turn = roma.rotvec_to_rotmat(torch.tensor([0, 0.12, 0], dtype=torch.float64))
    pushed[both.view == 2] = turn @ pushed[both.view == 2]
    moved = both._replace(rotation=pushed)
    numbers = NUMBERS.of_several_views()
    track = solve_track(moved, times, body, BETAS, numbers)
    confidence = trusted(moved, track, times, body, BETAS, numbers).confidence
    assert confidence[both.view == 2].max() < 0.5 * confidence[both.view != 2].max()
    track = solve_track(both, times, body, BETAS, numbers)
    sound = trusted(both, track, times, body, BETAS, numbers).confidence
    assert sound.min() > 0.6


def test_several_views_place_the_body(body):
    rotmats, pelvis, times = swinging(20)
    views, both = seen_from_around(body, rotmats, pelvis)
    solution = solve_motion(both, times, body, BETAS, NUMBERS.of_several_views())
    alone = solve_motion(views[0], times, body, BETAS)
    depths = [(motion.pelvis - pelvis)[:, 2].abs().mean() for motion in (solution.motion, alone.motion)]
    assert depths[0] < 0.03
    assert depths[0] < depths[1]


def test_pictures_between_the_instants_show_the_body_at_their_own_time(body):
    """Of two cameras, one takes its pictures 40 ms, two fifths of an interval, later."""
    rotmats, pelvis, times = swinging(50)
    late_rotmats, late_pelvis, _ = swinging(50, start=0.04)
    pelvis, late_pelvis = pelvis.clone(), late_pelvis.clone()
    pelvis[:, 0] += times
    late_pelvis[:, 0] += times + 0.04
    turned = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]], dtype=torch.float64)
    middle = torch.tensor([2.0, 0, 4], dtype=torch.float64)
    first = observed(body, rotmats, pelvis, noise=0)
    second = observed(
        body, late_rotmats, late_pelvis, noise=0, camera=(turned, middle - turned @ middle), view=1, lag=0.04
    )
    both = Observations(*(torch.cat(parts) for parts in zip(first, second, strict=True)))
    both = both.select(both.frame.argsort(stable=True))
    numbers = NUMBERS.of_several_views()
    errors = []
    for seen in (both, both._replace(lag=torch.zeros_like(both.lag))):
        track = solve_track(seen, times, body, BETAS, numbers)
        errors.append(joint_errors(body, track.rotmats, track.pelvis, rotmats, pelvis).mean())
        assert torch.isfinite(trusted(seen, track, times, body, BETAS, numbers).confidence).all()
    assert errors[0] < 0.012
    assert errors[0] < 0.5 * errors[1]


def test_the_motion_between_instants_turns_and_moves_evenly():
    turns = torch.zeros(3, 24, 3, dtype=torch.float64)
    turns[1:, 5, 1] = torch.tensor([0.4, 1.0])
    motion = Motion(roma.rotvec_to_rotmat(turns), torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]).double())
    empty = Observations(*(torch.zeros(3) for _ in Observations._fields))
    seen = empty._replace(frame=torch.tensor([0, 1, 2]), lag=torch.tensor([0.05, -0.025, 0.01]).double())
    then = when_seen(motion, seen, torch.tensor([0.0, 0.1, 0.2]).double())
    torch.testing.assert_close(then.pelvis[:, 0], torch.tensor([0.5, 0.75, 3.2]).double())
    torch.testing.assert_close(roma.rotmat_to_rotvec(then.rotmats)[:, 5, 1], torch.tensor([0.2, 0.3, 1.06]).double())


def test_two_cameras_see_a_foot_move_that_comes_straight_at_one_of_them(body):
    rotmats, pelvis, times = swinging(30)
    coming = pelvis.clone()
    coming[:, 2] -= 0.5 * times
    views, both = seen_from_around(body, rotmats, coming)
    several = NUMBERS.of_several_views()
    assert of_feet(standing(views[0], times, several))[:, 1].median() > 0.5
    assert of_feet(standing(both, times, several))[:, 1].median() < 0.2
    assert of_feet(standing(seen_from_around(body, rotmats, pelvis)[1], times, several))[:, 1].median() > 0.9


def test_feet_are_kept_on_a_level_floor_and_not_below_it(body):
    rotmats, pelvis, times = swinging(40)
    seen = observed(body, rotmats, pelvis)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    first = solved_twice(seen, times, body)

    def heights(motion):
        return points_of(body, *motion)[0][:, FOOT_POINTS] @ up

    feet = Feet(points_of(body, *first.motion)[0][:, FOOT_POINTS], first.standing)
    (footing,), _ = find_footings([feet], times, Up(up.numpy(), "camera", 0.0, True))
    torch.testing.assert_close(footing.levels[3:], heights((rotmats, pelvis))[0, 3:], atol=0.03, rtol=0)
    higher = footing._replace(levels=footing.levels + 0.03)
    solution = solve_motion(seen, times, body, BETAS, NUMBERS, higher, first.motion)
    below = (higher.levels - heights(solution.motion)).clamp(min=0)
    assert below.mean() < 0.5 * (higher.levels - heights(first.motion)).clamp(min=0).mean()


def test_feet_high_above_the_floor_do_not_stand(body):
    rotmats, pelvis, _ = swinging(3)
    feet = feet_of_motion(Motion(rotmats, pelvis), body, BETAS)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    footing = Footing(up, feet[0] @ up)
    assert near_floor(feet[:1].repeat(3, 1, 1), footing, NUMBERS).min() == 1
    assert near_floor(feet[:1].repeat(3, 1, 1) + 0.2 * up, footing, NUMBERS).max() < 0.01
    assert near_floor(feet[:1].repeat(3, 1, 1) - 0.2 * up, footing, NUMBERS).min() == 1


def crossing_paths(count=40, rate=25.0):
    """Knees, say, that pass each other twice: [N,2,1,2] metres, and the times of the pictures."""
    stamps = torch.arange(count, dtype=torch.float64) / rate
    swing = 0.3 * torch.sin(2 * np.pi * stamps / 1.2)
    paths = torch.zeros(count, 2, 1, 2, dtype=torch.float64)
    paths[:, 0, 0, 0], paths[:, 1, 0, 0] = swing, -swing
    return paths + torch.from_numpy(0.02 * np.random.default_rng(3).normal(size=paths.shape)), stamps


def test_limbs_that_pictures_take_for_each_other_are_told_by_their_paths():
    paths, stamps = crossing_paths()
    assert not exchanged(paths, stamps).any()
    wrong = [6, 7, 8, 9, 21, 36]
    paths[wrong] = paths[wrong].flip(1)
    assert exchanged(paths, stamps).nonzero()[:, 0].tolist() == wrong


def test_limbs_are_not_exchanged_for_what_happens_while_nobody_looks():
    paths, stamps = crossing_paths()
    paths[20:] = paths[20:].flip(1)
    stamps[20:] += 1.0
    assert not exchanged(paths, stamps).any()
    assert not exchanged(paths[:2], stamps[:2]).any()


def test_exchanged_legs_are_put_right_and_their_poses_not_believed(body):
    rotmats, pelvis, times = swinging(40, rate=25.0)
    true = observed(body, rotmats, pelvis)
    rows, legs = torch.tensor([14, 15, 16, 17, 30]), LIMBS[0]
    left, right = legs.landmarks
    pixels, poses = true.pixels.clone(), true.rotmats.clone()
    pixels[rows[:, None], left], pixels[rows[:, None], right] = (
        true.pixels[rows[:, None], right],
        true.pixels[rows[:, None], left],
    )
    poses[rows[:, None], legs.joints] = torch.eye(3, dtype=torch.float64)
    wrong = true._replace(pixels=pixels, rotmats=poses)
    put_right = with_consistent_sides(wrong, times)
    torch.testing.assert_close(put_right.pixels, true.pixels)
    assert (put_right.pose_trust[rows][:, legs.joints] == 0).all()
    assert put_right.pose_trust.sum() == 40 * 24 - 5 * len(legs.joints)
    believed, good = (
        joint_errors(body, *solve_motion(seen, times, body, BETAS).motion, rotmats, pelvis)[rows][:, [7, 8]].mean()
        for seen in (wrong, put_right)
    )
    assert good < 0.7 * believed


def test_a_frames_own_place_is_heard_beside_landmarks_of_the_trunk(body):
    rotmats, pelvis, times = swinging(20)
    seen = observed(body, rotmats, pelvis, noise=0)
    trunk = [11, 12, 23, 24]
    pixels = seen.pixels.clone()
    pixels[:, trunk, 0] += 0.04 * FOCAL / 4
    seen = seen._replace(pixels=pixels)
    deaf, heard = (
        (solve_motion(seen, times, body, BETAS, numbers).motion.pelvis - pelvis)[:, 0].abs().mean()
        for numbers in (replace(NUMBERS, across_std=10.0), NUMBERS)
    )
    assert heard < 0.6 * deaf
