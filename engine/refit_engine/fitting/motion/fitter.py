# SPDX-License-Identifier: GPL-3.0-or-later
"""From videos to motions: observe every frame, tell people apart, solve each person's whole track."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...body import SMPL_JOINT_NAMES, LandmarkBody
from ...device import exact
from ...errors import ImageError, NoPersonFound, WeightsFileError
from ...gravity import LineEvidence, Up, find_up
from ...motion_results import ABSENT, MotionResult
from ...work_cache import WorkCache
from ..boxes import overlap
from ..height import standing_height
from ..job import FitJob
from ..models import FitOptions, Models
from ..subject import Subject
from .blocks import BlockStore
from .contacts import standing
from .footing import Footing, find_footing
from .frame_fit import Record
from .ground import Floor, find_floor
from .job_key import observation_key
from .numbers import NUMBERS, MotionNumbers
from .observations import Motion, Observations
from .observer import box_around
from .observing import Prepared, VideoWatch, Wanted, with_lines
from .people import Key, Observed, Person, match_tracks
from .posed import Posed, known_betas, posed_track, spread_out, standing_points
from .request import CameraPath, MotionRequest, VideoView, check_box, open_videos
from .sides import with_consistent_sides
from .solve import feet_of_motion
from .tracks import TRACKS
from .view_fusion import refined_betas, trusted
from .windows import SolvedTrack, solve_track

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told a stage ("observe", "solve"), how much of it is done, and how much there is; raises Cancelled to stop the job."""
UP_POSES = 60
"""Instants at most from which up is found."""
UP_OF_SCENES = np.array([0.0, 0.0, 1.0])


