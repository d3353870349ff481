# SPDX-License-Identifier: GPL-3.0-or-later
"""An untrained compact network, photos, and a detector and Thunder that say what they are told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from refit_engine.fitting import CameraPeople, Models, ViewRequest, single
from refit_engine.fitting.shown import Shown
from refit_engine.images import write_image
from refit_engine.network import COMPACT, ReFit
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import save_refit

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


@pytest.fixture(autouse=True)
def body_cache(tmp_path_factory, monkeypatch):
    """Converted bodies go to a folder of the test's own."""
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path_factory.getbasetemp() / "bodies"))


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory) -> Path:
    """A weights file of the bundled kind, with a head that knows nothing but has an opinion."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    torch.manual_seed(1)
    model = ReFit(COMPACT, load_blazepose())
    with torch.no_grad():
        for parameter in model.regressor.parameters():
            parameter.normal_(std=0.05)
    save_refit(model, path, body="bundled")
    return path


class Found(NamedTuple):
    """What a detector says of one person."""

    bbox_xywh: tuple[float, float, float, float]
    score: float

    @property
    def joints(self) -> np.ndarray:
        return np.zeros((17, 3))


STANDING = np.array([[128, 40], [133, 35], [123, 35], [139, 38], [117, 38], [150, 70], [106, 70], [156, 102], [100, 102],
                     [158, 132], [98, 132], [142, 134], [114, 134], [143, 178], [113, 178], [144, 222], [112, 222]])  # fmt: skip
"""Joints [17,2] of somebody who fills a crop, in pixels."""


class ScriptedEye:
    """Sees somebody who leans a little in the middle of every crop."""

    def look(self, crop: np.ndarray) -> np.ndarray:
        lean = np.array([[0.97, 0.24], [-0.24, 0.97]])
        return np.column_stack([(STANDING - 128) @ lean + 128, np.full(17, 0.8)])


class ScriptedDetector:
    """Finds the same people in every picture, or nobody in pictures of another size."""

    def __init__(self, people: list[Found], size: tuple[int, int] | None = None) -> None:
        self.people, self.size = people, size

    def detect(self, image: np.ndarray) -> list[Found]:
        return self.people if self.size in (None, image.shape[1::-1]) else []


class ScriptedModels(Models):
    """Real models but for the detector and Thunder."""

    def __init__(self, detector: ScriptedDetector) -> None:
        super().__init__()
        self._detector = detector

    def detector(self, device: torch.device) -> ScriptedDetector:
        return self._detector

    def thunder(self, device: torch.device) -> ScriptedEye:
        return ScriptedEye()


def street(width: int = 320, height: int = 240) -> np.ndarray:
    """RGB with structure everywhere, the same at every call."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def sample_views() -> list[ViewRequest]:
    """The calibrated photos of the samples, without their hardly visible lens distortion."""
    folder = SAMPLES / "multiview"
    tables = tomllib.loads((folder / "calibration.toml").read_text())
    return [
        ViewRequest(
            name=name,
            image=folder / f"{name}.jpg",
            K=np.array(camera["matrix"]),
            R=cv2.Rodrigues(np.array(camera["rotation"]))[0],
            t=np.array(camera["translation"]),
        )
        for name, camera in tables.items()
        if name != "metadata"
    ]


def view_call(view: ViewRequest) -> dict[str, object]:
    """Name, image and calibration of a view as calls and files of views have them."""
    return {
        "name": view.name,
        "image": str(view.image),
        "K": view.K.tolist(),
        "R_world2cam": view.R.tolist(),
        "t_world2cam": view.t.tolist(),
    }


@pytest.fixture
def photo_file(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, street())
    return path


def as_people(betas, *others):
    """People of whose confidence nothing is known, and who are wholly seen."""
    unknown = np.full((len(betas), 24), np.nan)
    return CameraPeople(betas, *others, unknown, unknown, np.zeros((len(betas), 24), dtype=bool))


@pytest.fixture
def nothing_hidden(monkeypatch) -> None:
    """Pictures show everything of everybody: no limb of the untrained network's bodies is guessed, so feet find the floor."""
    monkeypatch.setattr(single, "shown_from", lambda seen: Shown(*(np.ones_like(seen.inside),) * 2))
