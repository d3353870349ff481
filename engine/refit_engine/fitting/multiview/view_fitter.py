# SPDX-License-Identifier: GPL-3.0-or-later
"""From calibrated pictures to a multi-view result: who is seen where, bodies, and what each camera had to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...body import SMPL_JOINT_NAMES
from ...camera import project
from ...crop import box_crop, crop_matrix, cut, invert, transform
from ...detect import COCO_JOINT_NAMES, Detection
from ...errors import NoPersonFound, ViewsError
from ...images import Photo
from ...multiview_results import MultiViewResult
from ..crops.upright import person_in_box
from ..job import FitJob
from .detection_rays import ViewDetections
from .fit import Fusion, PersonBox, View, WorldPeople, fit_people
from .matching import PersonViews, match_people
from .rig_scale import metres_per_unit, unit_sentence
from .views import ViewRequest, check_requests, four, load_view, turn_detection


@dataclass(frozen=True)
class ReportNumbers:
    """When a view or a rig is reported to be wrong."""

    hidden: float = 0.35
    """Mean visibility of the landmarks below which a view's disagreement is put down to its seeing too little."""
    inconsistent: float = 3.0
    least_inconsistent: float = 0.04
    hopeless: float = 0.10
    """A body that just two cameras see is made of pictures that do not belong together where it lies so many times as
    far beside what they see as the best body of the scene and at least so many metres, or so many metres in any case.
    Swapped pictures of the sample rig (docs/samples/multiview) give 0.06 to 0.14 m, all sound pairs of its cameras less
    than 0.02 m."""
    smallest_scale: float = 0.5
    largest_scale: float = 2.0
    """Within these a rig's size is not what is wrong with it."""
    wider: float = 1.5
    """The detector sees this much more than a given box's crop: it misses people who fill the picture."""


NUMBERS = ReportNumbers()


class PreparedViews(NamedTuple):
    """Calibrated pictures ready to be fitted, without lens distortion."""

    views: list[View]
    found: list[list[Detection]]
    """The people of each view, in its own pixels."""
    boxes: list[PersonBox]
    """Who of them is whom."""


