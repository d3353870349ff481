# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was observed of a joint to its standard deviation: a small log-linear model, kept as JSON.

    log variance = joint's own constant + Σ weight · standardised predictor

Predictors are bounded to what the fit saw, so that strange pictures cannot drive the result to nonsense.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsFileError
from ..json_file import read_json

FORMAT, VERSION = "refit-confidence", 1
BUNDLED_CALIBRATION = Path(__file__).parents[1] / "data" / "confidence_compact.json"
LARGEST = 1e6
LIMIT = 3.0
"""Standard deviations of the fit's data that a predictor is bounded to."""


@dataclass(frozen=True)
class VarianceModel:
    """See the module's formula. joints: J constants; weights, means, deviations: one for each of P predictors."""

    joints: tuple[float, ...]
    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def std(self, predictors: Tensor) -> Tensor:
        """Standard deviations [...,J] for predictors [...,J,P], in the unit that the model was fitted in."""
        joints, weights, means, deviations = (
            torch.tensor(values).to(predictors) for values in (self.joints, self.weights, self.means, self.deviations)
        )
        standardised = ((predictors - means) / deviations).clamp(-LIMIT, LIMIT)
        return (0.5 * (joints + standardised @ weights)).exp()


@dataclass(frozen=True)
class Calibration:
    """Models of the errors in millimetres (position, the 23 joints below the pelvis) and degrees (rotation, all 24).

    weights_sha256: of the weights file that it holds for; people: how many it was fitted on.
    """

    weights_sha256: str
    people: int
    predictors: tuple[str, ...]
    position: VarianceModel
    rotation: VarianceModel


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON."""
    record = {"format": FORMAT, "version": VERSION, **asdict(calibration)}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_calibration(path: Path = BUNDLED_CALIBRATION) -> Calibration:
    """Read a calibration. Raises WeightsFileError for a file that is none."""
    try:
        record = read_json(path)
        if (record.pop("format"), record.pop("version")) != (FORMAT, VERSION):
            raise WeightsFileError(f"{path.name} is no calibration of version {VERSION}.")
        predictors = tuple(record["predictors"])
        models = {
            name: _variance_model(record[name], joints, len(predictors))
            for name, joints in (("position", 23), ("rotation", 24))
        }
        digest, people = record["weights_sha256"], record["people"]
        if not all(isinstance(text, str) for text in (digest, *predictors)) or not isinstance(people, int):
            raise TypeError("names or numbers are none")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsFileError(f"The calibration {path.name} cannot be read: {error}.") from error
    return Calibration(digest, people, predictors, **models)


def _variance_model(values: dict[str, list[Any]], joints: int, predictors: int) -> VarianceModel:
    """Raises KeyError, TypeError, ValueError, where it is none of so many joints and predictors."""
    lengths = {"joints": joints, "weights": predictors, "means": predictors, "deviations": predictors}
    for name, length in lengths.items():
        sound = all(isinstance(value, float | int) and abs(value) < LARGEST for value in values[name])
        if len(values[name]) != length or not sound:
            raise ValueError(f"{name} is not made of {length} numbers")
    if min(values["deviations"]) <= 0:
        raise ValueError("deviations are not positive")
    return VarianceModel(**{name: tuple(values[name]) for name in lengths})


def calibration_for(weights: Path) -> Calibration | None:
    """The bundled calibration if it was made for this weights file, else None."""
    calibration = read_calibration()
    return calibration if calibration.weights_sha256 == file_digest(weights) else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
