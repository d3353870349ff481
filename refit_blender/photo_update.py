# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of people whose bodies are in the scene already: find out who is who, ask the engine, move the bodies.

The engine keeps one shape in a request, so that each known person is a request of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import engine
from .engine_answers import AnswerReader
from .engine_job import EngineJob, Options, Summary, counted
from .errors import Cancelled, EngineFailure, EngineProtocolError, RefitError, SourceError
from .jobs import Request
from .progress import Progress
from .reconstruction import PhotoJob, check_picture, image_parameters
from .results import ImageResult, check_body, read_body, read_result
from .scene import cameras, recognition
from .scene.assemble import Outcome
from .scene.body import current_betas
from .scene.keying import at_frame
from .scene.recognition import Limits
from .scene.reconstructions import Reconstruction, numbered
from .scene.sources import Source
from .scene.updating import Part, check_movable, update_photo


@dataclass(frozen=True)
class FinishedUpdate(Summary):
    """Bodies that were moved. npz: the engine's files, one for each request, there as long as the job's folder."""

    outcome: Outcome
    picture: str
    frame: int
    result: ImageResult
    npz: tuple[Path, ...]
    overlays: tuple[Path, ...]
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def summary(self) -> str:
        people = counted(len(self.outcome.bodies), "body", "bodies")
        return f"{people} updated at frame {self.frame} from {self.picture} in {self.took()}"

    def files(self) -> dict[str, Path]:
        named = {}
        for stem, paths in (("result", self.npz), ("overlay", self.overlays)):
            for index, path in enumerate(paths):
                named[f"{stem}{f'_{index + 1}' if index else ''}{path.suffix}"] = path
        return named


@dataclass(frozen=True)
class _Ask:
    """A request: the boxes of these people, and the numbers of the bodies that are known, by the order of the boxes."""

    boxes: list[list[float]]
    known: dict[int, int]
    options: Options


def photo_job(
    context: bpy.types.Context, source: Source, options: Options, folder: Path, *, update: bool, pack: bool
) -> EngineJob:
    """Start the job for a picture: an update of what it gave before, if that is wanted and there, or a new one."""
    known = recognition.known_photo(context.scene, source, options.body_kind, context.active_object) if update else None
    if known:
        return PhotoUpdate(context, known, source, options, folder)
    return PhotoJob(source, options, folder, pack=pack)