class MotionFitter(FitJob):
    """Fits the people of videos."""

    def __init__(
        self,
        models: Models,
        options: FitOptions,
        device: str = "auto",
        progress: Progress = lambda _stage, _done, _total: None,
        cache: WorkCache | None = None,
    ) -> None:
        """cache: keeps what has been seen, so that the same job goes on where it was stopped; None keeps nothing."""
        super().__init__(models, replace(options, iterations=NUMBERS.iterations), device)
        self.cache = cache
        self.progress = progress
        self.seconds.update(decode=0.0, solve=0.0)

    def track(self, request: MotionRequest) -> tuple[MotionResult, list[VideoView]]:
        """The motions of all people, and the videos as they were read.

        Raises ImageError, ViewsError, NoPersonFound, BodyFileError, WeightsFileError, DeviceError, Cancelled.
        """
        observed = self.observe_videos(request)
        return self.result(observed), observed.views

    def observe_videos(self, request: MotionRequest) -> Observed:
        """What all frames show, before any motion is solved; raises what `track` does."""
        ready = self.prepare(request)
        readable: list[np.ndarray] = []
        records: dict[Key, Record] = {}
        for number, watch in enumerate(ready.watches):
            told = partial(self._told_looked, number * len(ready.times), len(ready.watches) * len(ready.times))
            seen, found = watch.look(told)
            readable.append(seen)
            records |= found
        views = ready.views
        if not any(seen.any() for seen in readable):
            raise ImageError(f"No frame of {views[0].pictures.footage.path.name} can be read.")
        wanted = ready.wanted
        return Observed(views, ready.times, np.stack(readable), records, ready.lines, wanted.box_xywh, wanted.instant)

    def prepare(self, request: MotionRequest) -> Prepared:
        """The videos of a job, opened. Raises ImageError, ViewsError, BodyFileError, WeightsFileError, DeviceError."""
        if not self.subject().network.model.config.compact:
            raise WeightsFileError(f"The weights {self.subject().network.name} find no landmarks, which motion needs.")
        views, times = open_videos(request)
        instant = check_box(request, views)
        store = self._store(request, views)
        lines: LineEvidence | None = None
        if not views[0].placed:
            views[0], lines = with_lines(self, views[0])
        wanted = Wanted(request.box_xywh, instant)
        watches = [VideoWatch(self, number, view, times, wanted, store) for number, view in enumerate(views)]
        return Prepared(views, times, wanted, watches, lines)

    def result(self, observed: Observed) -> MotionResult:
        """The motions of all people who are wanted. Raises NoPersonFound, BodyFileError, DeviceError, Cancelled."""
        people = self._people(observed)
        solved: list[Solved] = []
        for number, person in enumerate(people):
            told = self._told(number, len(people), observed.times)
            up = UP_OF_SCENES if observed.lines is None else None
            track, subject = self.solve(person, observed.views, observed.times, number == 0, told, up)
            solved.append(Solved(person, track, subject, posed_track(track, subject)))
        return self._result(observed, solved)

    def _store(self, request: MotionRequest, views: list[VideoView]) -> BlockStore:
        if self.cache is None:
            return BlockStore(None)
        try:
            return BlockStore(self.cache.entry(observation_key(request, views, self.options)))
        except OSError as error:
            log.warning("Nothing is kept of this job: %s", error)
            return BlockStore(None)

    def _told_looked(self, before: int, total: int, done: int) -> None:
        self.progress("observe", before + done, total)

    def _people(self, observed: Observed) -> list[Person]:
        """Who is wanted, those who fill most of the video first. Raises NoPersonFound."""
        views, box, instant = observed.views, observed.box, observed.box_instant
        records = {key: one for key, one in observed.records.items() if _seen_seconds(one, views[0]) >= TRACKS.shortest}
        people = [Person(tracks) for tracks in match_tracks(records or observed.records, views)]
        if not people:
            raise NoPersonFound(f"Nobody was found in {views[0].pictures.footage.path.name}.")
        people.sort(key=lambda one: -one.extent())
        if box is not None and instant is not None:
            overlaps = [_overlap_at(one, box, instant) for one in people]
            if max(overlaps) <= 0:
                raise NoPersonFound(f"Nobody was found in the box in frame {views[0].frames[instant]}.")
            return [people[int(np.argmax(overlaps))]]
        return people[:1] if self.options.people == "largest" else people

    def _shape(self, person: Person, largest: bool) -> Subject:
        """The subject with the one shape of a person; a known height is that of the largest."""
        subject = self.subject()
        if subject.loop_betas is not None:
            return subject
        like = torch.zeros((), dtype=torch.float32, device=self.device)
        betas = torch.from_numpy(person.betas()[None]).to(like)
        if largest and self.options.height is not None:
            return subject.of_height(betas, self.options.height)
        return replace(subject, loop_betas=betas)

    def _told(self, number: int, people: int, times: np.ndarray) -> Callable[[int], None]:
        """What is told of the instants of one of the people that are solved."""
        return lambda done: self.progress("solve", number * len(times) + done, people * len(times))

    def solve(
        self,
        person: Person,
        cameras: Sequence[CameraPath],
        times: np.ndarray,
        largest: bool = True,
        told: Callable[[int], None] = lambda _: None,
        up: np.ndarray | None = None,
    ) -> tuple[SolvedTrack, Subject]:
        """A person's motion over times [F], seconds, and the subject with the shape that it was found for.

        largest: whether a known height is this person's. told: how many instants are solved; raises Cancelled to stop.
        up: [3] the world's, None unless it is known for sure.
        """
        numbers = NUMBERS if len(cameras) == 1 else NUMBERS.of_several_views()
        subject = self._shape(person, largest)
        body = LandmarkBody(subject.loop_body.data).double()
        stamps = torch.from_numpy(times)
        with self.timed("solve"):
            betas = exact(known_betas(subject)[0])
            seen = observations(person, cameras, betas, subject)
            seen = with_consistent_sides(seen, stamps, numbers)
            several = len(seen.views()) > 1
            track = solve_track(seen, stamps, body, betas, numbers.rough(), lambda done: told(done // 2))
            if several:
                seen = trusted(seen, track, stamps, body, betas, numbers)
                if subject.given_betas is None:
                    betas = refined_betas(seen, track, stamps, body, betas, numbers)
                    subject = replace(subject, loop_betas=betas[None].to(known_betas(subject)))
            footing = None if up is None else _footing(track, seen, stamps, body, betas, up, numbers)
            half = len(times)
            track = solve_track(
                seen, stamps, body, betas, numbers, lambda done: told((half + done) // 2), footing, track
            )
        return track, subject

    def _result(self, observed: Observed, solved: list[Solved]) -> MotionResult:
        views, times = observed.views, observed.times
        seen, boxes = _seen_and_boxes([one.person for one in solved], len(views), len(times))
        floor = _floor(solved, observed.lines)
        footage, subject = views[0].pictures.footage, self.subject()
        return MotionResult(
            view_names=tuple(view.name for view in views),
            videos=tuple(str(view.pictures.footage.path) for view in views),
            image_sizes=np.array([view.pictures.footage.size for view in views]),
            quarter_turns=np.array([view.pictures.footage.quarter_turns for view in views]),
            frame_rate=footage.rate,
            times=times,
            frames=np.stack([view.frames for view in views]),
            readable=observed.readable,
            K=np.stack([[one.K for one in view.intrinsics] for view in views]),
            R_world2cam=np.stack([view.R for view in views]),
            t_world2cam=np.stack([view.t for view in views]),
            focal_source=views[0].intrinsics[0].source,
            world="scene" if views[0].placed else "camera",
            betas=np.stack([one.posed.betas for one in solved]),
            rotmats=np.stack([one.posed.rotmats for one in solved]),
            transl=np.stack([one.posed.transl for one in solved]),
            joints_world=np.stack([one.posed.joints for one in solved]),
            state=np.stack([one.track.state.numpy() for one in solved]),
            seen=seen,
            boxes_xywh=boxes,
            joint_std_mm=np.stack([1000 * one.track.joint_std_m.numpy() for one in solved]),
            joint_std_deg=np.stack([np.degrees(one.track.joint_std_rad.numpy()) for one in solved]),
            confidence="uncalibrated",
            contacts=np.stack([one.track.contacts.numpy() for one in solved]),
            up_world=floor.up.direction,
            up_source=floor.up.source,
            up_std_deg=floor.up.std_deg,
            up_sure=floor.up.sure,
            floor=floor.level,
            joint_names=tuple(SMPL_JOINT_NAMES),
            body_name=subject.result_body.data.name,
            body_kind=subject.result_body.data.kind,
            body_file=subject.result_body.file,
            weights_name=subject.network.name,
            iterations=self.options.iterations,
        )


class Solved(NamedTuple):
    """Somebody's motion of the body that `subject` follows, and on the result's body."""

    person: Person
    track: SolvedTrack
    subject: Subject
    posed: Posed


def _floor(solved: list[Solved], lines: LineEvidence | None) -> Floor:
    """Up, which a scene has along Z, and where feet stood."""
    if lines is None:
        up = Up(UP_OF_SCENES, "camera", 0.0, True)
    else:
        there = [spread_out(one.track.state.numpy() != ABSENT, UP_POSES) for one in solved]
        poses = np.concatenate([one.posed.rotmats[rows] for one, rows in zip(solved, there, strict=True)])
        joints = np.concatenate([one.posed.joints[rows] for one, rows in zip(solved, there, strict=True)])
        up = find_up(lines, poses, joints)
    points = [standing_points(one.track, one.posed, one.subject, up.direction) for one in solved]
    return find_floor(np.concatenate(points), up)


def observations(person: Person, cameras: Sequence[CameraPath], betas: Tensor, subject: Subject) -> Observations:
    """What cameras saw of a person, for a body of shape `betas` [10]: depths are those at which it has the size seen."""
    data = subject.loop_body.data
    height = standing_height(data, betas.numpy())
    parts: list[Observations] = []
    for number, record in person.tracks:
        view, frames = cameras[number], torch.tensor(record.frames)
        R, t = torch.from_numpy(view.R)[frames], torch.from_numpy(view.t)[frames]
        marks = torch.from_numpy(np.array(record.landmarks, dtype=np.float64))
        rotmats = torch.from_numpy(np.array(record.rotmats, dtype=np.float64))
        rotmats[:, 0] = R.mT @ rotmats[:, 0]
        heights = {
            used.tobytes(): standing_height(data, used) for used in {b.tobytes(): b for b in record.betas}.values()
        }
        sizes = height / np.array([heights[used.tobytes()] for used in record.betas])
        parts.append(
            Observations(
                frame=frames,
                view=torch.full_like(frames, number),
                rotation=R,
                translation=t,
                focal=torch.from_numpy(np.array([view.intrinsics[n].focal for n in record.frames])),
                principal=torch.from_numpy(np.array([view.intrinsics[n].principal for n in record.frames])),
                pixels=marks[..., :2],
                confidence=marks[..., 2],
                rotmats=rotmats,
                depth=torch.from_numpy(np.array(record.depths) * sizes),
                slant=torch.from_numpy(np.array(record.slants, dtype=np.float64)),
                lag=torch.from_numpy(view.lag)[frames],
                pose_trust=torch.ones(rotmats.shape[:2], dtype=torch.float64),
            )
        )
    together = Observations(*(torch.cat(values) for values in zip(*parts, strict=True)))
    return together.select(together.frame.argsort(stable=True))


def _footing(
    track: SolvedTrack,
    seen: Observations,
    times: Tensor,
    body: LandmarkBody,
    betas: Tensor,
    up: np.ndarray,
    numbers: MotionNumbers,
) -> Footing | None:
    """The floor under a solved track."""
    feet = feet_of_motion(Motion(track.rotmats, track.pelvis), body, betas)
    return find_footing(feet, standing(seen, times, numbers, feet), torch.from_numpy(up), numbers)


def _seen_and_boxes(people: list[Person], views: int, instants: int) -> tuple[np.ndarray, np.ndarray]:
    """Who was seen by which camera when [N,C,F], and where [N,C,F,4]."""
    boxes = np.full((len(people), views, instants, 4), np.nan)
    for number, person in enumerate(people):
        for view, record in person.tracks:
            for frame, landmarks in zip(record.frames, record.landmarks, strict=True):
                boxes[number, view, frame] = box_around(landmarks[:, :2])
    return np.isfinite(boxes[..., 0]), boxes


def _overlap_at(person: Person, box: np.ndarray, instant: int) -> float:
    for view, record in person.tracks:
        if view == 0 and instant in record.frames:
            seen = record.landmarks[record.frames.index(instant)]
            return float(overlap(np.asarray(box, dtype=np.float64), box_around(seen[:, :2])[None])[0])
    return 0.0


def _seen_seconds(record: Record, view: VideoView) -> float:
    """Seconds in which somebody was seen, by the nominal rate."""
    return (
        len(record.frames)
        * float(np.median(np.diff(view.frames)) if len(view.frames) > 1 else 1)
        / (view.pictures.footage.rate)
    )
