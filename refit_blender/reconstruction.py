# SPDX-License-Identifier: GPL-3.0-or-later
"""One job from picture to bodies: ask the engine, wait in whatever way fits, then build.

The operator polls it from a timer, scripts and the command line wait for it: the same object, the same code.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import bpy
import numpy as np

from . import engine
from .errors import EngineProtocolError
from .jobs import Request
from .progress import Progress
from .results import ImageResult, read_body, read_result
from .scene.assemble import Outcome, assemble
from .scene.sources import Source

log = logging.getLogger(__name__)

People = Literal["all", "largest"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Gender = Literal["neutral", "male", "female"]


@dataclass(frozen=True)
class Options:
    """What the engine shall do with a picture.

    people: whom to take, or boxes: [[x, y, w, h], ...] in pixels. body: SMPL file, or None for the bundled body;
    weights: ReFit checkpoint, or None for the bundled one; betas [10]: keep this shape. overlay: draw one, too.
    """

    people: People = "all"
    boxes: Sequence[Sequence[float]] | None = None
    body: Path | None = None
    gender: Gender = "neutral"
    weights: Path | None = None
    betas: Sequence[float] | None = None
    iterations: int = 5
    device: Device = "auto"
    overlay: bool = False


@dataclass(frozen=True)
class Finished:
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
        """One sentence for the status line."""
        count = len(self.outcome.bodies)
        people = "1 body" if count == 1 else f"{count} bodies"
        return f"{people} from {self.picture.name} in {self.seconds['click to body']:.1f} s on {self.device}"


class JobFolder:
    """A folder for one job's files, in Blender's temporary folder; gone when closed, with everything in it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="refit-", dir=bpy.app.tempdir or None, ignore_cleanup_errors=True
        )
        self.path = Path(self._folder.name).resolve()

    def close(self) -> None:
        self._folder.cleanup()


class Reconstruction:
    """A job under way. The folder is the caller's to close, after `finish`."""

    def __init__(self, source: Source, options: Options, folder: Path) -> None:
        self.source = source
        self._folder = folder
        self._started = time.perf_counter()
        self._request: Request = engine.resident().call("reconstruct", _parameters(source, options, folder))

    @property
    def progress(self) -> Progress:
        return self._request.progress or Progress()

    def poll(self) -> bool:
        """True when the engine has ended; never blocks."""
        return self._request.poll()

    def cancel(self) -> None:
        self._request.cancel()

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Block until the engine has ended. Raises what it ended with."""
        self._request.wait(on_progress)

    def finish(self, context: bpy.types.Context) -> Finished:
        """Build the bodies of a job that has ended. Raises a RefitError, and leaves the scene as it was then."""
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
        now = time.perf_counter()
        seconds = {name: float(value) for name, value in (answer.get("seconds") or {}).items()}
        seconds = {f"engine: {name}": value for name, value in seconds.items()}
        seconds |= {"building the bodies": now - building, "click to body": now - self._started}
        for message in answer.get("messages") or ():
            log.info("%s", message)
        return Finished(
            outcome=outcome,
            picture=self.source.picture,
            result=result,
            npz=npz,
            overlay=Path(entry["overlay"]) if entry.get("overlay") else None,
            device=str(answer.get("device", "")),
            seconds=seconds,
            messages=tuple(str(message) for message in answer.get("messages") or ()),
        )


def _parameters(source: Source, options: Options, folder: Path) -> dict[str, Any]:
    image = {
        "image": str(source.picture),
        "bboxes_xywh": _floats(options.boxes),
        "K": _floats(source.K),
        "focal": source.focal,
    }
    return {
        "images": [image],
        "people": options.people,
        "body": str(options.body.absolute()) if options.body else None,
        "gender": options.gender,
        "weights": str(options.weights.absolute()) if options.weights else None,
        "betas": _floats(options.betas),
        "iterations": options.iterations,
        "device": options.device,
        "overlay": options.overlay,
        "job_folder": str(folder),
    }


def _floats(values: Any) -> list | None:
    return None if values is None else np.asarray(values, dtype=np.float64).tolist()
