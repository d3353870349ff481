# SPDX-License-Identifier: GPL-3.0-or-later
"""Predictions for sequences: records of one person's video frames, solved together; see `evaluate` for the records.

Records also have `sequence` (an id), `time` (seconds), and with several cameras `view`. `bbox_xywh` may be null where it is not known
whether the person is seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .camera import project
from .distortion import distort_points
from .evaluate import INDICES, JOINTS, DatasetError, Picture, named, numbers, read_picture, sentence, short
from .fitting.annotation_joints import annotation_convention_joints
from .fitting.crops.refinement import CropSource
from .fitting.motion.drafts import stand, up_of
from .fitting.motion.fitter import MotionFitter
from .fitting.motion.frame_fit import FrameFitter, Seen
from .fitting.motion.observer import each_looked
from .fitting.motion.people import Person
from .fitting.motion.posed import Posed, posed_track
from .fitting.motion.request import CameraPath
from .fitting.motion.windows import SolvedTrack
from .fitting.multiview.views import is_rotation
from .gravity import find_lines
from .motion_results import ABSENT

Record = dict[str, Any]


def sequence_predictions(
    records: list[Record], folder: Path, fitter: MotionFitter, multiview: bool
) -> Iterator[dict[str, Any]]:
    """One prediction per record, sequence by sequence; views of a sequence together with `multiview`, else each alone."""
    sequences: dict[tuple[str | int | None, str | int | None], list[Record]] = {}
    for record in records:
        name, view = record.get("sequence"), record.get("view")
        key = (
            name if isinstance(name, str | int) else None,
            None if multiview or not isinstance(view, str | int) else view,
        )
        sequences.setdefault(key, []).append(record)
    for (name, _), members in sequences.items():
        if name is None:
            yield from ({"id": one["id"], "error": f"Record {short(one['id'])} has no sequence."} for one in members)
        else:
            yield from _Sequence(members, folder, fitter).predictions()


class _Sequence:
    """The records of one sequence: read, fitted and solved."""

    def __init__(self, records: list[Record], folder: Path, fitter: MotionFitter) -> None:
        self._records, self._folder, self._fitter = records, folder, fitter
        self._errors: dict[int, str] = {}
        self._pictures: dict[int, Picture] = {}
        """By the record's place; without pixels."""

    def predictions(self) -> Iterator[dict[str, Any]]:
        """One for each record, in order."""
        start = time.perf_counter()
        solved, reason = None, ""
        try:
            solved = self._solve()
        except Exception as error:  # noqa: BLE001 - whatever one sequence does, the others are predicted
            reason = sentence(self._records[0], error)
        for place, record in enumerate(self._records):
            if place in self._errors or solved is None:
                yield {"id": record["id"], "error": self._errors.get(place, reason)}
            else:
                seconds = (time.perf_counter() - start) / len(self._records)
                yield {"id": record["id"], **self._predicted(place, *solved), "seconds": seconds}

    def _solve(self) -> tuple[SolvedTrack, Posed, np.ndarray]:
        """The track, its body, and up [3] in the world. Raises RefitError."""
        stamps = self._stamps()
        self._times, self._instants = np.unique(stamps, return_inverse=True)
        names = [str(record.get("view")) for record in self._records]
        self._views = [sorted(set(names)).index(name) for name in names]
        fits = FrameFitter(self._fitter)
        lines = None
        for place in np.argsort(stamps, kind="stable").tolist():
            pixels = self._look(place, fits)
            if lines is None and pixels is not None:
                picture = self._pictures[place]
                lines = find_lines(pixels, np.zeros((0, 4)), picture.intrinsics, picture.quarter_turns)
        fits.flush()
        if lines is None or not fits.records:
            raise DatasetError(f"Nobody is seen in the sequence {short(self._records[0]['sequence'])}.")
        person = Person(
            tuple((view, record) for (view, _), record in sorted(fits.records.items(), key=lambda one: one[0]))
        )
        cameras = [self._path(view) for view in range(len(set(names)))]
        placed = any(record.get("R_world2cam") is not None for record in self._records)
        draft = self._fitter.draft(person, cameras, self._times)
        standing = stand([draft], self._times, up_of([draft], None if placed else lines))
        (draft,), (footing,) = standing.drafts, standing.footings
        track = self._fitter.solve(draft, footing, self._times)
        return track, posed_track(track, draft.subject), standing.up.direction

    def _stamps(self) -> np.ndarray:
        """Seconds [R] of the records. Raises DatasetError."""
        return np.array([numbers(record, "time", (1,))[0] for record in self._records])

    def _look(self, place: int, fits: FrameFitter) -> np.ndarray | None:
        """Read a record and see the person in its box; the picture, None where it cannot be read."""
        record = self._records[place]
        try:
            whole = record if record.get("bbox_xywh") is not None else {**record, "bbox_xywh": [0, 0, 8, 8]}
            picture = read_picture(whole, self._folder)
            self._camera(record)
        except Exception as error:  # noqa: BLE001 - see `evaluate._predict`
            self._errors[place] = sentence(record, error)
            return None
        if whole is record:
            source = CropSource(picture.pixels, picture.box, picture.intrinsics, picture.roll)
            look = self._fitter.observe([source], 1)
            (looked,) = each_looked(look.crops, look.encoding, [source])
            frame = int(self._instants[place])
            seen = Seen(
                self._views[place], 0, frame, looked.crop, picture.intrinsics, looked.landmarks, looked.encoding
            )
            fits.add(seen)
        self._pictures[place] = picture.without_pixels()
        return picture.pixels

    def _camera(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """R [3,3] and t [3] of a record; the camera's own frame where it has none. Raises DatasetError."""
        if record.get("R_world2cam") is None or record.get("t_world2cam") is None:
            return np.eye(3), np.zeros(3)
        R = numbers(record, "R_world2cam", (3, 3))
        if not is_rotation(R):
            raise DatasetError(f"The R_world2cam of record {short(record['id'])} is no rotation.")
        return R, numbers(record, "t_world2cam", (3,))

    def _path(self, view: int) -> CameraPath:
        """A view's camera at every instant; at those that it has no picture of, the one before or after."""
        places = {int(self._instants[place]): place for place in self._pictures if self._views[place] == view}
        known = np.array(sorted(places))
        nearest = [places[known[np.abs(known - instant).argmin()]] for instant in range(len(self._times))]
        placed = [self._camera(self._records[place]) for place in nearest]
        intrinsics = tuple(self._pictures[place].intrinsics for place in nearest)
        R, t = (np.stack(values) for values in zip(*placed, strict=True))
        return CameraPath(intrinsics, R, t, np.zeros(len(nearest)))

    def _predicted(self, place: int, track: SolvedTrack, body: Posed, up: np.ndarray) -> dict[str, Any]:
        instant, picture, record = int(self._instants[place]), self._pictures[place], self._records[place]
        if track.state[instant] == ABSENT:
            return {"error": f"Nobody is seen in or near record {short(record['id'])}."}
        R, t = self._camera(record)
        data = self._fitter.subject().result_body.data
        marked = body.joints[instant, INDICES]  # where people mark them is known of the bundled body only
        if data.landmark_ids is not None:
            pose = body.betas[None], body.rotmats[instant][None], body.transl[instant][None]
            marked = annotation_convention_joints(data, JOINTS, *pose)[0]
        pixels = project(marked @ R.T + t, picture.intrinsics.K)
        pixels = distort_points(pixels, picture.intrinsics.K, picture.lens) if picture.lens else pixels
        world = body.joints[instant, INDICES]
        values: dict[str, Any] = {
            "joints3d_cam": named(world @ R.T + t),
            "keypoints2d": named(pixels),
            "joint_std_mm": named(1000 * track.joint_std_m[instant, INDICES].numpy()),
            "contacts": dict(zip(("left_foot", "right_foot"), track.contacts[instant].numpy().tolist(), strict=True)),
            "up_cam": (R @ up).tolist(),
        }
        return values if np.abs(R - np.eye(3)).max() == 0 and not t.any() else values | {"world_joints3d": named(world)}
