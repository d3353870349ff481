# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's shape from several pictures, to be kept by later fits (Shape ReFit)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..contract import Device
from ..errors import BodyFileError, Cancelled, DeviceError, RefitError, WeightsFileError
from ..robust import robust_weight
from .height import betas_of_height
from .job import Step
from .models import FitOptions, Models
from .single import Fitter, ImageRequest

__all__ = ["Shape", "ShapeFitter", "ShapeFrame", "mean_shape"]


@dataclass(frozen=True)
class ShapeNumbers:
    """Numbers of the mean shape, set by hand in units of how people differ; tests/engine/test_shape.py holds them."""

    scale: float = 1.0
    """Distance from the mean, in standard deviations of people per beta, at which a shape counts a quarter, at
    least."""
    spread: float = 1.5
    """That distance in medians of all shapes' distances, where they differ more."""
    least_weight: float = 0.1
    """A shape that counts less is reported as unlike the others."""
    rounds: int = 20


NUMBERS = ShapeNumbers()


@dataclass(frozen=True)
class ShapeFrame:
    """What one picture had to say. betas: [10] or None; weight: 0 to 1; reason: why it was not used, or empty."""

    betas: np.ndarray | None
    used: bool
    weight: float
    reason: str = ""


@dataclass(frozen=True)
class Shape:
    """betas: [10]; frames: one for each picture, in order."""

    betas: np.ndarray
    frames: tuple[ShapeFrame, ...]


class ShapeFitter(Fitter):
    """Fits the largest person of every picture and averages the shapes."""

    def __init__(self, models: Models, options: FitOptions, device: Device = "auto", step: Step = lambda _: None):
        super().__init__(models, replace(options, people="largest", betas=None, confidence=False), device, step)

    def fit_shape(self, requests: Sequence[ImageRequest]) -> Shape:
        """The shape of the person whom all pictures show; pictures that fail are left out and say why.

        Raises what the first picture failed with where all fail; WeightsFileError, BodyFileError, DeviceError,
        Cancelled.
        """
        shapes: list[np.ndarray | None] = []
        failures: dict[int, RefitError] = {}
        for number, request in enumerate(requests):
            try:
                shapes.append(self.reconstruct(request)[0].betas[0])
            except (Cancelled, DeviceError, WeightsFileError, BodyFileError):
                raise
            except RefitError as error:
                failures[number] = error
                shapes.append(None)
        if len(failures) == len(requests):
            raise failures[0]
        shape = self.of_height(mean_shape(shapes))
        frames = [
            replace(frame, reason=str(failures[number])) if number in failures else frame
            for number, frame in enumerate(shape.frames)
        ]
        return Shape(shape.betas, tuple(frames))

    def of_height(self, shape: Shape) -> Shape:
        """The shape with the height that this job knows, if it does."""
        if self.options.height is None:
            return shape
        return replace(shape, betas=betas_of_height(self.subject().result_body.data, shape.betas, self.options.height))


def mean_shape(shapes: Sequence[np.ndarray | None]) -> Shape:
    """The mean of shapes [10], little moved by those that are unlike the others; None stands for one that failed."""
    known = np.array([shape for shape in shapes if shape is not None], dtype=np.float64).reshape(-1, 10)
    mean, weights = np.median(known, axis=0), np.ones(len(known))
    for _ in range(NUMBERS.rounds):
        distance = np.sqrt(np.square(known - mean).mean(axis=1))
        scale = max(NUMBERS.scale, NUMBERS.spread * float(np.median(distance)))
        weights = robust_weight(distance, scale)
        mean = weights @ known / weights.sum()
    left = iter(zip(known, weights.tolist(), strict=True))
    frames: list[ShapeFrame] = []
    for shape in shapes:
        if shape is None:
            frames.append(ShapeFrame(None, False, 0.0, "no shape"))
            continue
        betas, weight = next(left)
        used = weight >= NUMBERS.least_weight
        reason = "" if used else "this shape is unlike the others: another person, or a picture that misleads"
        frames.append(ShapeFrame(betas, used, weight, reason))
    return Shape(mean, tuple(frames))
