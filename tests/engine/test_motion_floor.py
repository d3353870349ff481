# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor under moving people: feet that stand tell it, also where up is nearly known only."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refit_engine.body import BodyModel, load_body
from refit_engine.fitting.models import Body
from refit_engine.fitting.motion import fitter
from refit_engine.fitting.motion.contacts import across_gaps
from refit_engine.fitting.motion.footing import Feet, find_footings
from refit_engine.fitting.motion.ground import find_floor, sizes_on_one_floor
from refit_engine.fitting.motion.levels import find_levels
from refit_engine.fitting.motion.posed import Posed, low_sole
from refit_engine.gravity import Up

UP = np.array([0.0, 0.0, 1.0])
PARTS = np.array([0.08, 0.02, 0.03])  # metres of ankles, heels and toes above the floor


def tilted(degrees):
    """An up that is so far off about X."""
    angle = np.radians(degrees)
    return np.array([0.0, np.sin(angle), np.cos(angle)])


def degrees_between(one, other):
    return np.degrees(np.arccos(np.clip(one @ other, -1, 1)))


def standing_feet(level=0.0, along=(0.0, 1.0, 0.0), steps=8, length=0.6, noise=0.005, seed=0, drift=0.0):
    """Somebody who takes steps of ten instants on a floor at a level, which rises with each step by `drift`."""
    rng = np.random.default_rng(seed)
    points = np.full((10 * steps, 6, 3), np.nan)
    stands = np.zeros((10 * steps - 1, 6))
    for step in range(steps):
        rows = slice(10 * step, 10 * step + 10)
        foot = slice(3 * (step % 2), 3 * (step % 2) + 3)
        points[rows] = 5.0 + step * length * np.array(along)
        points[rows, :, 2] = level + 0.3  # the other foot is in the air
        points[rows, foot, 2] = level + drift * step + PARTS + noise * rng.normal()
        stands[10 * step : 10 * step + 9, foot] = 1.0
    return Feet(torch.from_numpy(points), torch.from_numpy(stands))


def times_of(feet):
    return torch.arange(len(feet.points), dtype=torch.float64) / 20


def test_standing_points_tell_up_better_where_it_is_nearly_known():
    feet = standing_feet()
    (footing,), up = find_footings([feet], times_of(feet), Up(tilted(4), "bodies", 5.0, False))
    assert abs(up.direction[1]) < np.sin(np.radians(0.5))  # along the way
    assert up.std_deg < 5.0
    assert (up.source, up.sure) == ("bodies", False)
    standing = feet.points[:10, :3] @ footing.up
    torch.testing.assert_close(standing, footing.levels[:3].expand(10, 3), atol=0.02, rtol=0)


def test_up_stays_where_points_do_not_tell_it():
    feet = standing_feet(length=0.0)
    given = tilted(3)
    _, up = find_footings([feet], times_of(feet), Up(given, "lines", 1.0, True))
    assert degrees_between(up.direction, given) < 0.1
    sideways = standing_feet(along=(1.0, 0.0, 0.0))
    _, up = find_footings([sideways], times_of(sideways), Up(given, "lines", 1.0, True))
    assert abs(degrees_between(up.direction, UP) - 3) < 0.3


@pytest.mark.parametrize(("lift", "level"), [(0.05, True), (0.1, True), (0.2, False)])
def test_somebody_who_stands_in_mid_step_says_nothing_of_up(lift, level):
    """The rear foot is held up, as still as the other stands."""
    points = np.zeros((60, 6, 3))
    points[:, :3, 1], points[:, 3:, 1] = 0.35, -0.35
    points[..., 2] = np.tile(PARTS, 2)
    points[:, 3:, 2] += lift
    feet = Feet(torch.from_numpy(points), torch.ones(59, 6, dtype=torch.float64))
    given = tilted(3)
    (footing,), up = find_footings([feet], times_of(feet), Up(given, "bodies", 5.0, False))
    assert degrees_between(up.direction, given) < 0.1
    assert (footing is not None) == level
    if footing is not None:
        np.testing.assert_allclose(footing.levels[:3], points[0, :3] @ given, atol=0.05)


def test_people_who_stand_still_far_from_each_other_say_nothing_of_up():
    here, there = standing_feet(length=0.0), standing_feet(length=0.0, seed=1)
    there = there._replace(points=there.points + torch.tensor([0.0, 4.0, 0.3], dtype=torch.float64))
    given = tilted(3)
    _, up = find_footings([here, there], times_of(here), Up(given, "bodies", 5.0, False))
    assert degrees_between(up.direction, given) < 0.1


