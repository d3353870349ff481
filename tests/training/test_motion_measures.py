# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of moving bodies on constructed motions."""

from dataclasses import replace

import numpy as np
from refit_training.evaluation.motion_measures import (
    best_filter,
    errors_of,
    exchanges,
    largest_step,
    rays,
    smoothed,
    within,
)
from refit_training.poses.placed import with_planted_feet

RATE, FRAMES = 25.0, 50


def waving(seed=0):
    """Joints [F,24,3] that stay, but for the hands and one foot."""
    joints = np.tile(np.random.default_rng(seed).normal(0, 0.4, (24, 3)), (FRAMES, 1, 1))
    swing = 0.3 * np.sin(np.arange(FRAMES) / 4)
    joints[:, [20, 21], 0] += swing[:, None]
    joints[:, [7, 10], 1] += swing[:, None]
    return joints


def test_the_truth_has_no_errors_and_keeps_all_speed():
    truth = waving()
    toward = rays(truth, np.tile(np.eye(3), (FRAMES, 1, 1)), np.tile([0.0, 0, 5], (FRAMES, 1)))
    errors = errors_of(truth, truth, RATE, toward)
    assert max(errors.acc, errors.acc_abs, errors.mpjpe, errors.world, errors.across, errors.along) < 1e-9
    assert errors.speed > 0.999
    assert abs(errors.peak - 1) < 1e-9


def test_shifts_are_told_along_and_across_the_ray():
    truth = waving()
    toward = np.tile([0.0, 0, 1], (FRAMES, 1))
    errors = errors_of(truth + (0.03, 0.04, 0.2), truth, RATE, toward)
    assert abs(errors.along - 200) < 1e-6
    assert abs(errors.across - 50) < 1e-6
    assert errors.mpjpe < 1e-9
    assert abs(errors.slide - errors_of(truth, truth, RATE, toward).slide) < 1e-6


def test_a_foot_that_slides_and_jitter_are_seen():
    truth = waving()
    sliding = truth.copy()
    sliding[:, [8, 11], 0] += 0.1 * np.arange(FRAMES)[:, None] / RATE
    toward = np.tile([0.0, 0, 1], (FRAMES, 1))
    assert errors_of(sliding, truth, RATE, toward).slide > 45
    shaken = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    rough, calm = (errors_of(one, truth, RATE, toward) for one in (shaken, smoothed(shaken, 1.5)))
    assert calm.acc < 0.5 * rough.acc
    wide = replace(calm, acc=1.1 * calm.acc, speed=calm.speed - 0.1)
    assert best_filter([rough, calm, wide], calm.acc) == calm.speed
    assert best_filter([rough, calm, wide], wide.acc) == calm.speed
    assert best_filter([rough, calm, wide], 0.5 * calm.acc) == calm.speed


def test_people_who_are_exchanged_are_counted():
    truth = np.stack([waving(), waving(1) + 3])
    assert exchanges(truth, truth) == 0
    swapped = truth.copy()
    swapped[:, 20:] = truth[::-1, 20:]
    swapped[0, 30] = np.nan
    assert exchanges(swapped, truth) == 2


def test_deviations_that_fit_the_error_hold_it():
    truth = waving()
    noisy = truth + np.random.default_rng(1).normal(0, 0.02, truth.shape)
    noisy[:, 0] = truth[:, 0]
    std = np.full((FRAMES, 24), 0.02 * np.sqrt(3))
    assert within(noisy, truth, std) > 0.95
    assert within(noisy, truth, 0.2 * std) < 0.1
    assert largest_step(truth).shape == (FRAMES - 1,)


def test_feet_that_skate_are_planted():
    joints = waving()
    pelvis = np.column_stack([0.2 * np.arange(FRAMES) / RATE, np.zeros(FRAMES), np.ones(FRAMES)])
    places, stands = with_planted_feet(joints - joints[:, :1], pelvis, RATE)
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() * RATE < 0.05
    assert stands.min() > 0.9
    np.testing.assert_allclose(places[:, 2], 1)
