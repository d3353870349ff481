# SPDX-License-Identifier: GPL-3.0-or-later
"""How well straight lines fit an up: built places have a vertical and, mostly, two level directions across it.

A direction d of space vanishes at K d. For an up and an azimuth, a segment follows the vertical, one of the two level
directions or none of them: a mixture over the angle between the segment and the way from its middle to the vanishing
point. The score of an up is that of its best azimuth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .directions import level_pair, up_grid
from .segments import Segments


@dataclass(frozen=True)
class LineModel:
    """Shares of segments that follow nothing, the vertical and each level direction; how far they are off.

    spread_deg: of a segment that belongs to a direction; end_error: of a segment's ends, in diagonals.
    A segment counts by its length: that of `unit` once, of `full` and longer ones as much as of `full`; in diagonals.
    log_focal: mean and standard deviation of the logarithm of unknown focal lengths in diagonals; focals: those tried.
    temper: what a segment's score is worth, since neighbouring segments are not independent.
    Measured with `refit_training.evaluation.measure_up`.
    """

    none: float = 0.45
    vertical: float = 0.27
    level: float = 0.14
    spread_deg: float = 1.4
    end_error: float = 0.003
    unit: float = 0.05
    full: float = 0.15
    focals: tuple[float, ...] = (0.6, 0.78, 1.0, 1.25)
    log_focal: tuple[float, float] = (float(np.log(0.85)), 0.3)
    temper: float = 0.25


MODEL = LineModel()
BLOCK = 16
"""Ups that are scored at once: as many as fit the processor's cache."""
STEPS = 20
FARTHEST_DEG = 7.0
"""Refinement stays this near to where it began: farther off the axes change places."""


@dataclass(frozen=True)
class Refined:
    """axes [3,3]: up and the two level directions as rows, in the camera's frame; focal in diagonals.

    std_deg: of up; log_focal_std; score: the mixture's logarithm, with the focal length's prior where that was free.
    """

    axes: np.ndarray
    focal: float
    std_deg: float
    log_focal_std: float
    score: float

    @property
    def up(self) -> np.ndarray:
        return self.axes[0]


