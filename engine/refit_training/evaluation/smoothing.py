# SPDX-License-Identifier: GPL-3.0-or-later
"""Where joints were, from many noisy and partly wrong observations of a recording.

T frames, S series of observations (one of each pair of camera and eye), J joints, D dimensions (3 in the world, 2 in a picture).

A joint moves as if its jerk were white noise, which makes the estimate a Kalman filter with the smoother of Rauch, Tung and
Striebel (1965) behind it. Each series has Student-t noise of a width of its own (Lange, Little and Taylor 1989), estimated by
expectation maximisation: an outlier hardly counts, and so does a camera that contradicts the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["SMOOTHING", "SmoothingSettings", "Trajectories", "fit_trajectories", "smooth"]

Linearize = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of points [T,J,D]: the pixels [T,S,J,2] where the series show them, and those pixels' slopes [T,S,J,2,D]."""

_UNKNOWN = (10.0, 100.0, 1000.0)
"""Standard deviations of place, speed and acceleration before the first frame, in units of the points: nothing is known."""


@dataclass(frozen=True)
class SmoothingSettings:
    """cutoff_hz: frequency at which half of a joint's motion is let through, where the joint is seen as well as usual. On the
    recordings of docs/yardstick.md anything from 3 to 20 Hz predicts a camera that is left out as well (within 4 %); 6 Hz, usual for
    people who walk (Winter 2009), would take a fifth off the highest speed of a kick, 12 Hz takes less than a tenth.
    frames_share: largest cut-off as a share of the frames a second; from a half on nothing would be smoothed.
    freedom: degrees of freedom of Student's t. rounds: of expectation maximisation, until no joint moves by more than the pixels
    `settled`. first_noise, least_noise: pixels.
    trust: no series counts as so many times as exact as the usual one, else two of them may rule alone. alike: whether all series are
    equally noisy, for so few that they cannot tell who is wrong."""

    cutoff_hz: float = 12.0
    frames_share: float = 1 / 3
    freedom: float = 3.0
    rounds: int = 20
    settled: float = 0.2
    first_noise: float = 6.0
    least_noise: float = 0.5
    trust: float = 2.0
    alike: bool = False


SMOOTHING = SmoothingSettings()


@dataclass(frozen=True)
class Trajectories:
    """points: [T,J,D]; covariance: [T,J,D,D], with what the errors of neighbouring frames have in
    common; belief: [T,S,J] how far an observation is believed, about 1 for a good one, 0 for none; residuals: [T,S,J,2] pixels,
    NaN for none; noise: [S] pixels, of one coordinate."""

    points: np.ndarray
    covariance: np.ndarray
    belief: np.ndarray
    residuals: np.ndarray
    noise: np.ndarray

    def spread(self, known: np.ndarray) -> Trajectories:
        """The same with NaN for the joints that are not `known` [J]; nothing is believed of them."""

        def wide(values: np.ndarray, axis: int, fill: float = np.nan) -> np.ndarray:
            whole = np.full((*values.shape[:axis], len(known), *values.shape[axis + 1 :]), fill)
            whole[(slice(None),) * axis + (known,)] = values
            return whole

        return Trajectories(
            wide(self.points, 1),
            wide(self.covariance, 1),
            wide(self.belief, 2, 0.0),
            wide(self.residuals, 2),
            self.noise,
        )

    @property
    def error(self) -> np.ndarray:
        """Standard error [T,J] of the distance from the truth, in units of the points."""
        return np.sqrt(np.trace(self.covariance, axis1=2, axis2=3))


