# SPDX-License-Identifier: GPL-3.0-or-later
"""From one picture to bodies: ask the engine, wait in whatever way fits, then build."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from .engine_job import EngineJob, Options, Summary, counted, floats, messages_of
from .errors import EngineProtocolError
from .results import ImageResult, read_body, read_result
from .scene.assemble import Outcome, assemble
from .scene.sources import Source


@dataclass(frozen=True)
class Finished(Summary):
    """A reconstruction that is in the scene.

    npz, overlay: the engine's files, there as long as the job's folder; seconds: per stage; messages: remarks.
    """

    outcome: Outcome
    picture: Path
    result: ImageResult
    npz: Path
    overlay: Path | None
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        people = counted(len(self.outcome.bodies), "body", "bodies")
        return f"{people} from {self.picture.name} in {self.seconds['click to body']:.1f} s on {self.device}"

    def files(self) -> dict[str, Path]:
        return {"result.npz": self.npz, **({"overlay.png": self.overlay} if self.overlay else {})}


class Reconstruction(EngineJob):
    """The job for one picture."""

    def __init__(self, source: Source, options: Options, folder: Path) -> None:
        self.source = source
        images = [image_parameters(source, options)]
        super().__init__("reconstruct", {**options.parameters(), "images": images}, folder)

    def finish(self, context: bpy.types.Context) -> Finished:
        answer = self._request.result()
        building = time.perf_counter()
        try:
            (entry,) = answer["results"]
            npz = Path(entry["npz"])
        except (KeyError, TypeError, ValueError) as error:
            raise EngineProtocolError("The engine's answer does not name its result.") from error
        result = read_result(npz)
        body = read_body(result.body_file)
        outcome = assemble(context, self.source, result, body, self._folder)
        return Finished(
            outcome=outcome,
            picture=self.source.picture,
            result=result,
            npz=npz,
            overlay=Path(entry["overlay"]) if entry.get("overlay") else None,
            device=str(answer.get("device", "")),
            seconds=self._seconds(answer, building),
            messages=messages_of(answer),
        )


def image_parameters(source: Source, options: Options) -> dict[str, Any]:
    """A picture and what is known of its camera, as the engine wants it."""
    image = {
        "image": str(source.picture),
        "bboxes_xywh": floats(options.boxes),
        "K": floats(source.K),
        "focal": source.focal,
        "focal_mm": source.focal_mm,
    }
    if source.camera_to_world is not None:
        # The world's Z axis in the camera's frame.
        image["up"] = floats(source.camera_to_world[2, :3])
    if source.distortion:
        image["distortion"] = source.distortion.parameters()
    return image
