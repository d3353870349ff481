# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the pitch of feet in single pictures is from the truth.

    python -m refit_training.evaluation.measure_feet RECORDING [RECORDING …] [--every 6] [--iterations 5]

RECORDING is a folder of `render.clips`, whose truth is exact, or VIEWS.json as `refit-engine fit-views` takes it, with videos of three
or more cameras in a world with Z up. There the truth is the direction from heel to toes of landmarks that all cameras see, less its
mean: people stand flat most of the time, and landmarks of heels lie higher than those of the body.

Every picture is fitted alone. Prints, for feet that seem to stand, and for those that truly are within 8° of flat, root mean square,
mean of the absolute value, and mean of the error in degrees: of the loop, with feet toward their landmarks, and laid flat.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.detect import PersonDetector
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, Models
from refit_engine.fitting.crops.refinement import CropSource
from refit_engine.fitting.feet import FEET_NUMBERS
from refit_engine.fitting.ground import feet_of
from refit_engine.fitting.motion.observer import each_looked
from refit_engine.fitting.multiview.views import View, load_view
from refit_engine.fitting.shown import FEET
from refit_engine.images import write_image
from refit_engine.motion_params import read_videos
from refit_engine.moving_pictures import open_footage
from tqdm import tqdm

from refit_training.poses.skeleton import to_global

from .recording import find_people, instants, read_recording
from .triangulation import Rig, robust_start

ANKLES = FEET[:, 0]
ENDS = [LANDMARK_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "foot_index")]
LENGTH = (0.12, 0.3)
"""Metres between which heel and toes are apart: else a landmark is on something else."""
FLAT = np.radians(8)


class Looped(Fitter):
    """Feet as the loop leaves them."""

    def feet_as_seen(self, last, rotmats, encoding, camera, guessed):
        return rotmats

    def feet_on_floor(self, people, ground, up):
        return people


class Seen(Fitter):
    """Feet toward their landmarks, however they then stand."""

    def feet_on_floor(self, people, ground, up):
        return people


KINDS = {"loop": Looped, "landmarks": Seen, "flat": Fitter}


class Sample(NamedTuple):
    """A person in one picture. K: [3,3]; box: [4]; up: [3] the world's up in the camera; pitch: [2] true ones, NaN if unknown."""

    pixels: np.ndarray
    K: np.ndarray
    box: np.ndarray | None
    up: np.ndarray
    pitch: np.ndarray


def rendered(folder: Path, every: int) -> Iterator[Sample]:
    """The first camera's frames of a clip of `render.clips`."""
    with np.load(folder / "truth.npz") as truth:
        ahead = to_global(truth["rotmats"][0])[:, ANKLES, 2, 2]
    pitch = np.arcsin(np.clip(ahead, -1, 1))
    camera = read_videos(folder / "views.json")[0]
    assert camera.K is not None
    assert camera.R is not None
    turned = np.broadcast_to(camera.R, (len(pitch), 3, 3))
    for frame, pixels in open_footage(camera.video).read(range(0, len(pitch), every)):
        if pixels is not None:
            yield Sample(pixels, camera.K, None, turned[frame, :, 2], pitch[frame])


