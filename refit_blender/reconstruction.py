# SPDX-License-Identifier: GPL-3.0-or-later
"""From one picture to bodies: ask the engine, wait in whatever way fits, then build."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from .engine_job import EngineJob, Options, Summary, counted, floats
from .errors import EngineProtocolError
from .results import Body, ImageResult, check_body, read_body, read_result
from .scene import cameras, clipping
from .scene.assemble import Outcome, assemble, depths
from .scene.sources import Source


@dataclass(frozen=True)
class Finished(Summary):
    """A reconstruction that is in the scene.

    npz, overlay: the engine's files, there as long as the job's folder; seconds: per stage; messages: remarks. added:
    to a reconstruction that was there.
    """

    outcome: Outcome
    picture: str
    result: ImageResult
    npz: Path
    overlay: Path | None
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    added: bool = False

    def summary(self) -> str:
        people = counted(len(self.outcome.bodies), "body", "bodies")
        return f"{people}{' added' if self.added else ''} from {self.picture} in {self.took()}"

    def files(self) -> dict[str, Path]:
        return {"result.npz": self.npz, **({"overlay.png": self.overlay} if self.overlay else {})}


class PhotoJob(EngineJob):
    """The job for one picture. pack: keep the picture in the blend file."""

    def __init__(self, source: Source, options: Options, folder: Path, *, pack: bool = False) -> None:
        self.source = source
        self._pack, self._style = pack, options.rig_style
        self._frame = bpy.context.scene.frame_current
        images = [image_parameters(source, options)]
        super().__init__("reconstruct", {**options.parameters(), "images": images}, folder)

    def finish(self, context: bpy.types.Context) -> Finished:
        answer = self._answer()
        building = time.perf_counter()
        (entry,) = answer.objects("results", 1)
        npz, overlay = entry.file("npz"), entry.optional_file("overlay")
        device, seconds, messages = answer.text("device"), answer.seconds(), answer.messages()
        result = read_result(npz)
        check_picture(result, self.source, self._folder)
        body = read_body(result.body_file)
        check_body(result.people[0].vertices_cam, body)
        outcome = self._assemble(context, result, body)
        unit = cameras.metres_per_unit(context.scene)
        clipping.widen_viewports(context, depths(result)[1], unit)
        remark = clipping.clip_remark(outcome.camera, *depths(result), unit)
        return Finished(
            outcome=outcome,
            picture=self.source.title,
            result=result,
            npz=npz,
            overlay=overlay,
            device=device,
            seconds={**seconds, **self._times(building)},
            messages=(*messages, *([remark] if remark else [])),
        )

    def _assemble(self, context: bpy.types.Context, result: ImageResult, body: Body) -> Outcome:
        """Put the result into the scene."""
        return assemble(
            context, self.source, result, body, self._folder, frame=self._frame, style=self._style, pack=self._pack
        )


def check_picture(result: ImageResult, source: Source, folder: Path) -> None:
    """The result is about the picture that was sent, or about a copy of it in the job's folder."""
    image = Path(os.path.normpath(result.image))
    if image != Path(os.path.normpath(source.picture)) and not image.is_relative_to(folder):
        raise EngineProtocolError("The engine's result is about another picture.")


def image_parameters(source: Source, options: Options) -> dict[str, Any]:
    """A picture and what is known of its camera, as the engine wants it."""
    image: dict[str, Any] = {
        "image": str(source.picture),
        "bboxes_xywh": floats(options.boxes),
        "K": floats(source.K),
        "focal": source.focal,
        "focal_mm": source.focal_mm,
    }
    if source.camera_to_world is not None:
        # The world's Z axis in the camera's frame.
        image["up"] = floats(source.camera_to_world[2, :3])
    if source.camera_height is not None:
        image["camera_height"] = source.camera_height
    if source.distortion:
        image["distortion"] = source.distortion.parameters()
    return image
