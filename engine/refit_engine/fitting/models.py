# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and bodies that stay loaded from one job to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..body import BodyData, BodyModel, load_body
from ..contract import OPTIONS, Gender, People
from ..detect import PersonDetector
from ..network import ReFit
from ..network.checkpoint import BUNDLED_WEIGHTS, load_refit
from ..network.inference import prepare_for_inference
from ..thunder import ThunderKeypoints
from .confidence_model import Calibration, calibration_for
from .height import HeightError, checked_betas, checked_height


@dataclass(frozen=True)
class FitOptions:
    """What a whole job has in common.

    body: an SMPL file, None for the bundled body; gender: of the bundled body, or which one of a folder with SMPL files.
    weights: a ReFit weights file, None for the bundled ones.
    betas: [10] a known shape of that body, kept at every iteration; None to estimate it.
    height: metres that the person measures standing, of several people the largest in the picture; None to estimate it.
    iterations: updates after the initial estimate.
    confidence: whether each joint's standard deviation is estimated, which runs the updates several times more.
    flip: whether a picture's result is averaged with that of the mirrored crop (the paper's evaluation), for twice the time.
    """

    people: People = "all"
    body: Path | None = None
    gender: Gender = "neutral"
    weights: Path | None = None
    betas: np.ndarray | None = None
    iterations: int = OPTIONS["iterations"].default
    confidence: bool = True
    height: float | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        """Raises HeightError and ShapeError."""
        if self.betas is not None:
            checked_betas(self.betas)
        if self.height is not None:
            checked_height(self.height)
            if self.betas is not None:
                raise HeightError("The shape is fixed, so the height cannot be given: leave one of them out.")


@dataclass(frozen=True)
class Body:
    """A body's data and its model on one device."""

    data: BodyData
    model: BodyModel
    file: str


@dataclass(frozen=True)
class Network:
    """A ReFit ready to run, the body that it was trained with, and what its confidence is calibrated with, if it is."""

    model: ReFit
    name: str
    trained_on: Literal["bundled", "smpl"]
    calibration: Calibration | None = None


class Models:
    """Loads on first use and keeps the last of each kind; a file that changed on disk is read again."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, object]] = {}

    def detector(self, device: torch.device) -> PersonDetector:
        return self._keep("detector", device, lambda: PersonDetector(device))

    def thunder(self, device: torch.device) -> ThunderKeypoints:
        return self._keep("thunder", device, lambda: ThunderKeypoints(device))

    def network(self, weights: Path | None, device: torch.device) -> Network:
        def load() -> Network:
            model, info = load_refit(weights, device)
            calibration = calibration_for(weights or BUNDLED_WEIGHTS)
            return Network(prepare_for_inference(model), info.name, info.body, calibration)

        return self._keep("network", (_stamp(weights), device), load)

    def body(self, file: Path | None, gender: Gender, device: torch.device) -> Body:
        """The bundled body and the user's are kept apart: fitting with SMPL may need both."""

        def load() -> Body:
            data = load_body(file, gender)
            return Body(data, BodyModel(data).to(device).eval(), str(data.file))

        return self._keep("bundled" if file is None else "user", (_stamp(file), gender, device), load)

    def forget(self) -> None:
        """Let go of everything, to make room on a device that is full."""
        self._kept.clear()

    def _keep(self, slot: str, key: object, load: Callable[[], Any]) -> Any:
        if slot not in self._kept or self._kept[slot][0] != key:
            self._kept.pop(slot, None)  # the old one goes before the new one comes
            self._kept[slot] = (key, load())
        return self._kept[slot][1]


def _stamp(file: Path | None) -> tuple[str, float] | None:
    if file is None:
        return None
    return str(file), file.stat().st_mtime if file.exists() else 0.0
