# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is where in recordings: videos that calibrated cameras took together, or a single video."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from refit_engine.camera import choose_intrinsics
from refit_engine.detect import COCO_JOINT_NAMES, SEEN_JOINT, Detection, PersonDetector
from refit_engine.fitting.multiview.detection_rays import ViewDetections
from refit_engine.fitting.multiview.matching import match_people
from refit_engine.fitting.multiview.views import View, ViewRequest, load_view
from refit_engine.job_params import read_views
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from .eyes import Eye

__all__ = ["Sightings", "find_people", "instants", "look", "read_recording"]

LINK = 0.5
"""Distance between one frame's joints and the next one's, their median, from which it is somebody else: metres in the world, trunk
lengths in a picture."""
ENOUGH, LEAST_SHARE = 3, 0.3
"""Cameras that have to see a person at once, since two cannot tell which of them is wrong, in that share of the frames."""


@dataclass(frozen=True)
class Sightings:
    """What E eyes see of P people in T frames of C cameras.

    recording: its file. every: frames of the videos from one of the T to the next; fps: of the T a second. boxes: [P,T,C,4] pixels
    of the pictures without distortion, NaN where a person is not found. eyes: names; points: [P,T,C,E,17,2] pixels, NaN where the
    eye sees nobody; scores: [P,T,C,E,17].
    """

    recording: Path
    every: int
    fps: float
    boxes: np.ndarray
    eyes: tuple[str, ...] = ()
    points: np.ndarray = field(default_factory=lambda: np.empty(0))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))

    def save(self, path: Path) -> None:
        """Raises OSError."""
        # Any, since NumPy's stub takes each name for that of an option, too.
        arrays: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        arrays["recording"] = str(self.recording)
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Sightings:
        """Raises OSError, KeyError."""
        with np.load(path) as file:
            values: dict[str, Any] = {one.name: file[one.name] for one in fields(cls)}
        plain: dict[str, Any] = {
            "recording": Path(str(values["recording"])),
            "every": int(values["every"]),
            "fps": float(values["fps"]),
            "eyes": tuple(map(str, values["eyes"])),
        }
        return cls(**{**values, **plain})


