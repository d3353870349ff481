# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's result for several cameras: one body for each person, in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .confidence import JointConfidence, read_confidence
from .errors import ResultFileError
from .results import read_arrays

RESULT_FORMAT, RESULT_VERSION = "refit-multiview-result", 1


@dataclass(frozen=True)
class PersonInView:
    """What one camera had to say about one person.

    reason: why it was left out, what was odd about it though it was used, or nothing; weight: its share, from 0; error_px: mean distance of the
    body's joints, as this camera sees them, from the detected ones, or None where the person was not found;
    box_xywh [4]: pixels, or None.
    """

    used: bool
    reason: str
    weight: float
    error_px: float | None
    box_xywh: np.ndarray | None


@dataclass(frozen=True)
class WorldPerson:
    """One body: `LBS(betas, rotmats) + transl` in the world, metres.

    betas [10]; rotmats [24,3,3], the first turns the rest frame (Y up) into the world; transl [3]; vertices [V,3];
    views: one for each camera.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    vertices: np.ndarray
    views: tuple[PersonInView, ...]
    confidence: JointConfidence | None = None


@dataclass(frozen=True)
class ResultView:
    """A camera of the result. K [3,3] in pixels from the first one's corner; R [3,3], t [3] world to OpenCV camera."""

    name: str
    image: Path
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray


@dataclass(frozen=True)
class MultiViewResult:
    """The people seen by several cameras."""

    views: tuple[ResultView, ...]
    people: tuple[WorldPerson, ...]
    body_file: Path
    body_kind: str
    weights_name: str
    engine_version: str
    iterations: int


def read_multiview_result(path: Path) -> MultiViewResult:
    """Read the engine's file. Raises ResultFileError."""
    data = read_arrays(path)
    try:
        if str(data["format"]) != RESULT_FORMAT or int(data["version"]) != RESULT_VERSION:
            raise ResultFileError(f"{path.name} is not a ReFit result for several cameras of version {RESULT_VERSION}.")
        names = [str(name) for name in data["view_names"]]
        views = tuple(
            ResultView(
                name=name,
                image=Path(str(data["images"][index])),
                K=data["K"][index].astype(np.float64),
                R=data["R_world2cam"][index].astype(np.float64),
                t=data["t_world2cam"][index].astype(np.float64),
            )
            for index, name in enumerate(names)
        )
        people = tuple(
            WorldPerson(
                betas=data["betas"][index].astype(np.float64),
                rotmats=data["rotmats"][index].astype(np.float64),
                transl=data["transl"][index].astype(np.float64),
                vertices=data["vertices_world"][index],
                views=tuple(_person_in_view(data, index, view) for view in range(len(names))),
                confidence=read_confidence(data, index),
            )
            for index in range(len(data["betas"]))
        )
        return MultiViewResult(
            views=views,
            people=people,
            body_file=Path(str(data["body_file"])),
            body_kind=str(data["body_kind"]),
            weights_name=str(data["weights_name"]),
            engine_version=str(data["engine_version"]),
            iterations=int(data["iterations"]),
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ResultFileError(f"{path.name} is damaged: {error}.") from error


def _person_in_view(data: dict[str, np.ndarray], person: int, view: int) -> PersonInView:
    error = float(data["reprojection_errors"][person, view])
    box = data["boxes_xywh"][person, view].astype(np.float64)
    return PersonInView(
        used=bool(data["used"][person, view]),
        reason=str(data["reasons"][person, view]),
        weight=float(data["weights"][person, view]),
        error_px=error if math.isfinite(error) else None,
        box_xywh=box if np.isfinite(box).all() else None,
    )
