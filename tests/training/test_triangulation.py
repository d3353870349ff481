# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints from many noisy observations, some of them wrong, against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refit_training.evaluation.rig_correction import corrected_rig
from refit_training.evaluation.smoothing import SMOOTHING, smooth
from refit_training.evaluation.triangulation import Rig, robust_start, triangulate
from refit_training.evaluation.yardstick_fit import determined
from scenes import motion, ring, seen

FPS, FRAMES = 30.0, 45


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def off(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found - truth, axis=-1)


@pytest.mark.parametrize(("frequency", "passed"), [(1.0, 1.0), (3.0, 1.0), (8.0, 0.5), (20.0, 0.0)])
def test_smoothing_keeps_motion_and_stops_jitter(frequency, passed):
    fps, frames = 120.0, 480
    wave = np.sin(2 * np.pi * frequency * np.arange(frames) / fps)
    information = np.full((frames, 1, 1, 1), 1 / 0.01**2)
    strength = np.array([0.01**2 / fps * (2 * np.pi * 8.0) ** 6])
    states, _ = smooth(information, information[..., 0] * wave[:, None, None], fps, strength, np.zeros((1, 1)))
    middle = slice(100, 380)
    gain = states[middle, 0, 0] @ wave[middle] / (wave[middle] @ wave[middle])
    assert gain == pytest.approx(passed, abs=0.02)


def test_gap_is_bridged_and_known_to_be_less_sure(rng):
    information = np.full((60, 1, 1, 1), 1 / 0.01**2)
    information[25:35] = 0
    place = np.sin(np.arange(60) / 15)[:, None, None]
    states, spread = smooth(information, information[..., 0] * place, 60.0, np.array([50.0]), np.zeros((1, 1)))
    error, stated = np.abs(states[:, 0, 0] - place[:, 0, 0]), np.sqrt(spread[:, 0, 0, 0])
    assert error[25:35].max() < 0.02
    assert stated[30] > 1.7 * stated[10]
    assert (error < 3 * stated).all()


def test_start_is_where_most_cameras_agree(rng):
    truth, rig = motion(rng, 10, FPS), ring()
    observed = seen(truth, rig, rng, noise=1.0, wrong=0.0)
    observed[:, 1] += 80  # a whole camera is wrong
    observed[:, 2, 1, 5] += 200
    observed[:, :, :, 9] = np.nan
    observed[:, 0, :, 9] = 1.0
    start = robust_start(observed, rig)
    assert np.isnan(start[:, 9]).all()
    others = np.arange(17) != 9
    assert np.median(off(start, truth)[:, others]) < 0.01
    assert off(start, truth)[:, others].max() < 0.08


def test_errors_are_as_large_as_stated_despite_outliers(rng):
    truth, rig = motion(rng, FRAMES, FPS), ring()
    found = triangulate(seen(truth, rig, rng), rig, FPS)
    error = off(found.points, truth)
    assert 0.6 < rms(error) / rms(found.error) < 1.25
    assert (error < 2 * found.error).mean() > 0.9
    assert rms(error) < 0.02


def test_camera_that_is_wrong_about_everything_hardly_counts(rng):
    truth, rig = motion(rng, FRAMES, FPS), ring()
    observed = seen(truth, rig, rng, wrong=0.0)
    sound = rms(off(triangulate(observed, rig, FPS).points, truth))
    observed[:, 2] += rng.normal(size=(FRAMES, 1, 17, 2)) * 60
    found = triangulate(observed, rig, FPS)
    noise = found.noise.reshape(4, 2).mean(axis=1)
    assert noise[2] > 5 * noise[[0, 1, 3]].max()
    assert rms(off(found.points, truth)) < 1.5 * sound


def turned(rig: Rig, camera: int, degrees: float) -> Rig:
    """The rig with one camera turned about its upright axis."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    R, t = rig.R.copy(), rig.t.copy()
    R[camera], t[camera] = turn @ R[camera], turn @ t[camera]
    return Rig(rig.K, R, t)


def test_turned_camera_is_found_and_turned_back(rng):
    truth, rig = motion(rng, FRAMES, FPS), ring()
    observed = seen(truth, rig, rng, noise=2.0)
    wrong = turned(rig, 2, 2.0)
    before = triangulate(observed, wrong, FPS)
    right = corrected_rig([observed], wrong, FPS)
    after = triangulate(observed, right, FPS)
    assert before.noise.reshape(4, 2).mean(axis=1).argmax() == 2
    assert after.noise.max() < 0.3 * before.noise.max()
    # The world as a whole is as free as calibrations are; the distances in it are not.
    bones = [np.linalg.norm(one[:, 5] - one[:, 12], axis=-1) for one in (after.points, truth)]
    assert rms(bones[0] - bones[1]) < 0.01
    relative = [one.R[2] @ one.R[0].T for one in (right, rig)]
    angle = np.arccos((np.trace(relative[0] @ relative[1].T) - 1) / 2)
    assert np.degrees(angle) < 0.5


def test_good_calibration_stays(rng):
    truth, rig = motion(rng, FRAMES, FPS), ring()
    right = corrected_rig([seen(truth, rig, rng, noise=2.0)], rig, FPS)
    assert np.abs(right.t - rig.t).max() < 0.02
    assert np.abs(right.R - rig.R).max() < 0.01


def test_joint_is_determined_where_three_cameras_agree(rng):
    truth, rig = motion(rng, FRAMES, FPS), ring()
    observed = seen(truth, rig, rng, noise=2.0, wrong=0.0)
    observed[10:30, 0, :, 7] = np.nan
    observed[10:30, 1, :, 9] = np.nan
    observed[10:30, 2, :, 9] = np.nan
    observed[:, :, :, 4] = np.nan
    found = triangulate(observed, rig, FPS)
    known = determined(found, 4, 0.03)
    assert known[:, 7].all()
    assert not known[10:30, 9].any()
    assert known[[*range(10), *range(30, FRAMES)], 9].all()
    assert not known[:, 4].any()
    assert np.isnan(found.points[:, 4]).all()
    assert not determined(replace(found, covariance=100 * found.covariance), 4, 0.03).any()


def test_usual_settings_do_not_cut_the_speed_of_a_kick(rng):
    """A foot that goes 60 cm to and fro in a third of a second."""
    truth, rig = motion(rng, 90, 60.0), ring()
    truth[:, 15, 1] += 0.3 * np.exp(-(((np.arange(90) - 45) / 60 / 0.08) ** 2))
    found = triangulate(seen(truth, rig, rng, noise=2.0, wrong=0.0), rig, 60.0, SMOOTHING)
    speed, right = (np.abs(np.gradient(one[:, 15, 1]) * 60).max() for one in (found.points, truth))
    assert speed == pytest.approx(right, rel=0.1)