def test_the_up_of_a_scene_is_not_changed():
    feet = standing_feet()
    (footing,), up = find_footings([feet], times_of(feet), Up(UP, "camera", 0.0, True))
    np.testing.assert_array_equal(up.direction, UP)
    np.testing.assert_allclose(footing.levels, np.tile(PARTS, 2), atol=0.005)


def test_people_on_two_levels_tell_one_up():
    street, roof = standing_feet(), standing_feet(level=2.0, seed=1, along=(1.0, 0.0, 0.0))
    footings, up = find_footings([street, roof], times_of(street), Up(tilted(4), "bodies", 5.0, False))
    assert degrees_between(up.direction, UP) < 0.5
    apart = footings[1].levels - footings[0].levels
    # Levels are those at the origin: the two are 5 metres away from it, where half a degree is 4 cm.
    torch.testing.assert_close(apart, torch.full((6,), 2.0, dtype=torch.float64), atol=0.08, rtol=0)


def test_feet_on_stairs_or_before_a_moving_camera_have_no_floor_and_do_not_take_it_from_others():
    climber, walker = standing_feet(drift=0.17), standing_feet(seed=1, along=(1.0, 0.0, 0.0))
    (none, footing), up = find_footings([climber, walker], times_of(walker), Up(UP, "lines", 1.0, True))
    assert none is None
    np.testing.assert_allclose(footing.levels, np.tile(PARTS, 2), atol=0.05)
    assert degrees_between(up.direction, UP) < 0.5


def test_nobody_stands_who_hardly_stands():
    feet = standing_feet(steps=2)
    given = Up(tilted(2), "bodies", 5.0, False)
    footings, up = find_footings([feet._replace(stands=0.1 * feet.stands)], times_of(feet), given)
    assert footings == [None]
    assert up == given


def test_a_few_points_elsewhere_do_not_move_the_level():
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, size=(100, 3)) * [1, 1, 0]
    points[:20, 2] = 0.4
    levels = find_levels(points, np.zeros(100, dtype=int), np.ones(100), tilted(2), 2.0, 0.015)
    assert degrees_between(levels.normal, UP) < 0.3
    assert levels.heights[0] == pytest.approx(0, abs=0.01)


def footing_at(below):
    """The footing of somebody so far below the camera."""
    feet = standing_feet(level=-below)
    (footing,), _ = find_footings([feet], times_of(feet), Up(UP, "camera", 0.0, True))
    return footing


def test_people_of_nearly_one_level_share_a_floor_and_those_on_a_roof_do_not():
    footings = [footing_at(1.5), footing_at(1.6), footing_at(-0.4), None]
    sizes, on_floor = sizes_on_one_floor(footings, np.full(4, 1.7), np.zeros(4, dtype=bool))
    np.testing.assert_array_equal(on_floor, [True, True, False, False])
    levels = [-size * float(footing.levels.min()) for size, footing in zip(sizes[:2], footings[:2], strict=True)]
    assert levels[0] == pytest.approx(levels[1])
    assert 1.5 < levels[0] < 1.6
    np.testing.assert_array_equal(sizes[2:], 1.0)


def test_a_known_size_stays_and_decides():
    footings = [footing_at(1.5), footing_at(1.6)]
    sizes, on_floor = sizes_on_one_floor(footings, np.full(2, 1.7), np.array([True, False]))
    assert on_floor.all()
    assert sizes[0] == 1
    assert sizes[1] == pytest.approx(1.5 / 1.6, abs=0.01)


def test_without_any_footing_all_are_heard():
    sizes, on_floor = sizes_on_one_floor([None, None], np.full(2, 1.7), np.zeros(2, dtype=bool))
    assert on_floor.all()
    assert (sizes == 1).all()


def walk_behind_a_wall(count=40, first=14, last=26, rate=25.0):
    """Feet [F,6,3] of somebody whose right foot stands until the left one lands at instant 22; contacts; observed instants."""
    feet = torch.zeros(count, 6, 3, dtype=torch.float64)
    stands = torch.zeros(count - 1, 6, dtype=torch.float64)
    for part, column in enumerate((0, 1, 2)):
        feet[:, column, 0] = torch.linspace(-0.5, 0.6, 22, dtype=torch.float64)[torch.arange(count).clamp(max=21)]
        feet[:, column + 3, 0] = 0.1 * part + 2.0 / rate * (torch.arange(count) - 22).clamp(min=0)
    stands[:first, 3:] = 0.9
    stands[last:, :3] = 0.8
    observed = torch.cat([torch.arange(first + 1), torch.arange(last, count)])
    return feet, stands, torch.arange(count, dtype=torch.float64) / rate, observed