def recorded(file: Path, every: int, fitter: Fitter) -> Iterator[Sample]:
    """Everybody in every picture of a recording."""
    people = find_people(file, every, PersonDetector())
    seen: list[list[tuple[View, np.ndarray]]] = []
    places: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        for row, requests in enumerate(instants(read_recording(file), every, Path(folder))):
            views = [load_view(request)[0] for request in requests]
            rig = Rig(*(np.stack(values) for values in zip(*((v.intrinsics.K, v.R, v.t) for v in views), strict=True)))
            for boxes in people.boxes[:, row]:
                there = [(view, box) for view, box in zip(views, boxes, strict=True) if np.isfinite(box).all()]
                pixels = np.full((1, len(views), 1, 4, 2), np.nan)
                for camera, (view, box) in enumerate(zip(views, boxes, strict=True)):
                    if np.isfinite(box).all():
                        pixels[0, camera, 0] = _landmarks(fitter, view, box)
                seen.append(there)
                places.append(robust_start(pixels, rig)[0].reshape(2, 2, 3))
    along = np.diff(np.array(places), axis=2)[:, :, 0]
    length = np.linalg.norm(along, axis=2)
    pitch = np.arcsin(np.where((length > LENGTH[0]) & (length < LENGTH[1]), along[..., 2] / length, np.nan))
    pitch -= np.nanmean(pitch)
    for there, own in zip(seen, pitch, strict=True):
        for view, box in there:
            yield Sample(view.pixels, view.intrinsics.K, box, view.R[:, 2], own)


def _landmarks(fitter: Fitter, view: View, box: np.ndarray) -> np.ndarray:
    """Pixels [4,2] of heel and toes of the left and the right foot."""
    source = CropSource(view.pixels, box, view.intrinsics)
    crops, _, encoding = fitter.observe([source], 1)
    return each_looked(crops, encoding, [source])[0].landmarks[ENDS, :2]


def errors(samples: Iterator[Sample], fitters: dict[str, Fitter]) -> dict[str, np.ndarray]:
    """By kind [N,3]: found and true pitch, and metres above the lowest point of the body, of everybody's feet."""
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in fitters}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        for sample in tqdm(samples, unit="picture", disable=None):
            write_image(picture, sample.pixels)
            boxes = None if sample.box is None else sample.box[None]
            request = ImageRequest(picture, boxes, focal=float(sample.K[0, 0]))
            for name, fitter in fitters.items():
                result, _ = fitter.reconstruct(request)
                feet = feet_of(fitter.subject().result_body.data)
                heights = result.vertices_cam[0] @ result.up_cam
                forward = to_global(result.rotmats[0])[ANKLES, :, 2]
                for ahead, foot, true in zip(forward, feet, sample.pitch, strict=True):
                    found = np.arcsin(np.clip(ahead @ sample.up, -1, 1))
                    above = float(heights[foot].min() - heights.min())
                    rows[name].append((float(found), float(true), above))
    return {name: np.array(values) for name, values in rows.items()}


def report(found: dict[str, np.ndarray]) -> None:
    """Print the figures of feet that seem to stand, as the loop has them."""
    first = found["loop"]
    near = np.isfinite(first[:, 1]) & (first[:, 2] <= FEET_NUMBERS.near)
    for title, chosen in (("standing", near), ("flat", near & (np.abs(first[:, 1]) < FLAT))):
        for name, rows in found.items():
            off = np.degrees(rows[chosen, 0] - rows[chosen, 1])
            figures = {"rms": np.sqrt(np.mean(off**2)), "|e|": np.mean(np.abs(off)), "e": np.mean(off)}
            told = "  ".join(f"{key} {value:5.1f}" for key, value in figures.items())
            print(f"  {title:9} {name:10} n {len(off):4}  {told}", flush=True)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=6, help="frames from one instant to the next")
    parser.add_argument("--iterations", type=int, default=5)
    options = parser.parse_args(words)
    models = Models()
    chosen = FitOptions(people="largest", iterations=options.iterations, confidence=False)
    fitters = {name: kind(models, chosen, "cpu") for name, kind in KINDS.items()}
    found: list[dict[str, np.ndarray]] = []
    for recording in options.recordings:
        samples = (
            rendered(recording, options.every)
            if recording.is_dir()
            else recorded(recording, options.every, fitters["loop"])
        )
        print(recording.stem, flush=True)
        found.append(errors(samples, fitters))
        report(found[-1])
    if len(found) > 1:
        print("all", flush=True)
        report({name: np.concatenate([one[name] for one in found]) for name in fitters})


if __name__ == "__main__":
    main()
