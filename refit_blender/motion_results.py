# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's bodies over time, `motion.npz`: arrays and texts only, nothing is ever unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checked_arrays import FAR, CheckedArrays, are_rotations
from .contract import BETAS, MAX_BETA, MOTION_RESULT
from .errors import ResultFileError
from .results import JOINT_NAMES, MAX_COUNT, MAX_SIDE

ABSENT, SEEN, FILLED = 0, 1, 2
"""Values of `MovingPerson.state`: not there; seen by a camera; a gap that the motion before and after it filled."""

_JOINTS = len(JOINT_NAMES)


@dataclass(frozen=True)
class MovingPerson:
    """A body at F instants: `LBS(betas, rotmats) + transl` in the result's world, metres.

    betas [10]; rotmats [F,24,3,3], relative to the parent, the first in the world; transl [F,3]; joints [F,24,3] in the
    world; state [F]; std_mm and std_deg [F,24], see `confidence.JointConfidence`; contacts [F,2]: probability that the
    left and the right foot stands still; guessed [F,24]: joints that no camera shows. Where the state is ABSENT, numbers
    mean nothing.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    state: np.ndarray
    std_mm: np.ndarray
    std_deg: np.ndarray
    contacts: np.ndarray
    guessed: np.ndarray


@dataclass(frozen=True)
class MotionView:
    """A video and its camera at F instants.

    size: (width, height) of upright frames; quarter_turns: clockwise, from the stored frames to upright ones; frames
    [F]: their numbers from 0, -1 for none; K [F,3,3]; R [F,3,3], t [F,3]: world to OpenCV camera.
    """

    name: str
    video: Path
    size: tuple[int, int]
    quarter_turns: int
    frames: np.ndarray
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray


@dataclass(frozen=True)
class MotionResult:
    """The people of a video, or of several.

    times [F]: seconds from the first frame of the first video, rising; frame_rate: its nominal one. in_scene: the world
    is the scene's; otherwise it is the frame of the only camera. up [3]: the world's up, with its source, deviation in
    degrees, and whether it is more than a guess; floor: its height along up, None where no foot stood.
    calibrated: whether the standard deviations are.
    """

    views: tuple[MotionView, ...]
    people: tuple[MovingPerson, ...]
    times: np.ndarray
    frame_rate: float
    in_scene: bool
    focal_source: str
    up: np.ndarray
    up_source: str
    up_std_deg: float
    up_sure: bool
    floor: float | None
    calibrated: bool
    body_file: Path
    body_kind: str
    weights_name: str
    engine_version: str
    iterations: int


def read_motion(path: Path) -> MotionResult:
    """Read motion.npz. Raises ResultFileError, also where a value is no number or out of any sensible range."""
    data = CheckedArrays(path, MOTION_RESULT.arrays | {"format", "version"})
    if (data.text("format"), data.integer("version", 0, MAX_COUNT)) != (MOTION_RESULT.name, MOTION_RESULT.version):
        raise ResultFileError(f"{path.name} is not a ReFit motion of version {MOTION_RESULT.version}.")
    times = data.numbers("times", None)
    if not len(times) or (np.diff(times) <= 0).any():
        raise data.damaged("times", "does not rise")
    people = _people(data, len(times))
    if not people:
        raise ResultFileError(f"{path.name} is damaged: nobody is in it.")
    up, rate, floor = data.numbers("up_world", 3), data.number("frame_rate"), float(data.numbers("floor", limit=None))
    if abs(np.linalg.norm(up) - 1) > 0.01:
        raise data.damaged("up_world", "is no unit vector")
    if not 0.001 <= rate <= 100_000:
        raise data.damaged("frame_rate", "is no sensible number of frames a second")
    return MotionResult(
        views=_views(data, len(times)),
        people=people,
        times=times,
        frame_rate=rate,
        in_scene=data.text("world") == "scene",
        focal_source=data.text("focal_source"),
        up=up,
        up_source=data.text("up_source"),
        up_std_deg=data.number("up_std_deg"),
        up_sure=data.flag("up_sure"),
        floor=floor if abs(floor) <= FAR else None,
        calibrated=data.text("confidence") == "calibrated",
        body_file=Path(data.text("body_file")),
        body_kind=data.text("body_kind"),
        weights_name=data.text("weights_name"),
        engine_version=data.text("engine_version"),
        iterations=data.integer("iterations", 0, MAX_COUNT),
    )


def _views(data: CheckedArrays, instants: int) -> tuple[MotionView, ...]:
    names = data.texts("view_names", None)
    count = len(names)
    if not count:
        raise data.damaged("view_names", "is empty")
    parts = zip(
        names,
        data.texts("videos", count),
        data.integers("image_sizes", count, 2, low=1, high=MAX_SIDE).tolist(),
        data.integers("quarter_turns", count, low=0, high=3).tolist(),
        data.integers("frames", count, instants, low=-1, high=MAX_COUNT),
        data.cameras("K", count, instants),
        data.rotations("R_world2cam", count, instants),
        data.numbers("t_world2cam", count, instants, 3),
        strict=True,
    )
    return tuple(
        MotionView(str(name), Path(str(video)), (size[0], size[1]), turns, frames, K, R, t)
        for name, video, size, turns, frames, K, R, t in parts
    )


def _people(data: CheckedArrays, instants: int) -> tuple[MovingPerson, ...]:
    betas = data.numbers("betas", None, BETAS, limit=MAX_BETA)
    count = len(betas)
    state = data.integers("state", count, instants, low=ABSENT, high=FILLED)
    if (state == ABSENT).all(axis=1).any():
        raise data.damaged("state", "holds a person who is never there")

    def there(name: str, *shape: int, limit: float = FAR, low: float = -FAR) -> np.ndarray:
        values = data.numbers(name, count, instants, *shape, limit=None)
        present = values[state != ABSENT]
        if not ((np.abs(present) <= limit) & (present >= low)).all():
            raise data.damaged(name, "holds values that are no sensible numbers")
        return values

    rotmats = there("rotmats", _JOINTS, 3, 3, limit=2.0)
    if not are_rotations(rotmats[state != ABSENT]):
        raise data.damaged("rotmats", "holds matrices that are no rotations")
    parts = zip(
        betas,
        rotmats,
        there("transl", 3),
        there("joints_world", _JOINTS, 3),
        state,
        there("joint_std_mm", _JOINTS, low=0.0),
        there("joint_std_deg", _JOINTS, low=0.0),
        there("contacts", 2, limit=1.0, low=0.0),
        data.flags("guessed", count, instants, _JOINTS),
        strict=True,
    )
    return tuple(MovingPerson(*part) for part in parts)
