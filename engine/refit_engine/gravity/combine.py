# SPDX-License-Identifier: GPL-3.0-or-later
"""Up from everything that a picture and its bodies say, each heard by how certain it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..camera import Intrinsics
from .bodies import body_ups
from .directions import angle_deg, pitch_roll, up_grid
from .lines import LineScores, Refined
from .segments import Segments, find_segments, turned
from .up import Up


@dataclass(frozen=True)
class Beliefs:
    """What is expected before anything is measured, and when to be sure.

    pitch, roll: middle and scale of those of photos, Student's t with `freedom`; body_pitch, body_roll: scales of what
    a body tells about them; degrees.

    An up is sure where the segments follow its axes better than none by `sure_gain` (a logarithm), each by `each_gain`
    on average (110 segments of noise reach 55, but 0.85 each), and its certainty is at least `sure`: the probability
    within `near` degrees of it, less its standard deviation over `costly_std`, less its angle to what the bodies say
    over `costly_angle`. A focal length is sure where the segments gain as much, its logarithm's standard deviation is
    at most `focal_std`, and modes with `focal_mass` of the probability agree on it.

    All chosen with `refit_training.evaluation.measure_up --part choose`.
    """

    pitch: tuple[float, float] = (8.0, 20.0)
    roll: tuple[float, float] = (0.0, 8.0)
    body_pitch: float = 7.0
    body_roll: float = 5.0
    freedom: float = 3.0
    near: float = 7.0
    sure_gain: float = 45.0
    each_gain: float = 1.1
    sure: float = 0.35
    costly_std: float = 20.0
    costly_angle: float = 50.0
    focal_std: float = 0.12
    focal_mass: float = 0.8


BELIEFS = Beliefs()
FEWEST_SEGMENTS = 6
MODES = 3
SENSOR_STD_DEG = 1.5


@dataclass(frozen=True)
class Mode:
    """A probable up: what lines make of it, the probability around it, and what segments gain by following it."""

    refined: Refined
    mass: float
    gain: float
    each_gain: float

    @property
    def evident(self) -> bool:
        """Whether the segments follow it far better than chance."""
        return self.gain >= BELIEFS.sure_gain and self.each_gain >= BELIEFS.each_gain


class LineEvidence:
    """What straight lines say of a picture's up and focal length, before anything is known of its people.

    All within works in the frame of the picture turned upright, `quarter_turns` clockwise from its camera's frame.
    """

    def __init__(self, segments: Segments, known_focal: float | None, quarter_turns: int = 0) -> None:
        """known_focal: in diagonals, None where lines shall find it."""
        self.quarter_turns = quarter_turns
        self.free_focal = known_focal is None
        self._lines = LineScores(turned(segments, quarter_turns))
        self._refined: dict[int, Refined] = {}
        grid, model = up_grid(), self._lines.model
        self.focals = np.array(model.focals if known_focal is None else [known_focal])
        self.log_likelihood = np.zeros(len(grid.ups))
        self.heard = len(segments) >= FEWEST_SEGMENTS
        if not self.heard:
            return
        scores = np.stack([self._lines.on_grid(focal) for focal in self.focals])
        self._azimuths = scores.argmax(axis=2)
        self._joint = model.temper * scores.max(axis=2).astype(np.float64)
        if self.free_focal:
            mean, std = model.log_focal
            self._joint -= 0.5 * ((np.log(self.focals)[:, None] - mean) / std) ** 2
        self.log_likelihood = np.logaddexp.reduce(self._joint, axis=0)

    def posterior(self, log_bodies: np.ndarray | float = 0.0) -> np.ndarray:
        """Probabilities [U] of the grid's ups; log_bodies: [U] what the bodies say."""
        log = self.log_likelihood + log_prior() + log_bodies
        probabilities = np.exp(log - log.max())
        return probabilities / probabilities.sum()

    def modes(self, probabilities: np.ndarray) -> list[Mode]:
        """The most probable ups, refined, best first; none where there are too few segments."""
        rest = probabilities.copy()
        found: list[Mode] = []
        ups = up_grid().ups
        while self.heard and len(found) < MODES:
            row = int(rest.argmax())
            if found and rest[row] < 1e-3:
                break
            refined = self._refine(row)
            near = angle_deg(ups, refined.up) < BELIEFS.near
            gain = refined.score - self._lines.nothing
            found.append(Mode(refined, float(probabilities[near].sum()), gain, gain / self._lines.weights.sum()))
            rest[near | (angle_deg(ups, ups[row]) < BELIEFS.near)] = 0.0
        return sorted(found, key=lambda mode: -mode.mass)

    def focal(self) -> float | None:
        """The focal length in diagonals, None where lines are not sure of it.

        Which of the axes is up does not matter for it: modes that agree on the focal length count together.
        """
        modes = self.modes(self.posterior()) if self.free_focal else []
        if not modes or not modes[0].evident or modes[0].refined.log_focal_std > BELIEFS.focal_std:
            return None
        focal = modes[0].refined.focal
        agreeing = sum(mode.mass for mode in modes if abs(np.log(mode.refined.focal / focal)) < BELIEFS.focal_std)
        return focal if agreeing >= BELIEFS.focal_mass else None

    def _refine(self, row: int) -> Refined:
        if row not in self._refined:
            focal = int(self._joint[:, row].argmax())
            azimuth = float(up_grid().azimuths[self._azimuths[focal, row]])
            self._refined[row] = self._lines.refine(up_grid().ups[row], azimuth, self.focals[focal], self.free_focal)
        return self._refined[row]