class LineScores:
    """What the segments of one picture say of directions."""

    def __init__(self, segments: Segments, model: LineModel = MODEL) -> None:
        self.segments, self.model = segments, model
        self.sigma = np.hypot(np.radians(model.spread_deg), model.end_error / segments.lengths)
        self.weights = np.minimum(segments.lengths, model.full) / model.unit
        # Density per degree of the folded normal distribution at its top.
        self.peak = 2 / np.sqrt(2 * np.pi) / np.degrees(self.sigma)
        self.nothing = float(np.log(model.none / 90) * self.weights.sum())
        """The score of a picture whose segments follow nothing."""

    def on_grid(self, focal: float) -> np.ndarray:
        """Scores [U,A] of the grid's ups and azimuths for a focal length in diagonals."""
        grid, model = up_grid(), self.model
        table = self._densities(grid.table, focal)
        scores = np.empty(grid.level.shape[:2], np.float32)
        weights = self.weights.astype(np.float32)
        for start in range(0, len(scores), BLOCK):
            block = slice(start, start + BLOCK)
            mix = table[grid.level[block, :, 0]]
            mix += table[grid.level[block, :, 1]]
            mix *= np.float32(model.level)
            mix += (np.float32(model.vertical) * table[grid.upright[block]] + np.float32(model.none / 90))[:, None]
            scores[block] = np.log(mix, out=mix) @ weights
        return scores

    def refine(self, up: np.ndarray, azimuth: float, focal: float, free_focal: bool) -> Refined:
        """The best axes near a start, and focal length where it is free (Levenberg-Marquardt, the shares fixed)."""
        start = np.stack([up, *level_pair(up, np.asarray(azimuth))])
        axes, log_focal, damping = start, np.log(focal), 1e-3
        best = self._value(axes, log_focal, free_focal)
        for _ in range(STEPS):
            H, g = self._normal_equations(axes, log_focal, free_focal)
            step = -np.linalg.solve(H + np.diag(np.diag(H)) * damping, g)
            turned = axes @ cv2.Rodrigues(step[:3])[0].T
            longer = log_focal + np.clip(step[3], -0.2, 0.2)
            value = self._value(turned, longer, free_focal)
            if value <= best or turned[0] @ start[0] < np.cos(np.radians(FARTHEST_DEG)):
                damping = max(8 * damping, 1e-2)
                if damping > 1e3:
                    break
                continue
            gained, best = value - best, value
            axes, log_focal, damping = turned, longer, max(damping / 5, 1e-4)
            if gained < 1e-3:
                break
        H, _ = self._normal_equations(axes, log_focal, free_focal)
        covariance = np.linalg.inv(H) / self.model.temper
        across = np.eye(3) - np.outer(axes[0], axes[0])
        std = np.degrees(np.sqrt(np.trace(across @ covariance[:3, :3] @ across)))
        log_focal_std = float(np.sqrt(covariance[3, 3])) if free_focal else 0.0
        return Refined(axes, float(np.exp(log_focal)), float(std), log_focal_std, float(best))

    def _densities(self, directions: np.ndarray, focal: float) -> np.ndarray:
        """Density per degree [D,S] (float32) of each segment if it followed each direction [D,3]."""
        d = directions.astype(np.float32)
        normals, squares = self._forms(focal)
        z = d @ (normals / self.sigma[:, None]).T.astype(np.float32)
        z *= z
        z /= np.maximum(_products(d) @ squares.T.astype(np.float32), np.float32(1e-9))
        np.minimum(z, np.float32(80), out=z)  # what lies below is as good as nothing, and slow to compute with
        z *= np.float32(-0.5)
        np.exp(z, out=z)
        z *= self.peak.astype(np.float32)
        return z

    def _misses(self, axes: np.ndarray, focal: float) -> np.ndarray:
        """Sines [3,S] of the angles between segments and the ways to the axes' vanishing points, in units of sigma."""
        normals, squares = self._forms(focal)
        return axes @ normals.T / np.sqrt(np.maximum(_products(axes) @ squares.T, 1e-9)) / self.sigma

    def _forms(self, focal: float) -> tuple[np.ndarray, np.ndarray]:
        """Of the way (f dx - dz mx, f dy - dz my) from a middle m to the vanishing point of d: its cross product with
        the tangent is `normals @ d`, its square `squares @ products(d)`."""
        m, t = self.segments.middles, self.segments.tangents
        normals = np.stack([focal * t[:, 1], -focal * t[:, 0], m[:, 1] * t[:, 0] - m[:, 0] * t[:, 1]], axis=-1)
        focals = np.full(len(m), focal**2)
        squares = np.stack([focals, -2 * focal * m[:, 0], -2 * focal * m[:, 1], (m**2).sum(axis=1)], axis=-1)
        return normals, squares

    def _mixture(self, misses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each axis' part [3,S] of the density, and the whole [S]."""
        shares = np.array([[self.model.vertical], [self.model.level], [self.model.level]])
        parts = shares * self.peak * np.exp(-0.5 * misses**2)
        return parts, parts.sum(axis=0) + self.model.none / 90

    def _value(self, axes: np.ndarray, log_focal: float, free_focal: bool) -> float:
        _, density = self._mixture(self._misses(axes, np.exp(log_focal)))
        value = np.log(density) @ self.weights
        if free_focal:
            mean, std = self.model.log_focal
            value -= 0.5 * ((log_focal - mean) / std) ** 2 / self.model.temper
        return float(value)

    def _normal_equations(self, axes: np.ndarray, log_focal: float, free_focal: bool) -> tuple[np.ndarray, np.ndarray]:
        """Hessian [4,4] and gradient [4] for a turn and a logarithm of the focal length, the shares held fixed."""
        tiny = 1e-4
        misses = self._misses(axes, np.exp(log_focal))
        parts, density = self._mixture(misses)
        shares = parts / density * self.weights
        moved = [self._misses(axes + np.cross(tiny * turn, axes), np.exp(log_focal)) for turn in np.eye(3)]
        moved.append(self._misses(axes, np.exp(log_focal + tiny)) if free_focal else misses)
        J = (np.stack(moved) - misses) / tiny
        H = np.einsum("ias,as,jas->ij", J, shares, J) + np.diag([1e-3, 1e-3, 1e-3, 0])
        g = np.einsum("ias,as,as->i", J, shares, misses)
        mean, std = self.model.log_focal
        H[3, 3] += 1 / std**2 / self.model.temper
        g[3] += (log_focal - mean) / std**2 / self.model.temper if free_focal else 0.0
        return H, g


def _products(d: np.ndarray) -> np.ndarray:
    return np.stack([d[:, 0] ** 2 + d[:, 1] ** 2, d[:, 2] * d[:, 0], d[:, 2] * d[:, 1], d[:, 2] ** 2], axis=-1)