class PhotoUpdate(EngineJob):
    """The job: detect, where boxes are not given, then one request after the other."""

    def __init__(
        self, context: bpy.types.Context, known: Reconstruction, source: Source, options: Options, folder: Path
    ) -> None:
        self._folder = folder
        self._started = time.perf_counter()
        self._frame = context.scene.frame_current
        self.source, self.options = source, options
        self.redo = False
        check_movable(*known.bodies.values())
        self._number, self._focal = known.number, float(known.K[0, 0])
        self._bodies = self._standing(context, known)
        self._shapes = {number: current_betas(rig) for number, rig in known.bodies.items()}
        self._same_picture = self._frame in known.frames and known.footage == source.footage
        self._only_frame = known.frames == [self._frame]
        self._asks: list[_Ask] = []
        self._answers: list[tuple[_Ask, AnswerReader]] = []
        self._failure: RefitError | None = None
        self._stopped = False
        if options.boxes is None:
            self._request = self._detect()
        else:
            self._plan([list(box) for box in options.boxes])
            self._request = self._ask()

    @property
    def progress(self) -> Progress:
        return self._request.progress or Progress()

    def poll(self) -> bool:
        while self._request.poll():
            if not self._advance():
                return True
        return False

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._request.wait(on_progress)
        while self._advance():
            self._request.wait(on_progress)

    def cancel(self) -> None:
        self._stopped = True
        self._request.cancel()

    def finish(self, context: bpy.types.Context) -> FinishedUpdate:
        self._request.result()
        if self._failure:
            raise self._failure
        building = time.perf_counter()
        entries = [answer.objects("results", 1)[0] for _, answer in self._answers]
        npz, overlays = [entry.file("npz") for entry in entries], [entry.optional_file("overlay") for entry in entries]
        results = [read_result(path) for path in npz]
        body = read_body(results[0].body_file)
        for (ask, _), result in zip(self._answers, results, strict=True):
            check_picture(result, self.source, self._folder)
            check_body(result.people[0].vertices_cam, body)
            if len(result.people) != len(ask.boxes):
                raise SourceError(f"Not everybody in {self.source.title} could be fitted, so that nobody was moved.")
        parts = [Part(result, ask.known) for (ask, _), result in zip(self._answers, results, strict=True)]
        answer = self._answers[-1][1]
        device, seconds = answer.text("device"), answer.seconds()
        messages = [text for _, one in self._answers for text in one.messages()]
        known = numbered(context.scene, self._number)
        if known is None:
            raise SourceError("The bodies were removed while the job ran.")
        with at_frame(context.scene, self._frame):
            outcome = update_photo(context, known, self.source, parts, body, self.options.rig_style, redo=self.redo)
        return FinishedUpdate(
            outcome=outcome,
            picture=self.source.title,
            frame=self._frame,
            result=results[0],
            npz=tuple(npz),
            overlays=tuple(path for path in overlays if path),
            device=device,
            seconds={**seconds, **self._times(building)},
            messages=tuple(dict.fromkeys(messages)),
        )

    def _standing(self, context: bpy.types.Context, known: Reconstruction) -> dict[int, np.ndarray]:
        """Boxes of the bodies in the picture."""
        place = recognition.camera_place(known, self.source, context)
        K = known.K if self.source.K is None else self.source.K
        assert K is not None  # known_photo finds none without
        return recognition.boxes_of(known, place, K, cameras.metres_per_unit(context.scene))

    def _detect(self) -> Request:
        return engine.resident().call("detect", {"image": str(self.source.picture), "people": self.options.people})

    def _plan(self, boxes: list[list[float]]) -> None:
        """Who is asked for, and with which shape."""
        bodies = self._bodies
        if self._same_picture:
            known = recognition.match(boxes, bodies, Limits.same_picture)
        else:
            unmistakable = len(boxes) == len(self._shapes)
            known = recognition.match(boxes, bodies, float("inf") if unmistakable else Limits.other_picture)
        everybody = set(known.values()) == set(self._shapes)
        self.redo = self._same_picture and self._only_frame and everybody
        if self.redo:
            self._asks = [_Ask(boxes, known, replace(self.options, boxes=boxes))]
            return
        for index, number in known.items():
            options = replace(self.options, boxes=[boxes[index]], betas=self._shapes[number].tolist(), height=None)
            self._asks.append(_Ask([boxes[index]], {0: number}, options))
        if new := [box for index, box in enumerate(boxes) if index not in known]:
            self._asks.append(_Ask(new, {}, replace(self.options, boxes=new)))

    def _ask(self) -> Request:
        ask = self._asks[len(self._answers)]
        source = self.source
        if not self.redo and source.K is None:  # the camera stays
            source = replace(source, focal=self._focal, focal_mm=None)
        folder = self._folder / f"request{len(self._answers)}"
        folder.mkdir()
        parameters = {**ask.options.parameters(), "images": [image_parameters(source, ask.options)]}
        return engine.resident().call("reconstruct", {**parameters, "job_folder": str(folder)})

    def _advance(self) -> bool:
        """Take in an answer and go on to the next request; False where there is none, or something went wrong."""
        try:
            answer = self._request.result()
            if self._stopped:
                raise Cancelled("Cancelled.")
            if not self._asks:
                self._plan(self._boxes(answer))
            else:
                self._answers.append((self._asks[len(self._answers)], AnswerReader(answer, self._folder)))
                if len(self._answers) == len(self._asks):
                    return False
            self._request = self._ask()
        except RefitError as error:
            self._failure = error
            return False
        return True

    def _boxes(self, answer: Any) -> list[list[float]]:
        people = answer.get("people") if isinstance(answer, dict) else None
        if not isinstance(people, list):
            raise EngineProtocolError("The engine's answer does not say who is in the picture.")
        found = AnswerReader(answer, self._folder).objects("people", len(people))
        boxes = [one.numbers("bbox_xywh", 4).tolist() for one in found]
        if not boxes:
            raise EngineFailure(f"Nobody was found in {self.source.title}.", "NoPersonFound")
        return boxes[:1] if self.options.people == "largest" else boxes
