# SPDX-License-Identifier: GPL-3.0-or-later
"""Following the people of one video: where to look in each frame, and what is kept of it.

The last crop's own circle says where the next ones are cut; the detector looks at whole frames only now and then. A few frames
are seen at once, since the network takes less time for crops in a batch. Of a frame, landmarks and the fit's pose are kept,
nothing that grows with its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...camera import Intrinsics
from ...crop import Crop, crop_matrix, invert, rounded_crop, transform, upright_crop
from ...device import exact
from ...images import Photo
from ...network import Encoding
from ..boxes import overlap
from ..crops.refinement import CropSource, present
from ..crops.upright import UprightCrop
from ..job import FitJob
from .frame_fit import FrameFitter, Seen
from .tracks import TRACKS, Found, Track, assign, clothes, distance, distinct, shared_joints


@dataclass(frozen=True)
class ObserverNumbers:
    """When the detector looks, and when a crop is believed."""

    detect_every: float = 0.5
    """Seconds between looks of the detector at whole frames,"""
    detect_lost: float = 0.15
    """and where somebody is lost, or nobody is there, or the observer has only begun."""
    known: float = 0.5
    """Intersection over union with a followed person's box above which a detection is that person."""
    doubt: float = 0.7
    """Share of a person's usual visibility below which a crop is not believed to show the person unless the detector agrees:
    of a wall in front of somebody with 0.75, crops have 0.3 to 0.5."""
    agreed: float = 0.3
    """Intersection over union with a detection above which it does."""
    usual: float = 0.1
    """Share of a frame in the running mean of a person's visibility."""
    before_behind: float = 0.05
    """Share of a box added around landmarks, which end at wrists, ankles and eyes."""
    ahead: float = 0.17
    """Seconds over which the crops of somebody who is followed are predicted,"""
    ahead_frames: int = 8
    """and frames, at most: they are in memory together."""


NUMBERS = ObserverNumbers()


class Frame(NamedTuple):
    """A frame of a video."""

    number: int
    time: float
    """Seconds."""
    pixels: np.ndarray
    """[H,W,3] uint8 RGB."""
    intrinsics: Intrinsics
    boxes: np.ndarray
    """[N,4] of people who are there for sure, whom the detector may miss."""


class Looked(NamedTuple):
    """A body found in the present frame."""

    crop: Crop
    encoding: Encoding
    landmarks: np.ndarray
    """[33,3] source pixels and visibility."""

    def found(self, pixels: np.ndarray) -> Found:
        joints = shared_joints(self.landmarks)
        return Found(joints, clothes(pixels, joints))

    @property
    def visible(self) -> float:
        return float(self.landmarks[:, 2].mean())


@dataclass
class Followed:
    """A track, and the crop in which its person was seen last.

    joints: [17,2] where they were then; visible: running mean of the landmarks' visibility; first: how the track began, at a time
    in seconds.
    """

    track: Track
    crop: Crop
    joints: np.ndarray
    visible: float
    first: Found
    began: float

    def next_crop(self, time: float) -> Crop:
        moved = self.track.predicted(time).mean(axis=0) - self.joints.mean(axis=0)
        return rounded_crop(replace(self.crop, center=self.crop.center + moved))


