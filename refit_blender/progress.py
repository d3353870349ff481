# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a job is, for a bar and in words."""

from __future__ import annotations

from dataclasses import dataclass

# The engine's stages in their order, and what they are called in the panel.
STAGES = {
    "start": "Starting the engine",
    "load": "Loading the network",
    "detect": "Finding people",
    "fit": "Fitting the body",
    "write": "Writing the result",
    "done": "Building the body",
}


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` steps, and the stage in which the next one is.

    things: where not 0, only the first so many steps are what the user counts, such as pictures.
    """

    stage: str = "start"
    done: int = 0
    total: int = 0
    message: str = ""
    things: int = 0

    @property
    def fraction(self) -> float:
        """From 0 to 1, counting the stages of a thing as equal parts of it."""
        stage = list(STAGES).index(self.stage) / len(STAGES) if self.stage in STAGES else 0.0
        return min(max((self.done + stage) / max(self.total, 1), 0.0), 1.0)

    def __str__(self) -> str:
        things = self.things or self.total
        count = f" {self.done + 1}/{things}" if things > 1 and self.done < things else ""
        return f"{STAGES.get(self.stage, self.message)}{count}"


# What part of a motion's job is over when a stage begins, and when it ends.
MOTION_STAGES = {
    "start": (0.0, 0.01, "Starting the engine"),
    "load": (0.01, 0.02, "Loading the network"),
    "observe": (0.02, 0.88, "Following"),
    "solve": (0.88, 0.95, "Solving"),
    "draw": (0.95, 0.99, "Drawing the overlay"),
    "done": (0.99, 1.0, "Building the bodies"),
}


@dataclass(frozen=True)
class MotionProgress(Progress):
    """How far a motion's job is; steps are frames. rate: frames a second in this stage so far, 0 where not known."""

    rate: float = 0.0

    @property
    def fraction(self) -> float:
        begin, end, _ = MOTION_STAGES.get(self.stage, (0.0, 0.0, ""))
        return begin + (end - begin) * min(self.done / max(self.total, 1), 1.0)

    def __str__(self) -> str:
        text = MOTION_STAGES.get(self.stage, (0.0, 0.0, self.message))[2]
        if self.total > 1:
            text += f" {min(self.done + 1, self.total)}/{self.total}"
        if not self.rate or self.done >= self.total:
            return text
        left = round((self.total - self.done) / self.rate)
        return f"{text}, {self.rate:.1f} fps, {clock(left)} left"


@dataclass(frozen=True)
class FolderProgress(Progress):
    """How far the clips of a folder are; stage and steps are those of the present clip.

    number: which clip it is, from 1; count: of all; part: what is over of the folder, from 0 to 1; left: seconds, None
    where that is not known; building: the engine has ended, and bodies are made.
    """

    number: int = 1
    count: int = 1
    part: float = 0.0
    left: int | None = None
    building: bool = False

    @property
    def fraction(self) -> float:
        return self.part

    def __str__(self) -> str:
        if self.building:
            return f"Building clip {self.number}/{self.count}"
        stage = MOTION_STAGES.get(self.stage, (0.0, 0.0, self.message))[2].lower()
        step = f"frame {min(self.done + 1, self.total)}/{self.total}" if self.stage == "observe" else stage
        left = "" if self.left is None else f", {clock(self.left)} left"
        return f"Clip {self.number}/{self.count}, {step}{left}"


def clock(seconds: int) -> str:
    """Minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