def fit_trajectories(
    observed: np.ndarray,
    linearize: Linearize,
    start: np.ndarray,
    fps: float,
    settings: SmoothingSettings = SMOOTHING,
) -> Trajectories:
    """Trajectories of joints seen at pixels [T,S,J,2] (NaN: not seen), from roughly where they are, [T,J,D]."""
    seen = np.all(np.isfinite(observed), axis=-1)
    observed = np.where(seen[..., None], observed, 0.0)
    points = start
    variance = np.full(seen.shape[1], settings.first_noise**2)
    before, rounds = np.inf, 0
    while True:
        rounds += 1
        pixels, slopes = linearize(points)
        squared = np.square(observed - pixels).sum(axis=-1)
        belief = _belief(squared, seen, variance, settings.freedom)
        information = np.einsum("tsj,tsjai,tsjak->tjik", belief / variance[:, None], slopes, slopes)
        vector = np.einsum("tsj,tsjai,tsja->tji", belief / variance[:, None], slopes, observed - pixels)
        vector += np.einsum("tjik,tjk->tji", information, points)
        usual = _usual_variance(information)
        strength = usual / fps * (2 * np.pi * min(settings.cutoff_hz, settings.frames_share * fps)) ** 6
        states, covariance = smooth(information, vector, fps, strength, points[0])
        dimensions = points.shape[-1]
        points, covariance = states[..., :dimensions], covariance[..., :dimensions, :dimensions]
        pixels, slopes = linearize(points)
        residuals = observed - pixels
        squared = np.square(residuals).sum(axis=-1)
        belief = _belief(squared, seen, variance, settings.freedom)
        unsure = np.einsum("tsjai,tjik,tsjak->tsj", slopes, covariance, slopes)
        total = (belief * squared + seen * unsure).sum(axis=(0, 2))
        number = 2 * seen.sum(axis=(0, 2))
        if settings.alike:
            total, number = np.full_like(total, total.sum()), np.full_like(number, number.sum())
        variance = np.maximum(total / np.maximum(number, 1), settings.least_noise**2)
        variance = np.maximum(variance, np.median(variance[number > 0]) / settings.trust**2)
        if np.abs(pixels - before).max() < settings.settled or rounds >= settings.rounds:
            break
        before = pixels
    # Landmarks err for longer than the smoother looks: the mean over its frames is no better than one of them.
    gained = usual / np.median(np.trace(covariance, axis1=2, axis2=3) / dimensions, axis=0)
    return Trajectories(
        points,
        covariance * np.maximum(gained, 1.0)[:, None, None],
        belief,
        np.where(seen[..., None], residuals, np.nan),
        np.sqrt(variance),
    )


def _belief(squared: np.ndarray, seen: np.ndarray, variance: np.ndarray, freedom: float) -> np.ndarray:
    """Weights [T,S,J] of Student's t for squared distances [T,S,J] in two dimensions."""
    return seen * (freedom + 2) / (freedom + squared / variance[:, None])


def _usual_variance(information: np.ndarray) -> np.ndarray:
    """The variance [J] of one coordinate of a joint in a usual frame, by that frame's information [T,J,D,D] alone."""
    size = np.trace(information, axis1=2, axis2=3)
    known = np.where(size > 0, size, np.nan)
    floor = 1e-4 * np.nanmedian(known, axis=0)  # along a ray that nothing crosses
    dimensions = information.shape[-1]
    variances = np.linalg.inv(information + floor[:, None, None] * np.eye(dimensions))
    variances = np.trace(variances, axis1=2, axis2=3) / dimensions
    return np.nanmedian(np.where(size > 0, variances, np.nan), axis=0)


def smooth(
    information: np.ndarray, vector: np.ndarray, fps: float, strength: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """States [T,J,3D] (place, speed, acceleration) and their covariances [T,J,3D,3D].

    information: [T,J,D,D] inverse covariances of what the frames tell, 0 where nothing; vector: [T,J,D] the same times the
    place that they tell; strength: [J] spectral density of the jerk; start: [J,D].
    """
    frames, joints, dimensions = vector.shape
    step = 1 / fps
    unit = np.eye(dimensions)
    move = np.kron(np.array([[1, step, step**2 / 2], [0, 1, step], [0, 0, 1]]), unit)
    jerk = [
        [step**5 / 20, step**4 / 8, step**3 / 6],
        [step**4 / 8, step**3 / 3, step**2 / 2],
        [step**3 / 6, step**2 / 2, step],
    ]
    drift = np.kron(np.array(jerk), unit) * strength[:, None, None]
    state = np.concatenate([start, np.zeros((joints, 2 * dimensions))], axis=1)
    spread = np.tile(np.diag(np.repeat(np.square(_UNKNOWN), dimensions)), (joints, 1, 1))
    states, spreads, ahead, spreads_ahead = [], [], [], []
    for frame in range(frames):
        if frame:
            state, spread = state @ move.T, move @ spread @ move.T + drift
        ahead.append(state)
        spreads_ahead.append(spread)
        place = spread[:, :dimensions]
        gain = place.mT @ np.linalg.inv(unit + information[frame] @ place[:, :, :dimensions])
        missing = vector[frame] - (information[frame] @ state[:, :dimensions, None])[..., 0]
        state = state + (gain @ missing[..., None])[..., 0]
        spread = spread - gain @ information[frame] @ place
        spread = (spread + spread.mT) / 2
        states.append(state)
        spreads.append(spread)
    for frame in range(frames - 2, -1, -1):
        back = np.linalg.solve(spreads_ahead[frame + 1], move @ spreads[frame]).mT
        states[frame] = states[frame] + (back @ (states[frame + 1] - ahead[frame + 1])[..., None])[..., 0]
        spreads[frame] = spreads[frame] + back @ (spreads[frame + 1] - spreads_ahead[frame + 1]) @ back.mT
    return np.array(states), np.array(spreads)