def test_feet_stand_in_turn_where_nobody_looked():
    feet, stands, times, observed = walk_behind_a_wall()
    bridged = across_gaps(stands, feet, times, observed)
    left, right = bridged[:, :3].amin(dim=1), bridged[:, 3:].amin(dim=1)
    changed = int((right > 0.5).sum())  # where the right foot lifts and the left one lands
    assert 20 <= changed <= 24
    assert (right[:changed] == 0.9).all()
    assert (left[changed:] == 0.8).all()
    assert (left[:changed] == 0).all()
    assert (bridged[changed:, 3:] == 0).all()


def test_both_feet_of_somebody_who_stands_do():
    feet, stands, times, observed = walk_behind_a_wall()
    stands[:14, :], stands[26:, :] = 0.9, 0.9
    assert (across_gaps(stands, feet[:1].expand_as(feet), times, observed) == 0.9).all()


def test_gaps_that_are_long_or_follow_a_flight_are_not_bridged():
    feet, stands, times, observed = walk_behind_a_wall()
    assert torch.equal(across_gaps(stands, feet, 3 * times, observed), stands)
    flying = torch.cat([torch.zeros(14, 6, dtype=torch.float64), stands[14:]])
    assert torch.equal(across_gaps(flying, feet, times, observed), flying)
    assert torch.equal(across_gaps(stands, feet, times, torch.arange(len(times))), stands)


def test_the_floor_is_under_most_standing_feet_and_nobody_is_far_below_it():
    points = np.zeros((50, 3))
    points[:, 2] = np.where(np.arange(50) < 40, 0.5, 0.9)
    up = Up(UP, "lines", 1.0, True)
    assert find_floor(points, np.array([0.48, 0.9]), up).level == pytest.approx(0.5, abs=0.01)
    assert find_floor(points, np.array([0.5, -1.2]), up).level == -1.2
    assert np.isnan(find_floor(points[:0], np.array([0.5]), up).level)


@pytest.mark.parametrize("lift", [0.1, 0.15, 0.28])
def test_the_floor_is_under_the_foot_that_stands_where_the_other_is_held_up(lift):
    points = np.random.default_rng(1).normal(0, 0.005, (80, 3))
    points[:40, 2] += lift
    soles = np.array([points[40:, 2].min()])
    assert find_floor(points, soles, Up(UP, "lines", 1.0, True)).level == pytest.approx(0.0, abs=0.03)


def standing_body(body, height, *, shown):
    """Somebody at rest for ten instants, with the origin so high, whose feet all stand; their joints are shown or guessed."""
    subject = SimpleNamespace(result_body=body, loop_betas=torch.zeros(1, 10))
    transl = np.tile([0.0, height, 0.0], (10, 1))
    joints = body.model.joints(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).numpy() + transl[:, None]
    return SimpleNamespace(
        track=SimpleNamespace(contacts=torch.ones(10, 2)),
        posed=Posed(np.zeros(10), np.tile(np.eye(3, dtype=np.float32), (10, 24, 1, 1)), transl, joints),
        draft=SimpleNamespace(subject=subject),
        guessed=np.full((10, 24), not shown),
    )


def test_the_floor_is_under_feet_that_are_shown_unless_nobodys_are():
    data = load_body()
    body = Body(data, BodyModel(data).eval(), "bundled")
    up = Up(np.array([0.0, 1.0, 0.0]), "camera", 0.0, True)

    def floor(*people):
        return fitter._floor(list(people), SimpleNamespace(up=up, on_floor=[True] * len(people))).level

    seen, bust = standing_body(body, 0.0, shown=True), standing_body(body, -0.2, shown=False)
    ground = floor(seen)
    assert floor(seen, bust) == pytest.approx(ground, abs=1e-6)
    assert floor(bust) == pytest.approx(ground - 0.2, abs=1e-3)


def test_the_sole_is_that_of_the_lower_foot_while_it_is_low():
    joints = np.full((40, 24, 3), np.nan)
    joints[:30] = 1.0
    joints[:30, 10, 2] = 0.13
    joints[0, 10, 2] = -5.0  # a single frame that is wrong
    body = Posed(np.zeros(10), np.zeros((40, 24, 3, 3)), np.zeros((40, 3)), joints)
    assert low_sole(body, Up(UP, "lines", 1.0, True)) == pytest.approx(0.1)
