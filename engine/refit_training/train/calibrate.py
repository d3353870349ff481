# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the confidence of the network's joints on synthetic people, and check it on others.

    python -m refit_training.train.calibrate HELD_OUT [--weights FILE] [--out FILE] [--plot reliability.png]

HELD_OUT is a folder made by `refit_training.render.synthetic` whose people the network was not trained on. One half of
them fits `fitting.confidence_model`, the other half tells what it is worth: how the standard deviations rank the joints
(Spearman), and how large the errors are where a standard deviation is given (reliability curve).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.fitting.confidence import PREDICTORS, ConfidenceEstimator
from refit_engine.fitting.confidence_model import (
    BUNDLED_CALIBRATION,
    LIMIT,
    Calibration,
    VarianceModel,
    file_digest,
    write_calibration,
)
from refit_engine.network.checkpoint import BUNDLED_WEIGHTS, load_refit
from refit_engine.network.keypoints import keypoint_points
from scipy.optimize import minimize
from scipy.stats import spearmanr
from tqdm import tqdm

from refit_training.evaluation.metrics import angle_degrees
from refit_training.known import known
from refit_training.render.synthetic import RenderStore

from .features import observed

BATCH = 16
RIDGE = 1e-3
FLOOR = 1e-3
"""Least error, in millimetres and degrees: an error of exactly zero would have no logarithm."""


class Samples(NamedTuple):
    """N people: what one kind of error was, and what was observed."""

    errors: np.ndarray
    """[N,J] millimetres (23 joints below the pelvis) or degrees (24 joints)."""
    predictors: np.ndarray
    """[N,J,P]."""
    spread: np.ndarray
    """[N,J] the ensemble's, in the error's unit."""