def read_recording(path: Path) -> list[ViewRequest]:
    """The videos of VIEWS.json (as `refit-engine fit-views` takes it), or a single video, its camera the world and its focal
    length assumed. Raises ViewsError, OSError."""
    if path.suffix.lower() == ".json":
        return read_views(path)
    video = _opened(path)
    size = (int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    return [ViewRequest(path.stem, path, choose_intrinsics(*size).K, np.eye(3), np.zeros(3))]


def instants(requests: Sequence[ViewRequest], every: int, folder: Path) -> Iterator[list[ViewRequest]]:
    """Every so many frames of all videos, as pictures of the size that K belongs to in the folder, until one video ends.

    Raises OSError.
    """
    videos = [_opened(request.image) for request in requests]
    for number in count():
        if not all(video.grab() for video in videos):
            return
        if number % every == 0:
            yield [_written(one, video.retrieve()[1], folder) for one, video in zip(requests, videos, strict=True)]


def _opened(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise OSError(f"{path} could not be read.")
    return video


def _written(request: ViewRequest, picture: np.ndarray, folder: Path) -> ViewRequest:
    path = folder / f"{request.name}.png"
    if request.size is not None:
        picture = cv2.resize(picture, request.size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return replace(request, image=path)


@dataclass
class _Track:
    """A person through the frames: where the joints were last [17,D], and the boxes [C,4] of each frame."""

    joints: np.ndarray
    boxes: dict[int, np.ndarray] = field(default_factory=dict)


def find_people(recording: Path, every: int, detector: PersonDetector) -> Sightings:
    """Everybody in every so many frames, not looked at closely yet. Raises OSError, ImageError, ViewsError."""
    requests = read_recording(recording)
    tracks: list[_Track] = []
    frames = 0
    for frames, views in enumerate(_pictures(recording, every, "people"), start=1):
        found = [detector.detect(view.pixels) for view in views]
        for track, (indices, joints) in _linked(tracks, _people(views, found), len(views) == 1):
            track.joints = np.where(np.isfinite(joints), joints, track.joints)
            boxes = np.full((len(views), 4), np.nan)
            for camera, index in enumerate(indices):
                if index is not None:
                    boxes[camera] = found[camera][index].bbox_xywh
            track.boxes[frames - 1] = boxes
    enough = min(ENOUGH, len(requests))
    tables = [
        np.array([track.boxes.get(frame, np.full((len(requests), 4), np.nan)) for frame in range(frames)])
        for track in tracks
    ]
    kept = [table for table in tables if (np.isfinite(table[..., 0]).sum(axis=1) >= enough).mean() >= LEAST_SHARE]
    rate = _opened(requests[0].image).get(cv2.CAP_PROP_FPS) / every
    return Sightings(recording.resolve(), every, rate, np.array(kept).reshape(-1, frames, len(requests), 4))


def look(sightings: Sightings, eye: Eye) -> Sightings:
    """The sightings with those of one eye more. Raises OSError, ImageError, ViewsError."""
    shape = sightings.boxes.shape[:-1]
    points, scores = (
        np.full((*shape, 1, len(COCO_JOINT_NAMES), 2), np.nan),
        np.zeros((*shape, 1, len(COCO_JOINT_NAMES))),
    )
    for frame, views in enumerate(_pictures(sightings.recording, sightings.every, eye.name)):
        for person, camera in np.argwhere(np.isfinite(sightings.boxes[:, frame, :, 0])):
            at = person, frame, camera
            points[*at, 0], scores[*at, 0] = eye.joints(views[camera].pixels, sightings.boxes[at])
    if sightings.eyes:
        points, scores = np.concatenate([sightings.points, points], 3), np.concatenate([sightings.scores, scores], 3)
    return replace(sightings, eyes=(*sightings.eyes, eye.name), points=points, scores=scores)


def _pictures(recording: Path, every: int, what: str) -> Iterator[list[View]]:
    """Every so many frames of all cameras, without distortion."""
    with tempfile.TemporaryDirectory() as folder:
        for pictures in tqdm(
            instants(read_recording(recording), every, Path(folder)), desc=what, unit="frame", disable=None
        ):
            yield [load_view(picture)[0] for picture in pictures]


def _people(
    views: Sequence[View], found: Sequence[Sequence[Detection]]
) -> list[tuple[tuple[int | None, ...], np.ndarray]]:
    """Everybody: who that is in each view, and joints [17,3] in the world or, of one view, [17,2] in the picture."""
    joints = [
        np.array([one.joints for one in people], dtype=float).reshape(-1, len(COCO_JOINT_NAMES), 3) for people in found
    ]
    if len(views) == 1:
        places = np.where(joints[0][..., 2:] > SEEN_JOINT, joints[0][..., :2], np.nan)
        return [((index,), place) for index, place in enumerate(places)]
    boxes = [np.array([one.bbox_xywh for one in people]).reshape(-1, 4) for people in found]
    seen = [
        ViewDetections(view.intrinsics.K, view.R, view.t, points[..., :2], points[..., 2], box)
        for view, points, box in zip(views, joints, boxes, strict=True)
    ]
    return [(person.indices, person.joints_world) for person in match_people(seen)]


def _linked(tracks: list[_Track], people: list, flat: bool) -> Iterator[tuple[_Track, tuple]]:
    """Each person with the track that goes on with it; those who are nobody's continuation get new tracks, which are added."""
    distance = np.array([[_apart(track.joints, joints, flat) for track in tracks] for _, joints in people])
    distance = distance.reshape(len(people), len(tracks))
    rows, columns = linear_sum_assignment(np.minimum(distance, 2 * LINK))
    pairs = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    for row, person in enumerate(people):
        if row in pairs and distance[row, pairs[row]] < LINK:
            yield tracks[pairs[row]], person
        else:
            tracks.append(_Track(person[1]))
            yield tracks[-1], person


def _apart(joints: np.ndarray, others: np.ndarray, flat: bool) -> float:
    """Median distance between joints [17,D], infinite where they share none; in trunk lengths if they are those of a picture."""
    off = np.linalg.norm(joints - others, axis=1)
    if not np.isfinite(off).any():
        return np.inf
    return float(
        np.nanmedian(off) / (np.nanmax(np.ptp(others[np.isfinite(others[:, 0])], axis=0)) / 3 if flat else 1.0)
    )
