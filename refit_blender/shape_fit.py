# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's shape from several pictures or bodies, as a body in its rest pose whose shape other jobs can keep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .contract import BETAS, MAX_BETA
from .engine_job import BUNDLED_KINDS, EngineJob, Options, Summary, counted, floats
from .errors import EngineProtocolError, SourceError
from .reconstruction import image_parameters
from .results import read_body
from .scene.assemble import assemble_shape
from .scene.body import BodyObjects, body_file, current_betas
from .scene.rigs import RigStyle
from .scene.sources import Source

FEWEST = 2


@dataclass(frozen=True)
class FinishedShape(Summary):
    """A shape that is in the scene.

    betas [10]; left_out: (picture or body, reason) for those that had no part in it; seconds: per stage; messages:
    remarks.
    """

    body: BodyObjects
    betas: np.ndarray
    count: int
    left_out: tuple[tuple[str, str], ...]
    what: tuple[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        used = counted(self.count - len(self.left_out), *self.what)
        sentence = f"Shape from {used} in {self.seconds['click to body']:.1f} s, now kept as “{self.body.rig.name}”"
        return f"{sentence}; left out: {', '.join(name for name, _ in self.left_out)}" if self.left_out else sentence

    def files(self) -> dict[str, Path]:
        return {}


class ShapeFit(EngineJob):
    """The job. names: of the pictures or bodies, in the order in which the engine gets them; what: one, and many."""

    def __init__(
        self,
        parameters: dict[str, Any],
        names: Sequence[str],
        what: tuple[str, str],
        kind: str,
        style: RigStyle,
        folder: Path,
    ) -> None:
        self.names = tuple(names)
        self.what = what
        self.kind, self.style = kind, style
        super().__init__("fit_shape", parameters, folder)

    def finish(self, context: bpy.types.Context) -> FinishedShape:
        answer = self._answer()
        building = time.perf_counter()
        betas, body_file = answer.numbers("betas", BETAS), answer.path("body_file")
        if np.abs(betas).max() > MAX_BETA:
            raise EngineProtocolError("The engine's shape is that of no body.")
        frames = answer.objects("frames", len(self.names))
        named = zip(self.names, frames, strict=True)
        left_out = tuple((name, frame.text("reason")) for name, frame in named if not frame.flag("used"))
        seconds, messages = answer.seconds(), answer.messages()
        made = assemble_shape(context, read_body(body_file), betas, body_file, self.kind, self.style)
        # What the shape is for: the next jobs keep it.
        context.scene.refit.fixed_shape = made.rig
        return FinishedShape(
            body=made,
            betas=betas,
            count=len(self.names),
            left_out=left_out,
            what=self.what,
            seconds={**seconds, **self._times(building)},
            messages=messages,
        )


def shape_from_pictures(sources: Sequence[Source], options: Options, folder: Path) -> ShapeFit:
    """Start the job for pictures of one person: in each, the one who fills most of it. Raises SourceError."""
    if not sources:
        raise SourceError("No pictures are chosen.")
    parameters = {
        name: value
        for name, value in options.parameters().items()
        if name in ("body", "gender", "weights", "iterations", "device")
    }
    parameters["images"] = [image_parameters(source, options) for source in sources]
    names = [source.picture.name for source in sources]
    return ShapeFit(parameters, names, ("picture", "pictures"), options.body_kind, options.rig_style, folder)


def shape_from_bodies(rigs: Sequence[bpy.types.Object], style: RigStyle, folder: Path) -> ShapeFit:
    """Start the job for bodies of one person that are in the scene. Raises SourceError."""
    if problem := bodies_obstacle(rigs):
        raise SourceError(problem)
    shapes = floats([current_betas(rig) for rig in rigs])
    kind = rigs[0].get("refit_body_kind", "bundled")
    bundled = kind in BUNDLED_KINDS
    parameters = {
        "shapes": shapes,
        "body": None if bundled else str(body_file(rigs[0])),
        "gender": BUNDLED_KINDS[kind] if bundled else "neutral",
    }
    return ShapeFit(parameters, [rig.name for rig in rigs], ("body", "bodies"), kind, style, folder)


def bodies_obstacle(rigs: Sequence[bpy.types.Object]) -> str:
    """Why there is no shape common to these bodies, or nothing."""
    if len(rigs) < FEWEST:
        return "Select two or more ReFit bodies of one person."
    if len({rig.get("refit_body_kind", "bundled") for rig in rigs}) > 1:
        return "The selected bodies are of different body models, whose shapes have nothing in common."
    return ""