def find_lines(
    pixels: np.ndarray, boxes_xywh: np.ndarray, intrinsics: Intrinsics, quarter_turns: int = 0
) -> LineEvidence:
    """What lines say in a picture [H,W,3] RGB outside boxes [N,4]; `quarter_turns` clockwise make it upright."""
    known = None
    if intrinsics.source != "default":
        known = intrinsics.focal[0] / float(np.hypot(*pixels.shape[:2]))
    return LineEvidence(find_segments(pixels, boxes_xywh, intrinsics.K), known, quarter_turns)


def with_found_focal(intrinsics: Intrinsics, lines: LineEvidence, size: tuple[int, int]) -> Intrinsics:
    """The intrinsics with the focal length that lines are sure of, if they are, in a picture of (width, height)."""
    focal = lines.focal()
    if focal is None:
        return intrinsics
    K = intrinsics.K.copy()
    K[[0, 1], [0, 1]] = focal * np.hypot(*size)
    return replace(intrinsics, K=K, source="lines")


def given_up(camera: np.ndarray | None, sensor: np.ndarray | None) -> Up | None:
    """Up [3] of a camera in the scene, else of the accelerometer, else None."""
    if camera is not None:
        return Up(_unit(camera), "camera", 0.0, True)
    if sensor is not None:
        return Up(_unit(sensor), "sensor", SENSOR_STD_DEG, True)
    return None


def find_up(lines: LineEvidence, rotmats: np.ndarray, joints: np.ndarray) -> Up:
    """Up from lines and bodies: rotmats [N,24,3,3], the first in the camera's frame, joints [N,24,3] there, metres."""
    upright = _turn(lines.quarter_turns)
    ups, concentrations = body_ups(rotmats, joints)
    ups = ups @ upright.T
    probabilities = lines.posterior(log_bodies(ups, concentrations))
    modes = lines.modes(probabilities)
    if modes and _sure(modes[0], ups):
        near = angle_deg(up_grid().ups, modes[0].refined.up) < BELIEFS.near
        source = "lines" if lines.posterior()[near].sum() > 0.5 else "lines and bodies"
        return Up(upright.T @ _with_bodies(modes[0].refined, ups), source, modes[0].refined.std_deg, True)
    mean = _unit(probabilities @ up_grid().ups)
    std = np.sqrt(probabilities @ angle_deg(up_grid().ups, mean) ** 2)
    source = "lines and bodies" if modes and modes[0].evident else "bodies"
    return Up(upright.T @ mean, source, float(std), False)


def _sure(mode: Mode, ups: np.ndarray) -> bool:
    """Whether a mode is to be taken as known, in the light of what the bodies [N,3] say."""
    apart = angle_deg(mode.refined.up, ups).min() if len(ups) else 0.0
    certainty = mode.mass - mode.refined.std_deg / BELIEFS.costly_std - apart / BELIEFS.costly_angle
    return certainty >= BELIEFS.sure and mode.evident


def _with_bodies(refined: Refined, ups: np.ndarray) -> np.ndarray:
    """The up [3] that lines found, drawn towards what bodies [N,3] say as far as lines leave it open."""
    pull = (refined.std_deg / BELIEFS.body_pitch) ** 2
    return _unit(refined.up + pull * ups.mean(axis=0)) if len(ups) else refined.up


def log_prior() -> np.ndarray:
    """Log probability [U] of the grid's ups for a photo about which nothing is known."""
    grid = up_grid()
    pitch, roll = (np.degrees(angle) for angle in pitch_roll(grid.ups))
    middles, scales = zip(BELIEFS.pitch, BELIEFS.roll, strict=True)
    return _log_t((pitch - middles[0]) / scales[0]) + _log_t((roll - middles[1]) / scales[1]) + grid.log_area


def log_bodies(ups: np.ndarray, concentrations: np.ndarray) -> np.ndarray:
    """Log likelihood [U] of the grid's ups by those that N bodies tell [N,3], with their concentrations [N].

    Bodies of one picture share their errors: N of them count as much as the square root of N that do not.
    """
    pitch, roll = (np.degrees(angle) for angle in pitch_roll(up_grid().ups))
    total = np.zeros(len(pitch))
    for (body_pitch, body_roll), kappa in zip(np.degrees(pitch_roll(ups)).T, concentrations, strict=True):
        own = np.degrees(1 / np.sqrt(max(kappa, 1e-2)))
        off_roll = (roll - body_roll + 180) % 360 - 180
        total += _log_t((pitch - body_pitch) / np.hypot(BELIEFS.body_pitch, own))
        total += _log_t(off_roll / np.hypot(BELIEFS.body_roll, own))
    return total / np.sqrt(max(len(ups), 1))


def _log_t(z: np.ndarray) -> np.ndarray:
    """Logarithm of Student's t density, without its constant."""
    return -0.5 * (BELIEFS.freedom + 1) * np.log1p(z**2 / BELIEFS.freedom)


def _turn(quarter_turns: int) -> np.ndarray:
    """[3,3] from the camera's frame to that of the picture turned upright."""
    c, s = round(np.cos(quarter_turns * np.pi / 2)), round(np.sin(quarter_turns * np.pi / 2))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
