# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's result for several cameras: one body for each person, in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checked_arrays import CheckedArrays
from .confidence import JointConfidence, read_confidence
from .contract import BETAS, MAX_BETA, VIEWS_RESULT
from .errors import ResultFileError
from .results import JOINT_NAMES, MAX_COUNT, deviations_of

_ARRAYS = frozenset(
    "format version view_names images K R_world2cam t_world2cam betas rotmats transl vertices_world used weights reasons "
    "reprojection_errors boxes_xywh joint_std_mm joint_std_deg guessed confidence body_file body_kind weights_name engine_version "
    "iterations".split()
)


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
    views: one for each camera. guessed: [24] bool, joints that none of the cameras shows.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    vertices: np.ndarray
    views: tuple[PersonInView, ...]
    guessed: np.ndarray
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
    """Read the engine's file. Raises ResultFileError, also where a value is no number or out of any sensible range."""
    data = CheckedArrays(path, _ARRAYS)
    if (data.text("format"), data.integer("version", 0, MAX_COUNT)) != (VIEWS_RESULT.name, VIEWS_RESULT.version):
        raise ResultFileError(
            f"{path.name} is not a ReFit result for several cameras of version {VIEWS_RESULT.version}."
        )
    views = _views(data)
    return MultiViewResult(
        views=views,
        people=_people(data, len(views)),
        body_file=Path(data.text("body_file")),
        body_kind=data.text("body_kind"),
        weights_name=data.text("weights_name"),
        engine_version=data.text("engine_version"),
        iterations=data.integer("iterations", 0, MAX_COUNT),
    )


def _views(data: CheckedArrays) -> tuple[ResultView, ...]:
    names = data.texts("view_names", None)
    count = len(names)
    images, cameras = data.texts("images", count), data.cameras("K", count)
    rotations, places = data.rotations("R_world2cam", count), data.numbers("t_world2cam", count, 3)
    parts = zip(names, images, cameras, rotations, places, strict=True)
    return tuple(ResultView(str(name), Path(str(image)), K, R, t) for name, image, K, R, t in parts)


def _people(data: CheckedArrays, views: int) -> tuple[WorldPerson, ...]:
    betas = data.numbers("betas", None, BETAS, limit=MAX_BETA)
    count = len(betas)
    rotmats, transl = data.rotations("rotmats", count, len(JOINT_NAMES)), data.numbers("transl", count, 3)
    vertices, deviations = data.numbers("vertices_world", count, None, 3), deviations_of(data, count)
    if count and not vertices.size:
        raise data.damaged("vertices_world", "is empty")
    seen, guessed = _seen(data, count, views), data.flags("guessed", count, len(JOINT_NAMES))
    return tuple(
        WorldPerson(
            betas=betas[index],
            rotmats=rotmats[index],
            transl=transl[index],
            vertices=vertices[index],
            views=seen[index],
            guessed=guessed[index],
            confidence=read_confidence(deviations, index),
        )
        for index in range(count)
    )


def _seen(data: CheckedArrays, people: int, views: int) -> list[tuple[PersonInView, ...]]:
    """What each view had to say about each person."""
    used, reasons = data.flags("used", people, views), data.texts("reasons", people, views)
    weights = data.numbers("weights", people, views)
    errors = data.numbers("reprojection_errors", people, views, limit=None)
    boxes = data.numbers("boxes_xywh", people, views, 4, limit=None)

    def one(person: int, view: int) -> PersonInView:
        error, box = float(errors[person, view]), boxes[person, view]
        return PersonInView(
            used=bool(used[person, view]),
            reason=str(reasons[person, view]),
            weight=float(weights[person, view]),
            error_px=error if math.isfinite(error) else None,
            box_xywh=box if np.isfinite(box).all() else None,
        )

    return [tuple(one(person, view) for view in range(views)) for person in range(people)]