class Observer:
    """Follows everybody in the frames of one camera, from a time in seconds on."""

    def __init__(self, job: FitJob, fits: FrameFitter, view: int = 0, began: float = 0.0) -> None:
        self._job, self._fits, self._view, self._began = job, fits, view, began
        self.followed: list[Followed] = []
        """Everybody who was seen up to now."""
        self._waiting: list[Frame] = []
        self._looked = self._detected = -np.inf

    def look(self, frame: Frame) -> None:
        """Find the people of a frame, at the latest when `flush` is called."""
        if frame.time - self._looked > NUMBERS.ahead:
            self.flush()
        self._waiting.append(frame)
        if len(self._waiting) == NUMBERS.ahead_frames or not self._alive(frame.time):
            self.flush()

    def flush(self) -> None:
        """Find the people of the frames that wait."""
        waiting, self._waiting = self._waiting, []
        expected = [[(one, one.next_crop(frame.time)) for one in self._alive(frame.time)] for frame in waiting]
        looked = iter(
            self._look_at([(frame, *one) for frame, row in zip(waiting, expected, strict=True) for one in row])
        )
        for frame, row in zip(waiting, expected, strict=True):
            self._find(frame, [(one, next(looked)) for one, _ in row])
            self._looked = frame.time

    def _alive(self, time: float) -> list[Followed]:
        return [one for one in self.followed if not one.track.lost(time)]

    def _find(self, frame: Frame, ahead: list[tuple[Followed, Looked]]) -> None:
        """Find the people of a frame, in which some have been looked for already."""
        time, known = frame.time, [one for one, _ in ahead]
        alive = self._alive(time)
        others = [one for one in alive if all(one is not other for other in known)]
        crops = [(frame, one, one.next_crop(time)) for one in others]
        seen = [*ahead, *zip(others, self._look_at(crops), strict=True)]
        looked = [one for _, one in seen]
        doubted = {id(found) for one, found in seen if found.visible < NUMBERS.doubt * one.visible}
        if doubted or self._due(time, alive) or len(frame.boxes):
            photo = Photo(Path("frame"), frame.pixels)
            detected = [np.array(one.bbox_xywh) for one in self._job.detect(photo, frame.intrinsics)]
            looked = [one for one in looked if id(one) not in doubted or _agrees(one, detected)]
            new = self._look_around(frame, [*frame.boxes, *detected], looked)
            looked += [one for one in new if one.visible >= TRACKS.visible]
            self._detected = time
        looked = [one for one in looked if one.visible >= TRACKS.still_visible]
        looked.sort(key=lambda one: -one.visible)
        found = [one.found(frame.pixels) for one in looked]
        kept = distinct(found)
        remembered = [one for one in self.followed if time - one.track.time < TRACKS.memory]
        pairs = assign([one.track for one in remembered], [found[number] for number in kept], time)
        taken = {column: remembered[row] for row, column in pairs.items()}
        for column, number in enumerate(kept):
            self._keep(taken.get(column), looked[number], found[number], frame)

    def _due(self, time: float, alive: list[Followed]) -> bool:
        """Whether it is time for the detector."""
        missed = any(one.track.time < self._detected for one in alive) or any(
            one.track.lost(time) and time - one.track.time < 4 * NUMBERS.detect_every for one in self.followed
        )
        often = missed or not alive or time - self._began < NUMBERS.detect_every
        return time - self._detected >= (NUMBERS.detect_lost if often else NUMBERS.detect_every) - 1e-6

    def _look_at(self, expected: list[tuple[Frame, Followed, Crop]]) -> list[Looked]:
        """What is seen in the crops in which people are expected in frames."""
        if not expected:
            return []
        sources = [
            CropSource(frame.pixels, box_around(one.track.predicted(frame.time)), frame.intrinsics)
            for frame, one, _ in expected
        ]
        crops = [UprightCrop(crop, None) for _, _, crop in expected]
        return each_looked(*self._job.on_device(lambda: self._job.observe_at(sources, crops)), sources)

    def _look_around(self, frame: Frame, boxes: list[np.ndarray], looked: list[Looked]) -> list[Looked]:
        """Those in the boxes whom no track has found already."""
        known = np.array([box_around(one.landmarks[:, :2]) for one in looked]).reshape(-1, 4)
        new = [box for box in boxes if not (len(known) and overlap(box, known).max() > NUMBERS.known)]
        found: list[Looked] = []
        for box in new:
            source = CropSource(frame.pixels, box, frame.intrinsics)
            seen = self._job.on_device(lambda source=source: self._job.observe([source], 1))
            (one,) = each_looked(seen.crops, seen.encoding, [source])
            joints = shared_joints(one.landmarks)
            if all(distance(joints, shared_joints(other.landmarks)) > TRACKS.same for other in [*looked, *found]):
                found.append(one)
        return found

    def _keep(self, known: Followed | None, looked: Looked, found: Found, frame: Frame) -> None:
        """Note what was seen of a person, of somebody new where nobody is known."""
        if known is None:
            track = Track(len(self.followed), found.joints, frame.time, found.colours)
            known = Followed(track, looked.crop, found.joints, looked.visible, found, frame.time)
            self.followed.append(known)
        else:
            known.track.update(found, frame.time)
        circle = exact(present(looked.encoding.circle)[0]).numpy()
        better = upright_crop(looked.crop, frame.intrinsics, *circle)
        known.crop, known.joints = rounded_crop(better), found.joints
        known.visible += NUMBERS.usual * (looked.visible - known.visible)
        number, view = known.track.number, self._view
        seen = Seen(view, number, frame.number, looked.crop, frame.intrinsics, looked.landmarks, looked.encoding)
        self._fits.add(seen)


def _agrees(looked: Looked, detected: list[np.ndarray]) -> bool:
    """Whether the detector, too, sees somebody [4] there."""
    return bool(detected) and overlap(box_around(looked.landmarks[:, :2]), np.array(detected)).max() > NUMBERS.agreed


def box_around(points: np.ndarray) -> np.ndarray:
    """The box [4] (x, y, w, h) around points [K,2], a little larger."""
    low, high = points.min(axis=0), points.max(axis=0)
    edge = NUMBERS.before_behind * (high - low).max()
    return np.concatenate([low - edge, high - low + 2 * edge])


def each_looked(crops: Sequence[Crop], encoding: Encoding, sources: Sequence[CropSource]) -> list[Looked]:
    """The bodies of encoded crops of pictures, one by one."""
    result: list[Looked] = []
    for row, (crop, source) in enumerate(zip(crops, sources, strict=True)):
        there = {name: value[row : row + 1] for name, value in encoding._asdict().items() if value is not None}
        part = encoding._replace(**there)
        landmarks = exact(present(part.landmarks)[0]).numpy()
        places = transform(invert(crop_matrix(crop, source.intrinsics)), landmarks[:, :2])
        result.append(Looked(crop, part, np.column_stack([places, landmarks[:, 2]])))
    return result