class ViewFitter(FitJob):
    """Fits the people of one instant, seen by calibrated cameras."""

    def reconstruct(
        self, requests: Sequence[ViewRequest], fusion: Fusion = "every_iteration"
    ) -> tuple[MultiViewResult, list[View]]:
        """One body per person, and the pictures without lens distortion.

        Raises ViewsError, ImageError, NoPersonFound, BodyFileError, WeightsFileError, DeviceError, Cancelled.
        """
        check_requests(requests)
        self.subject()  # a wrong file shows before the work starts
        ready = self.prepare(requests, fusion)
        people = fit_people(self, ready.views, ready.boxes, fusion)
        boxes = np.full((*people.seen.shape, 4), np.nan)
        for number, one in enumerate(ready.boxes):
            boxes[number if fusion == "never" else one.person, one.view] = one.box_xywh
        reasons = _reasons(people, [bool(one) for one in ready.found])
        kept = self._kept(people, reasons, ready, fusion)
        return self._result(requests, ready, people[kept], reasons[kept], boxes[kept]), ready.views

    def prepare(self, requests: Sequence[ViewRequest], fusion: Fusion = "every_iteration") -> PreparedViews:
        """Read the pictures and find their people. Raises ImageError, NoPersonFound, ViewsError, DeviceError,
        Cancelled."""
        views: list[View] = []
        found: list[list[Detection]] = []
        for request in requests:
            self.step("detect")
            view, photo, boxes = load_view(request)
            if photo.remark:
                self.say(photo.remark)
            views.append(view)
            found.append(self._detections(view, photo, boxes))
        return PreparedViews(views, found, self._person_boxes(views, found, fusion))

    def _kept(self, people: WorldPeople, reasons: np.ndarray, ready: PreparedViews, fusion: Fusion) -> np.ndarray:
        """Which people [N] are in the result. Raises ViewsError if nobody is."""
        try:
            kept = self._usable(people, reasons, ready.views, fusion)
        except ViewsError:
            self._check_scale(self._for_matching(ready.views, ready.found))
            raise
        if fusion != "never":
            kept = self._consistent(people, kept, ready.views)
            if self.options.people == "largest":
                kept &= np.cumsum(kept) == 1
        return kept

    def _detections(self, view: View, photo: Photo, boxes: np.ndarray | None) -> list[Detection]:
        """The people of a view in its own pixels; those in the given boxes [N,4], if any, without joints as yet."""
        if boxes is None:
            return [turn_detection(one, photo) for one in self.detect(photo, view.intrinsics)]
        return [Detection(four(box), 1.0, np.zeros((len(COCO_JOINT_NAMES), 3), np.float32)) for box in boxes]

    def _with_joints(self, view: View, person: Detection) -> Detection:
        """A person known by a box only, with the joints that the detector sees there, if any."""
        if person.joints.any():
            return person
        box = np.array(person.bbox_xywh)
        crop = box_crop(box, view.intrinsics, view.roll)
        wide = replace(crop, side=NUMBERS.wider * crop.side)
        with self.timed("detect"):
            found = self.on_device(lambda: self.detector().detect(cut(view.pixels, wide, view.intrinsics)))
        seen = person_in_box(found, box, wide, view.intrinsics)
        if seen is None:
            return person
        places = transform(invert(crop_matrix(wide, view.intrinsics)), seen.joints[:, :2])
        return replace(person, joints=np.column_stack([places, seen.joints[:, 2]]))

    def _for_matching(self, views: Sequence[View], found: Sequence[Sequence[Detection]]) -> list[ViewDetections]:
        return [
            _for_matching(view, [self._with_joints(view, one) for one in people])
            for view, people in zip(views, found, strict=True)
        ]

    def _check_scale(self, detections: Sequence[ViewDetections]) -> None:
        """Raises ViewsError where nothing is wrong with the cameras but their unit."""
        scale = metres_per_unit(detections)
        if scale is not None and not NUMBERS.smallest_scale < scale < NUMBERS.largest_scale:
            raise ViewsError(unit_sentence(scale))

    def _person_boxes(
        self, views: Sequence[View], found: Sequence[Sequence[Detection]], fusion: Fusion
    ) -> list[PersonBox]:
        """Who is who. Raises NoPersonFound, ViewsError."""
        showing = [view.name for view, people in zip(views, found, strict=True) if people]
        if not showing:
            raise NoPersonFound("Nobody was found in any of the pictures.")
        if len(showing) < 2:
            raise ViewsError(f"Only the camera {showing[0]} shows a person: two are needed at least.")
        if max(map(len, found)) == 1:
            return [
                PersonBox(0, number, np.array(people[0].bbox_xywh)) for number, people in enumerate(found) if people
            ]
        detections = self._for_matching(views, found)
        matched = match_people(detections)
        if not matched:
            self._check_scale(detections)
            raise ViewsError("No two cameras see the same person in the same place: check the cameras.")
        if self.options.people == "largest":
            # Whether two cameras tell the truth that no third one confirms is known after the fit.
            matched = matched[:1] if fusion == "never" else [matched[0], *_rivals(matched)]
        return [
            PersonBox(person, number, np.array(found[number][index].bbox_xywh))
            for person, one in enumerate(matched)
            for number, index in enumerate(one.indices)
            if index is not None
        ]

    def _usable(self, people: WorldPeople, reasons: np.ndarray, views: Sequence[View], fusion: Fusion) -> np.ndarray:
        """Which people [N] have a body that two views agree on; says who has not. Raises ViewsError if nobody has."""
        sound = np.isfinite(people.vertices).all(axis=(1, 2)) & np.isfinite(people.transl).all(axis=1)
        agreed = sound & (people.used.sum(axis=1) >= (1 if fusion == "never" else 2))
        if not agreed.any():
            if not sound.any():
                raise ViewsError("The network gave no usable body for these views.")
            why = "; ".join(f"{view.name}: {reason}" for view, reason in zip(views, reasons[0], strict=True) if reason)
            raise ViewsError(f"Fewer than two cameras agree on where the person is ({why}).")
        if not agreed.all():
            self.say(f"{(~agreed).sum()} of {len(agreed)} people were left out: fewer than two cameras agree on them.")
        return agreed

    def _consistent(self, people: WorldPeople, kept: np.ndarray, views: Sequence[View]) -> np.ndarray:
        """Which of the kept people [N] are made of pictures that belong together; says who is not.

        Raises ViewsError if nobody is.
        """
        mixed = mixed_up(people, kept, views)
        for person in np.flatnonzero(mixed):
            first, second = (view.name for view, used in zip(views, people.used[person], strict=True) if used)
            sentence = f"What {first} and {second} show does not fit together: are their pictures mixed up?"
            if not (kept & ~mixed).any():
                raise ViewsError(sentence)
            self.say(sentence)
        return kept & ~mixed

    def _result(
        self,
        requests: Sequence[ViewRequest],
        ready: PreparedViews,
        people: WorldPeople,
        reasons: np.ndarray,
        boxes: np.ndarray,
    ) -> MultiViewResult:
        subject, views = self.subject(), ready.views
        return MultiViewResult(
            view_names=tuple(view.name for view in views),
            images=tuple(str(request.image) for request in requests),
            image_sizes=np.array([view.pixels.shape[1::-1] for view in views]),
            K=np.stack([view.intrinsics.K for view in views]),
            R_world2cam=np.stack([view.R for view in views]),
            t_world2cam=np.stack([view.t for view in views]),
            betas=people.betas,
            rotmats=people.rotmats,
            transl=people.transl,
            joints_world=people.joints,
            vertices_world=people.vertices,
            joints2d=np.stack([project(people.joints @ v.R.T + v.t, v.intrinsics.K) for v in views], axis=1),
            used=people.used,
            weights=people.weights,
            reasons=reasons,
            reprojection_errors=people.reprojection_errors,
            boxes_xywh=boxes,
            joint_std_mm=people.joint_std_mm,
            joint_std_deg=people.joint_std_deg,
            guessed=people.guessed,
            confidence="off" if np.isnan(people.joint_std_mm).all() else "calibrated",
            joint_names=tuple(SMPL_JOINT_NAMES),
            body_name=subject.result_body.data.name,
            body_kind=subject.result_body.data.shape_space,
            body_file=subject.result_body.file,
            weights_name=subject.network.name,
            iterations=self.options.iterations,
        )


