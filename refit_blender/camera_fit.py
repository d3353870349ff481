# SPDX-License-Identifier: GPL-3.0-or-later
"""From several cameras of the scene to bodies that stand in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from .engine_job import EngineJob, Options, Summary, counted, floats
from .errors import EngineProtocolError, SourceError
from .multiview_results import MultiViewResult, read_multiview_result
from .results import check_body, read_body
from .scene.assemble_views import ViewsOutcome, assemble_views, known_views
from .scene.body import current_betas
from .scene.camera_choice import Candidate, obstacle
from .scene.keying import at_frame
from .scene.reconstructions import numbered
from .scene.updating import check_movable
from .scene.views import CameraView, camera_view

DEFAULT_NAME = "cameras"  # of the new objects, where the cameras were not chosen by a collection


@dataclass(frozen=True)
class FinishedFit(Summary):
    """A fit that is in the scene.

    npz, overlays (one for each camera, or None): the engine's files, there as long as the job's folder; seconds: per
    stage; messages: remarks.
    """

    outcome: ViewsOutcome
    frame: int
    result: MultiViewResult
    npz: Path
    overlays: tuple[Path | None, ...]
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def left_out(self) -> list[tuple[str, str]]:
        """(camera, reason) for each camera that had no part in any body."""
        return [
            (view.name, self.result.people[0].views[index].reason)
            for index, view in enumerate(self.result.views)
            if not any(person.views[index].used for person in self.result.people)
        ]

    def summary(self) -> str:
        bodies = counted(len(self.outcome.bodies), "body", "bodies")
        left_out = self.left_out()
        used = counted(len(self.result.views) - len(left_out), "camera", "cameras")
        if self.outcome.updated:
            bodies = f"{bodies} updated at frame {self.frame}"
        sentence = f"{bodies} from {used} in {self.took()}"
        return f"{sentence}; left out: {', '.join(name for name, _ in left_out)}" if left_out else sentence

    def files(self) -> dict[str, Path]:
        drawn = zip(self.result.views, self.overlays, strict=True)
        overlays = {f"overlay_{bpy.path.clean_name(view.name)}.png": path for view, path in drawn if path}
        return {"result.npz": self.npz, **overlays}


class CameraFit(EngineJob):
    """The job for several cameras. name: for the new objects; update: move the bodies that they gave before."""

    def __init__(
        self, name: str, views: Sequence[CameraView], options: Options, folder: Path, *, update: bool = False
    ) -> None:
        scene = bpy.context.scene
        self.name = name
        self.views = tuple(views)
        self.things = len(self.views)
        self._frame, self._style = scene.frame_current, options.rig_style
        known = known_views(scene, views, options.body_kind) if update else None
        self._number = known.number if known else None
        check_movable(*(known.bodies.values() if known else ()))
        if known and len(known.bodies) == 1 and known.frames != [self._frame]:
            (rig,) = known.bodies.values()
            options = replace(options, betas=current_betas(rig).tolist(), height=None)
        parameters = {**options.parameters(), "views": [_parameters(view) for view in views]}
        super().__init__("fit_views", parameters, folder)

    def finish(self, context: bpy.types.Context) -> FinishedFit:
        answer = self._answer()
        building = time.perf_counter()
        npz = answer.file("npz")
        overlays = tuple(view.optional_file("overlay") for view in answer.objects("views", len(self.views)))
        device, seconds, messages = answer.text("device"), answer.seconds(), answer.messages()
        result = read_multiview_result(npz)
        if [view.name for view in result.views] != [view.name for view in self.views] or not result.people:
            raise EngineProtocolError("The engine's result is not about these cameras.")
        body = read_body(result.body_file)
        check_body(result.people[0].vertices, body)
        known = None if self._number is None else numbered(context.scene, self._number)
        with at_frame(context.scene, self._frame):
            outcome = assemble_views(
                context, self.name, self.views, result, body, self._style, frame=self._frame, known=known
            )
        return FinishedFit(
            outcome=outcome,
            frame=self._frame,
            result=result,
            npz=npz,
            overlays=overlays,
            device=device,
            seconds={**seconds, **self._times(building)},
            messages=messages,
        )


def read_views(context: bpy.types.Context, chosen: Sequence[Candidate], folder: Path) -> list[CameraView]:
    """What the chosen cameras see at the current frame. Raises SourceError with what is in the way."""
    if problem := obstacle(chosen):
        raise SourceError(problem)
    depsgraph = context.evaluated_depsgraph_get()
    return [
        camera_view(one.camera, context.scene, depsgraph, folder / f"view{index}") for index, one in enumerate(chosen)
    ]


def _parameters(view: CameraView) -> dict[str, Any]:
    return {
        "name": view.name,
        "image": str(view.picture),
        "image_size": list(view.size),
        "K": floats(view.K),
        "R_world2cam": floats(view.R),
        "t_world2cam": floats(view.t),
        "distortion": view.distortion.parameters() if view.distortion else None,
        "bboxes_xywh": None,
    }
