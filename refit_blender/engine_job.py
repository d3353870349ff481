# SPDX-License-Identifier: GPL-3.0-or-later
"""What all jobs share: a call to the engine under way, its options, its folder.

The operators poll a job from a timer, scripts and the command line wait for it: the same object, the same code.
"""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import engine
from .contract import BETAS, MAX_BETA, OPTIONS, Device, Gender, People
from .engine_answers import AnswerReader
from .errors import SourceError
from .given_numbers import checked_boxes, checked_count, checked_number, checked_numbers
from .jobs import Request
from .progress import Progress
from .scene.rigs import RIG_KINDS, RigKind, RigStyle

BUNDLED_KINDS: dict[str, Gender] = {"bundled": "neutral", "bundled_male": "male", "bundled_female": "female"}
"""The kinds of bundled bodies, as results name them, and their genders; the other kind is "smpl"."""

DEVICES = {"cpu": "the CPU", "cuda": "the GPU", "mps": "the GPU"}


def body_kind(body: str | Path | None, gender: Gender) -> str:
    """The kind that results of a body file, or of the bundled body of that gender, have."""
    return "smpl" if body else next(kind for kind, own in BUNDLED_KINDS.items() if own == gender)


@dataclass(frozen=True)
class Options:
    """What the engine shall do with a picture, or with the pictures of several cameras.

    people: whom to take, or boxes: [[x, y, w, h], ...] in pixels of a single picture. body: SMPL file, or None for
    the bundled body; gender: of the bundled body, or which one of a folder with SMPL files. weights: ReFit checkpoint, or None for the bundled one; betas [10]: keep this shape. height:
    metres that the person, or the largest of several, measures standing. overlay: draw one, too. confidence: say how
    far each joint may be off. rig: of new bodies; root_motion: its root bone follows the body over the floor. Raises
    SourceError where something that should be numbers is not.
    """

    people: People = "all"
    boxes: Sequence[Sequence[float]] | None = None
    body: Path | None = None
    gender: Gender = "neutral"
    weights: Path | None = None
    betas: Sequence[float] | None = None
    height: float | None = None
    iterations: int = OPTIONS["iterations"].default
    device: Device = "auto"
    overlay: bool = False
    confidence: bool = True
    rig: RigKind = "animation"
    root_motion: bool = True

    def __post_init__(self) -> None:
        checked: dict[str, object] = {"iterations": checked_count(self.iterations, "The iterations")}
        if self.boxes is not None:
            checked["boxes"] = checked_boxes(self.boxes)
        if self.betas is not None:
            checked["betas"] = betas = checked_numbers(self.betas, BETAS, "The shape")
            if max(map(abs, betas)) > MAX_BETA:
                raise SourceError(f"The shape's numbers must lie between -{MAX_BETA:g} and {MAX_BETA:g}.")
        if self.height is not None:
            checked["height"] = checked_number(self.height, "The height")
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.rig not in RIG_KINDS:
            raise SourceError(f"There is no rig “{self.rig}”: choose one of {', '.join(RIG_KINDS)}.")

    @property
    def body_kind(self) -> str:
        """Whose shapes the job finds."""
        return body_kind(self.body, self.gender)

    @property
    def rig_style(self) -> RigStyle:
        """Which rig new bodies get."""
        return RigStyle(self.rig, self.root_motion)

    def parameters(self) -> dict[str, Any]:
        """As the engine's methods want them; the boxes belong to a picture and are not among them."""
        return {
            "people": self.people,
            "body": str(self.body.absolute()) if self.body else None,
            "gender": self.gender,
            "weights": str(self.weights.absolute()) if self.weights else None,
            "betas": floats(self.betas),
            "height": self.height,
            "iterations": self.iterations,
            "device": self.device,
            "overlay": self.overlay,
            "confidence": self.confidence,
        }


class Summary(ABC):
    """What a job has done, for the operator and the command line.

    device: the engine's name of what computed; seconds: per stage; messages: the engine's remarks.
    """

    device: str
    seconds: dict[str, float]
    messages: tuple[str, ...]

    @abstractmethod
    def summary(self) -> str:
        """One sentence for the status line."""

    def took(self) -> str:
        """How long the user waited, and for what."""
        return f"{self.seconds['click to body']:.1f} s on {DEVICES.get(self.device, self.device)}"

    @abstractmethod
    def files(self) -> dict[str, Path]:
        """The engine's files by the names under which to keep them."""


class JobFolder:
    """A folder for one job's files, in Blender's temporary folder; gone when closed, with everything in it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="refit-", dir=bpy.app.tempdir or None, ignore_cleanup_errors=True
        )
        self.path = Path(self._folder.name).resolve()

    def close(self) -> None:
        self._folder.cleanup()


class Job(ABC):
    """A job under way, as operators and scripts see it. Its folder is the caller's to close, after `finish`."""

    @property
    @abstractmethod
    def progress(self) -> Progress:
        """How far it is."""

    @abstractmethod
    def poll(self) -> bool:
        """True when the engine has ended; never blocks."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask for an early end, which `poll` and `wait` then see."""

    @abstractmethod
    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Block until the engine has ended. Raises what it ended with."""

    @abstractmethod
    def finish(self, context: bpy.types.Context) -> Summary:
        """Build what the engine has found. Raises a RefitError, and leaves the scene as it was then."""


class EngineJob(Job):
    """A job that is one call to the engine."""

    def __init__(self, method: str, parameters: Mapping[str, Any], folder: Path) -> None:
        self._folder = folder
        self._started = time.perf_counter()
        self._request: Request = engine.resident().call(method, {**parameters, "job_folder": str(folder)})

    things = 0
    """How many things the user counts, where the engine's steps are more than these."""

    @property
    def progress(self) -> Progress:
        return self._counted(self._request.progress or Progress())

    @property
    def reached_engine(self) -> bool:
        """Whether there was an engine that took the job: one that does not start never does."""
        return self._request.sent

    def poll(self) -> bool:
        return self._request.poll()

    def cancel(self) -> None:
        self._request.cancel()

    def check(self) -> None:
        """Raises what an engine that has ended ended with, unless that is an answer."""
        self._request.result()

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._request.wait(on_progress and (lambda progress: on_progress(self._counted(progress))))

    def _counted(self, progress: Progress) -> Progress:
        return replace(progress, things=self.things)

    def _answer(self) -> AnswerReader:
        """The engine's answer. Raises what the job ended with."""
        return AnswerReader(self._request.result(), self._folder)

    def _times(self, building: float) -> dict[str, float]:
        """Times on this side; `building`: the clock's time at which the engine's part was over."""
        now = time.perf_counter()
        return {"building the bodies": now - building, "click to body": now - self._started}


def floats(values: Any) -> list[Any] | None:
    """An array as JSON has it."""
    return None if values is None else np.asarray(values, dtype=np.float64).tolist()


def counted(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"