def observe(held_out: Path, weights: Path, iterations: int, limit: int | None) -> tuple[Samples, Samples]:
    """Errors of position and of rotation, with their predictors, for the people of a folder of renders."""
    model, _ = load_refit(weights)
    data = load_body()
    body = BodyModel(data)
    points = keypoint_points(body, data, model.config.keypoints)
    landmarks = LandmarkBody(data)
    estimator = ConfidenceEstimator(model, body, points, landmarks)
    store = RenderStore(held_out)
    total = min(limit or len(store), len(store))
    rows: list[tuple[torch.Tensor, ...]] = []
    with torch.inference_mode():
        for index, (seen, views) in enumerate(
            tqdm(observed(model.backbone, store, BATCH), total=total // BATCH, unit="batch")
        ):
            if index * BATCH >= total:
                break
            encoding = model.encode_features(seen)
            estimates = model.refine(encoding, views.camera, points, landmarks, iterations)
            evidence = estimator.evidence(encoding, views.camera, estimates)
            rotmats = estimates[-1].rotmats()
            ours, truth = body.joints(estimates[-1].betas, rotmats), body.joints(views.betas, views.rotmats)
            distance = 1000 * ((ours - ours[:, :1]) - (truth - truth[:, :1])).norm(dim=-1)
            angle = angle_degrees(rotmats, views.rotmats)
            predictors = known(evidence.predictors_mm), known(evidence.predictors_deg)
            rows.append((distance, angle, *evidence.spread, *predictors))
    distance, angle, mm, deg, predictors_mm, predictors_deg = (
        torch.cat(column).double().numpy() for column in zip(*rows, strict=True)
    )
    return Samples(distance[:, 1:], predictors_mm[:, 1:], mm[:, 1:]), Samples(angle, predictors_deg, deg)


def fit(samples: Samples) -> VarianceModel:
    """The log-linear model of the error's variance that makes the errors most likely (exponential deviance).

    Its constants make the variance of each joint right on average, whatever the errors' distribution is.
    """
    flat = samples.predictors.reshape(-1, samples.predictors.shape[-1])
    means, deviations = flat.mean(axis=0), flat.std(axis=0) + 1e-6
    standardised = ((samples.predictors - means) / deviations).clip(-LIMIT, LIMIT)
    squares = np.maximum(samples.errors, FLOOR) ** 2
    joints = squares.shape[1]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        constants, weights = values[:joints], values[joints:]
        log_variance = constants + standardised @ weights
        ratio = squares * np.exp(-log_variance)
        slope = (1 - ratio) / squares.size
        gradient = np.concatenate(
            [slope.sum(axis=0), np.einsum("nj,njp->p", slope, standardised) + 2 * RIDGE * weights]
        )
        return float((log_variance + ratio).mean() + RIDGE * weights @ weights), gradient

    start = np.concatenate([np.log(squares.mean(axis=0)), np.zeros(flat.shape[1])])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x

    def rounded(values: np.ndarray) -> tuple[float, ...]:
        return tuple(round(float(value), 5) for value in values)

    return VarianceModel(rounded(found[:joints]), rounded(found[joints:]), rounded(means), rounded(deviations))


def predicted(model: VarianceModel, samples: Samples) -> np.ndarray:
    """Standard deviations [N,J]."""
    return model.std(torch.from_numpy(samples.predictors)).numpy()


def ranking(std: np.ndarray, errors: np.ndarray) -> dict[str, float]:
    """Spearman's correlation of predicted [N,J] with true errors [N,J].

    all: over all joints of all people; same_joint: over people, mean over joints (a constant per joint scores 0);
    people: of the means over a person's joints.
    """
    same_joint = [spearmanr(std[:, j], errors[:, j]).statistic for j in range(errors.shape[1])]
    return {
        "all": round(float(spearmanr(std.ravel(), errors.ravel()).statistic), 3),
        "same_joint": round(float(np.mean(same_joint)), 3),
        "people": round(float(spearmanr(std.mean(axis=1), errors.mean(axis=1)).statistic), 3),
    }


def reliability(std: np.ndarray, errors: np.ndarray, bins: int = 10) -> np.ndarray:
    """[bins,2]: root mean squares of the standard deviations and of the errors, in bins of equal size by the former."""
    order = np.argsort(std.ravel())
    return np.array(
        [
            [np.sqrt(np.mean(values.ravel()[part] ** 2)) for values in (std, errors)]
            for part in np.array_split(order, bins)
        ]
    )


def report(model: VarianceModel, samples: Samples) -> dict[str, object]:
    """What a model is worth on people whom it was not fitted on."""
    std = predicted(model, samples)
    curve = reliability(std, samples.errors)
    return {
        "mean_error": round(float(samples.errors.mean()), 1),
        "rms_error": round(float(np.sqrt((samples.errors**2).mean())), 1),
        "rms_error_over_std": round(float(np.sqrt(((samples.errors / std) ** 2).mean())), 3),
        "worst_bin_ratio": round(float(np.exp(np.abs(np.log(curve[:, 1] / curve[:, 0])).max())), 2),
        "share_within_1_std": round(float((samples.errors < std).mean()), 3),
        "share_within_2_std": round(float((samples.errors < 2 * std).mean()), 3),
        "spearman": ranking(std, samples.errors),
        "spearman_of_the_spread_alone": ranking(samples.spread, samples.errors),
        "rms_error_over_spread_alone": round(
            float(np.sqrt((samples.errors**2).mean() / (samples.spread**2).mean())), 1
        ),
        "weights": dict(zip(PREDICTORS, (round(weight, 2) for weight in model.weights), strict=True)),
    }


def plot(path: Path, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Reliability curves of the checked half, calibrated and plain spread, one panel for each unit."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(9, 4.2), layout="constrained")
    for panel, (unit, (calibrated, plain)) in zip(panels, curves.items(), strict=True):
        limits = [0.8 * min(calibrated.min(), plain.min()), 1.2 * max(calibrated.max(), plain.max())]
        panel.loglog(limits, limits, color="0.7", linewidth=1, label="perfect")
        panel.loglog(*plain.T, "s--", color="#b0653a", markersize=4, label="spread of the ensemble alone")
        panel.loglog(*calibrated.T, "o-", color="#2b6ca3", label="calibrated")
        panel.set(xlim=limits, ylim=limits, xlabel=f"standard deviation given ({unit})", ylabel=f"RMS error ({unit})")
        panel.grid(which="both", linewidth=0.3)
    panels[0].set_title("position relative to the pelvis")
    panels[1].set_title("rotation relative to the parent")
    panels[0].legend()
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path, help="folder of synthetic renders")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="default: the bundled ones")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--limit", type=int, help="only the first people")
    parser.add_argument("--out", type=Path, default=BUNDLED_CALIBRATION, help="default: beside the bundled weights")
    parser.add_argument("--plot", type=Path, help="write the reliability curve, a PNG")
    options = parser.parse_args(arguments)

    kinds = observe(options.held_out, options.weights, options.iterations, options.limit)
    shuffled = np.random.default_rng(0).permutation(len(kinds[0].errors))
    fitted, checked = np.array_split(shuffled, 2)
    models, curves = [], {}
    summary: dict[str, object] = {"people": len(shuffled), "fitted_on": len(fitted)}
    for unit, kind in zip(("mm", "deg"), kinds, strict=True):
        model = fit(Samples(*(values[fitted] for values in kind)))
        rest = Samples(*(values[checked] for values in kind))
        models.append(model)
        curves[unit] = reliability(predicted(model, rest), rest.errors), reliability(rest.spread, rest.errors)
        summary[unit] = report(model, rest)
    calibration = Calibration(file_digest(options.weights), len(fitted), PREDICTORS, *models)
    write_calibration(options.out, calibration)
    if options.plot:
        plot(options.plot, curves)
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
