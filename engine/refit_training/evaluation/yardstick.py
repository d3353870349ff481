# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people's joints were in recordings, as seen by networks that no body depends on: the yardstick for bodies.

    python -m refit_training.evaluation.yardstick RECORDING [RECORDING …] --out yardstick.npz [--every 2]

RECORDING is VIEWS.json as `refit-engine fit-views` takes it, with videos that were taken together for images, or a single video.
Two networks (`eyes.py`) see the 17 COCO joints of everybody in every so many frames. The joints of several cameras are triangulated
over all frames at once (`triangulation.py`), and the cameras corrected on the way (`rig_correction.py`); those of a single video are
smoothed in the picture. Prints how exact the result is (`yardstick_checks.py`). What the eyes saw is kept beside the result
(`yardstick-RECORDING.npz`), so that another run takes seconds, and one that was cut off goes on after the last eye.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from refit_engine.detect import PersonDetector

from .alignment import trunk_lengths
from .eyes import all_eyes
from .recording import Sightings, find_people, look, read_recording
from .triangulation import Rig
from .yardstick_checks import picture_checks, world_checks
from .yardstick_fit import SETTINGS, determined, fit_pictures, fit_world

__all__ = ["Yardstick", "load_yardsticks", "make_yardstick", "save_yardsticks"]


@dataclass(frozen=True)
class Yardstick:
    """P people's joints in T frames of C cameras; D is 3 in the world (metres), 2 in a single video (pixels).

    recording: its file. every: frames of the videos from one of the T to the next; fps: of the T a second. boxes: [P,T,C,4] pixels
    of pictures without distortion, NaN where a person was not found. points: [P,T,17,D]; error: [P,T,17] standard error of the
    distance from the truth, in the same unit; determined: [P,T,17] whether a joint is worth comparing with. R: [C,3,3], t: [C,3]: the
    cameras as the joints say that they stood.
    """

    recording: Path
    every: int
    fps: float
    boxes: np.ndarray
    points: np.ndarray
    error: np.ndarray
    determined: np.ndarray
    R: np.ndarray
    t: np.ndarray


def make_yardstick(sightings: Sightings, rig: Rig) -> tuple[Yardstick, dict[str, Any]]:
    """The yardstick of a recording with these cameras, and how exact it is."""
    if len(rig) > 1:
        fitted = fit_world(sightings, rig)
        checks, times = world_checks(fitted, rig, sightings.fps)
        found, rig, limits = fitted.found, fitted.rig, [SETTINGS.metres] * len(fitted.found)
    else:
        observed, found = fit_pictures(sightings)
        checks, times = picture_checks(observed, found, sightings.fps)
        limits = [SETTINGS.trunks * float(np.nanmedian(trunk_lengths(one.points))) for one in found]
    found = [replace(one, covariance=max(times, 1.0) ** 2 * one.covariance) for one in found]
    known = [determined(one, len(rig), limit) for one, limit in zip(found, limits, strict=True)]
    yardstick = Yardstick(
        sightings.recording,
        sightings.every,
        sightings.fps,
        sightings.boxes,
        np.array([one.points for one in found]),
        np.array([one.error for one in found]),
        np.array(known),
        rig.R,
        rig.t,
    )
    unit = 1000 if len(rig) > 1 else 1
    checks["people"] = len(found)
    checks["determined_percent"] = round(100 * float(yardstick.determined.mean()), 1)
    checks["error"] = round(unit * float(np.median(yardstick.error[yardstick.determined])), 1)
    return yardstick, checks


def load_yardsticks(path: Path) -> list[Yardstick]:
    """The yardsticks of a file. Raises OSError, KeyError."""
    yardsticks = []
    with np.load(path) as file:
        while f"{len(yardsticks)}.points" in file:
            values = {field.name: file[f"{len(yardsticks)}.{field.name}"] for field in fields(Yardstick)}
            plain: dict[str, Any] = {
                "recording": Path(str(values["recording"])),
                "every": int(values["every"]),
                "fps": float(values["fps"]),
            }
            yardsticks.append(Yardstick(**{**values, **plain}))
    return yardsticks


def save_yardsticks(path: Path, yardsticks: Sequence[Yardstick]) -> None:
    """Raises OSError."""
    arrays = {}
    for number, one in enumerate(yardsticks):
        arrays |= {f"{number}.{field.name}": getattr(one, field.name) for field in fields(one)}
        arrays[f"{number}.recording"] = str(one.recording)
    np.savez_compressed(path, **arrays)


def sightings_of(recording: Path, every: int, kept: Path, detector: PersonDetector) -> Sightings:
    """What all eyes see of a recording; what the file `kept` knows already is not looked at again.

    Raises OSError, ImageError, ViewsError.
    """
    sightings = Sightings.load(kept) if kept.exists() else None
    if sightings is None or (sightings.recording, sightings.every) != (recording.resolve(), every):
        sightings = find_people(recording, every, detector)
        sightings.save(kept)
    for eye in all_eyes():
        if eye.name not in sightings.eyes:
            sightings = look(sightings, eye)
            sightings.save(kept)
    return sightings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=2, help="frames from one that is looked at to the next")
    options = parser.parse_args()
    detector, yardsticks = PersonDetector(), []
    for recording in options.recordings:
        kept = options.out.with_name(f"{options.out.stem}-{recording.stem}.npz")
        requests = read_recording(recording)
        if len(requests) == 2:
            raise SystemExit(f"{recording} has two cameras: give one, or three or more.")
        sightings = sightings_of(recording, options.every, kept, detector)
        if not len(sightings.boxes):
            raise SystemExit(f"Nobody is seen for long enough in {recording}.")
        rig = Rig(*(np.array([getattr(one, name) for one in requests], dtype=float) for name in ("K", "R", "t")))
        yardstick, checks = make_yardstick(sightings, rig)
        yardsticks.append(yardstick)
        print(json.dumps({"recording": str(recording), **checks}), flush=True)
    save_yardsticks(options.out, yardsticks)


if __name__ == "__main__":
    main()
