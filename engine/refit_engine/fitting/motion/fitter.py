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

from ...body import SMPL_JOINT_NAMES, LandmarkBody
from ...device import exact
from ...errors import ImageError, NoPersonFound, WeightsFileError
from ...gravity import LineEvidence, Up
from ...motion_results import MotionResult
from ...work_cache import WorkCache
from ..boxes import overlap
from ..job import FitJob
from ..models import FitOptions, Models
from ..subject import Subject
from .blocks import BlockStore
from .drafts import Draft, Standing, observations, stand, up_of
from .footing import Footing
from .frame_fit import Record
from .ground import Floor, find_floor
from .hidden import guessed_in_motion
from .job_key import observation_key
from .numbers import NUMBERS
from .observer import box_around
from .observing import Prepared, VideoWatch, Wanted, with_lines
from .people import Key, Observed, Person, match_tracks
from .posed import Posed, known_betas, low_sole, posed_track, standing_points
from .request import CameraPath, MotionRequest, VideoView, check_box, open_videos
from .sides import with_consistent_sides
from .tracks import TRACKS
from .view_fusion import refined_betas, trusted
from .windows import SolvedTrack, solve_track

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told a stage ("observe", "solve"), how much of it is done, and how much there is; raises Cancelled to stop the job."""


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

    def result(self, observed: Observed, up: Up | None = None) -> MotionResult:
        """The motions of all people who are wanted. Raises NoPersonFound, BodyFileError, DeviceError, Cancelled.

        up: the world's; it is found where it is None.
        """
        people = self._people(observed)
        cameras, times = observed.views, observed.times
        drafts: list[Draft] = []
        for number, person in enumerate(people):
            drafts.append(self.draft(person, cameras, times, number == 0, self._told(number, len(people), times)))
        guessed = [
            guessed_in_motion(one.person, one.joints.numpy(), one.track.state.numpy(), cameras) for one in drafts
        ]
        with self.timed("solve"):
            standing = stand(drafts, times, up or up_of(drafts, observed.lines), guessed)
        solved: list[Solved] = []
        for number, (draft, footing) in enumerate(zip(standing.drafts, standing.footings, strict=True)):
            track = self.solve(draft, footing, times, self._told(len(people) + number, len(people), times))
            posed = posed_track(track, draft.subject)
            hidden = guessed_in_motion(draft.person, posed.joints, track.state.numpy(), cameras)
            solved.append(Solved(draft, track, posed, hidden))
        return self._result(observed, solved, _floor(solved, standing))

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

    def _told(self, part: int, people: int, times: np.ndarray) -> Callable[[int], None]:
        """What is told of the instants of one of the people's two solutions, the rough ones first."""
        return lambda done: self.progress("solve", (part * len(times) + done) // 2, people * len(times))

    def draft(
        self,
        person: Person,
        cameras: Sequence[CameraPath],
        times: np.ndarray,
        largest: bool = True,
        told: Callable[[int], None] = lambda _: None,
    ) -> Draft:
        """A person's rough motion over times [F], with the shape that all frames agree on.

        largest: whether a known height is this person's. told: how many instants are solved; raises Cancelled to stop.
        """
        numbers = NUMBERS if len(cameras) == 1 else NUMBERS.of_several_views()
        subject = self._shape(person, largest)
        body = LandmarkBody(subject.loop_body.data).double()
        stamps = torch.from_numpy(times)
        with self.timed("solve"):
            betas = exact(known_betas(subject)[0])
            seen = observations(person, cameras, betas, subject)
            seen = with_consistent_sides(seen, stamps, numbers)
            track = solve_track(seen, stamps, body, betas, numbers.rough(), told)
            if len(seen.views()) > 1:
                seen = trusted(seen, track, stamps, body, betas, numbers)
                if subject.given_betas is None:
                    betas = refined_betas(seen, track, stamps, body, betas, numbers)
                    subject = replace(subject, loop_betas=betas[None].to(known_betas(subject)))
        return Draft(person, subject, body, betas, seen, track, numbers)

    def solve(
        self, draft: Draft, footing: Footing | None, times: np.ndarray, told: Callable[[int], None] = lambda _: None
    ) -> SolvedTrack:
        """A person's motion over times [F], from a rough one. told: see `draft`."""
        with self.timed("solve"):
            stamps = torch.from_numpy(times)
            return solve_track(draft.seen, stamps, draft.body, draft.betas, draft.numbers, told, footing, draft.track)

    def _result(self, observed: Observed, solved: list[Solved], floor: Floor) -> MotionResult:
        views, times = observed.views, observed.times
        seen, boxes = _seen_and_boxes([one.draft.person for one in solved], len(views), len(times))
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
            guessed=np.stack([one.guessed for one in solved]),
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
    """Somebody's motion of the body that the draft follows, and on the result's body; guessed: [F,24] joints that no camera shows."""

    draft: Draft
    track: SolvedTrack
    posed: Posed
    guessed: np.ndarray


def _floor(solved: list[Solved], standing: Standing) -> Floor:
    """The floor under those who stand on the lowest one: under feet that are shown, unless nobody's are."""
    up = standing.up
    there = [one for one, on_floor in zip(solved, standing.on_floor, strict=True) if on_floor]

    def stood(*, shown: bool) -> np.ndarray:
        return np.concatenate(
            [
                standing_points(one.track, one.posed, one.draft.subject, up.direction, one.guessed & shown)
                for one in there
            ]
        )

    points = stood(shown=True)
    if not len(points):
        points = stood(shown=False)
    return find_floor(points, np.array([low_sole(one.posed, up) for one in solved]), up)


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
