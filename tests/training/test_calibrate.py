# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the confidence of joints."""

import numpy as np
from refit_training.train.calibrate import Samples, fit, predicted, reliability


def test_fit_recovers_the_variances_that_errors_were_drawn_with():
    rng = np.random.default_rng(4)
    predictors = rng.uniform(-1, 1, size=(4000, 3, 2)) * (4.0, 1.0) + (1.0, -3.0)
    std = np.exp(0.5 * (np.array([1.0, 3.0, 5.0]) + 0.4 * (predictors[..., 0] - 1) + 0.2 * (predictors[..., 1] + 3)))
    samples = Samples(np.abs(rng.normal(size=std.shape) * std), predictors, std)
    found = predicted(fit(samples), samples)
    np.testing.assert_allclose(np.log(found / std), 0, atol=0.1)
    curve = reliability(found, samples.errors)
    np.testing.assert_allclose(curve[:, 0], curve[:, 1], rtol=0.15)