def mixed_up(people: WorldPeople, kept: np.ndarray, views: Sequence[View]) -> np.ndarray:
    """Which of the `kept` [N] people just two views see, and each in another place than the other: [N]."""
    miss = np.full(people.used.shape, np.nan)
    for number, view in enumerate(views):
        depth = (people.joints[:, 0] @ view.R.T + view.t)[:, 2]
        miss[:, number] = people.reprojection_errors[:, number] * depth / view.intrinsics.focal[0]
    count = people.used.sum(axis=1)
    mean = np.where(people.used, miss, 0).sum(axis=1) / np.maximum(count, 1)
    limit = min(max(NUMBERS.inconsistent * mean[kept].min(), NUMBERS.least_inconsistent), NUMBERS.hopeless)
    return kept & (count == 2) & (mean > limit)


def _rivals(matched: Sequence[PersonViews]) -> list[PersonViews]:
    """Those who may be right where the first person, whom just two views see, is not: seen by other views."""
    first, *others = [np.array([index is not None for index in person.indices]) for person in matched]
    if first.sum() > 2:
        return []
    return [person for person, seen in zip(matched[1:], others, strict=True) if not (seen & first).any()]


def _for_matching(view: View, people: Sequence[Detection]) -> ViewDetections:
    joints = np.array([one.joints for one in people], dtype=np.float64).reshape(-1, len(COCO_JOINT_NAMES), 3)
    boxes = np.array([one.bbox_xywh for one in people], dtype=np.float64).reshape(-1, 4)
    return ViewDetections(view.intrinsics.K, view.R, view.t, joints[..., :2], joints[..., 2], boxes)


def _reasons(people: WorldPeople, anybody: Sequence[bool]) -> np.ndarray:
    """[N,C] what is wrong with a view, in plain words; empty for most. anybody: [C] whether it shows somebody."""
    reasons = np.full(people.seen.shape, "", dtype="U200")
    for person, view in zip(*np.nonzero(people.used & (people.turned_degrees > 0)), strict=True):
        degrees = people.turned_degrees[person, view]
        reasons[person, view] = f"the camera seems turned by {degrees:.1f}°: used as if it were turned back"
    for person, view in zip(*np.nonzero(~people.used), strict=True):
        error = people.reprojection_errors[person, view]
        if not people.seen[person, view]:
            reason = "the person was not found in the picture" if anybody[view] else "nobody was found in the picture"
        elif people.visibility[person, view] < NUMBERS.hidden:
            reason = "too little of the person can be seen"
        elif not np.isfinite(error):
            reason = "the body is behind this camera: it shows somebody else, or stands elsewhere"
        else:
            reason = f"{error:.0f} px beside the body: it shows somebody else, or is not where it is said to be"
        reasons[person, view] = reason
    return reasons
