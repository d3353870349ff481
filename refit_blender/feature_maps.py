# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's keypoint maps of one person, as a picture that Blender's image editor shows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from .engine_job import EngineJob, Options, Summary, counted
from .reconstruction import image_parameters
from .scene.map_sheet import load_sheet
from .scene.sources import Source


@dataclass(frozen=True)
class FinishedMaps(Summary):
    """Maps that are in the file. sheet: all of them in one picture; seconds: per stage; messages: remarks."""

    sheet: bpy.types.Image
    keypoints: int
    picture: str
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        maps = counted(self.keypoints, "keypoint map", "keypoint maps")
        return f"{maps} of {self.picture} in {self.took()}: image “{self.sheet.name}”"

    def files(self) -> dict[str, Path]:
        return {}


class FeatureMaps(EngineJob):
    """The job for the person who fills most of a picture, or whose box is the largest of the given ones."""

    def __init__(self, source: Source, options: Options, folder: Path) -> None:
        self.source = source
        images = [image_parameters(source, options)]
        super().__init__("feature_maps", {**options.parameters(), "images": images}, folder)

    def finish(self, _context: bpy.types.Context) -> FinishedMaps:
        answer = self._answer()
        building = time.perf_counter()
        sheet, keypoints = answer.file("sheet"), answer.count("keypoints")
        device, seconds, messages = answer.text("device"), answer.seconds(), answer.messages()
        image = load_sheet(sheet, self.source.title)
        return FinishedMaps(
            sheet=image,
            keypoints=keypoints,
            picture=self.source.title,
            device=device,
            seconds={**seconds, **self._times(building)},
            messages=messages,
        )
