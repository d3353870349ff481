# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-view fitting: from calibrated pictures of one instant to bodies in the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ...body import LandmarkBody
from ...body.joints import mirrored_name
from ...body.landmarks import landmark_precision
from ...body.points import LANDMARK_NAMES
from ...crop import Crop, roll_rotation
from ...device import exact, is_out_of_memory
from ...network import CropCamera, Encoding, Estimate
from ...network.geometry import crop_to_full
from ...network.refit import PosePoints
from ..bounds import working_camera
from ..confidence import Confidence
from ..crops.refinement import CropSource, present
from ..job import MAX_BATCH, FitJob
from ..likely_pose import complete
from ..models import Body
from ..shown import Shown, evidence, guessed_joints, shown_from
from ..subject import Subject
from .covariance import joint_deviations, unknowns_covariance
from .extrinsics import correct_extrinsics
from .person_size import grown_back, growth, loop_scale, shrunk
from .refinement import point_slopes, refine_bodies
from .rows import ObservedPoints, Rows, SharedBodies
from .sides import side_order
from .view_fusion import RestPelvis, ViewFusion, average_bodies, bodies_in_world, in_views, published_fusion
from .views import View

__all__ = ["Fusion", "PersonBox", "View", "WorldPeople", "fit_people", "fit_person"]

Fusion = Literal["every_iteration", "as_published", "at_the_end", "never"]
"""When views are made to agree. The last three are the paper's: plain means after every update, plain means at the end, and
every view for itself."""


@dataclass(frozen=True)
class FitNumbers:
    """Numbers of multi-view fitting beside those of its stages."""

    least_weight: float = 0.1
    """A view that counts less than this has no part in a body."""


NUMBERS = FitNumbers()
# Face, arms and legs: in each a landmark network takes left for right as a whole. The left side's landmarks.
_LEFT = (
    ("left_eye_inner", "left_eye", "left_eye_outer", "left_ear", "mouth_left"),
    tuple(f"left_{name}" for name in ("shoulder", "elbow", "wrist", "pinky", "index", "thumb")),
    tuple(f"left_{name}" for name in ("hip", "knee", "ankle", "heel", "foot_index")),
)
_PARTS = tuple(
    ([LANDMARK_NAMES.index(name) for name in names], [LANDMARK_NAMES.index(mirrored_name(name)) for name in names])
    for names in _LEFT
)


@dataclass(frozen=True)
class PersonBox:
    """Person number `person` seen in view number `view`, in a box [4] of its pixels (x, y, w, h)."""

    person: int
    view: int
    box_xywh: np.ndarray


@dataclass(frozen=True)
class WorldPeople:
    """N bodies in the world (metres) from C views.

    betas: [N,10]; rotmats: [N,24,3,3], the first in the world's frame; transl: [N,3]; joints: [N,24,3];
    vertices: [N,V,3].
    seen: [N,C] whether the person was found in the view; weights: [N,C] how much the view counts, 0 to 1;
    reprojection_errors: [N,C] pixels, mean distance of the body's landmarks from those found, NaN where not seen;
    visibility: [N,C] mean visibility of the landmarks, 0 to 1, NaN where not seen or not known;
    turned_degrees: [N,C] by how much the camera was turned to agree with the others, 0 for those that do;
    joint_std_mm, joint_std_deg: [N,24], see `covariance`; NaN where they were not asked for or cannot be told.
    guessed: [N,24] bool, joints that none of the views shows that have a part in the body.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray
    seen: np.ndarray
    weights: np.ndarray
    reprojection_errors: np.ndarray
    visibility: np.ndarray
    turned_degrees: np.ndarray
    joint_std_mm: np.ndarray
    joint_std_deg: np.ndarray
    guessed: np.ndarray

    def __getitem__(self, index: np.ndarray) -> WorldPeople:
        return WorldPeople(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def used(self) -> np.ndarray:
        """[N,C] whether the view has a part in the body."""
        return self.seen & (self.weights >= NUMBERS.least_weight)


def fit_person(
    job: FitJob, views: Sequence[View], boxes_xywh: np.ndarray, fusion: Fusion = "every_iteration"
) -> WorldPeople:
    """The one person in the boxes [C,4], one of each view; without fusion, one body per view. See `fit_people`."""
    return fit_people(job, views, [PersonBox(0, view, box) for view, box in enumerate(boxes_xywh)], fusion)


def fit_people(
    job: FitJob, views: Sequence[View], person_boxes: Sequence[PersonBox], fusion: Fusion = "every_iteration"
) -> WorldPeople:
    """The bodies of people 0…P-1 from where they were seen; without fusion, a body of each sighting, in order.

    A height that the job knows is that of person 0; where the largest is asked for, of all: they are candidates. Values
    of a body that was lost are not finite. Raises WeightsFileError, BodyFileError, DeviceError, Cancelled.
    """
    persons = range(1 + max(one.person for one in person_boxes))
    if fusion == "never":
        persons = [one.person for one in person_boxes]
        person_boxes = [PersonBox(number, one.view, one.box_xywh) for number, one in enumerate(person_boxes)]
    groups = [[one for one in person_boxes if one.person == number] for number in range(len(persons))]
    tall = [job.options.people == "largest" or person == 0 for person in persons]
    heights = [job.options.height if one else None for one in tall]
    parts: list[WorldPeople] = []
    batch, start = MAX_BATCH[job.device.type], 0
    while start < len(groups):
        job.step("fit")
        stop = start + 1  # all views of a person go through the loop together, however many they are
        while stop < len(groups) and sum(map(len, groups[start : stop + 1])) <= batch:
            if heights[start] is not None or heights[stop] is not None:
                break  # a known shape is that of all who go together
            stop += 1
        try:
            parts.append(_fit_groups(job, views, groups[start:stop], batch, fusion, heights[start]))
            start = stop
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            batch = job.make_room(batch)
    return WorldPeople(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(WorldPeople)))


class _Fitted(NamedTuple):
    """Bodies [P] of the followed kind; per row [B] its weight, distance in pixels, and turn in radians; deviations [P,24]."""

    bodies: SharedBodies
    weight: Tensor
    error: Tensor
    turned: Tensor
    deviations: Confidence


def _fit_groups(
    job: FitJob,
    views: Sequence[View],
    groups: Sequence[Sequence[PersonBox]],
    batch: int,
    fusion: Fusion,
    height: float | None,
) -> WorldPeople:
    """People who go through the loop together, `batch` crops through the backbone at a time.

    height: metres of the one person, None where it is not known.
    """
    boxes = [one for group in groups for one in group]
    person = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    origin = np.mean([-view.R.T @ view.t for view in views], axis=0)  # scenes may lie far from the world's origin
    subject = job.subject()
    sources = [_crop_source(views[one.view], one.box_xywh) for one in boxes]
    crops, camera, encoding = job.observe(sources, batch)
    rows = _rows([views[one.view] for one in boxes], crops, camera, person, len(groups), origin)
    with torch.inference_mode():
        with job.timed("network"):
            if height is not None:
                estimated = _follow(subject, encoding, rows, fusion, confidence=False).bodies
                subject = subject.of_height(estimated.betas.to(encoding.vector), height)
            fitted = _follow(subject, encoding, rows, fusion, job.options.confidence)
            job.wait()
        with job.timed("body"):
            betas, rotmats, transl = (value.to(encoding.vector) for value in fitted.bodies)
            shown = _shown(subject, encoding, fitted, rows, crops, sources)
            whole = complete(subject, betas, rotmats, shown.bones, fitted.deviations)
            posed = [value.float().cpu().numpy() for value in subject.place(betas, whole.rotmats, transl)]
    at = person.numpy(), np.array([one.view for one in boxes])
    return _world_people(posed, origin, whole.confidence, shown, fitted, _visibility(encoding), at, len(views))


def _world_people(
    posed: Sequence[np.ndarray],
    origin: np.ndarray,
    deviations: Confidence,
    shown: Shown,
    fitted: _Fitted,
    visibility: Tensor,
    at: tuple[np.ndarray, np.ndarray],
    views: int,
) -> WorldPeople:
    """Bodies about `origin` [3] in the world, and what each row [B] has to say in tables of people by views.

    at: person and view [B] of the rows.
    """
    betas, rotmats, transl, joints, vertices = posed

    def table(values: Tensor | float, empty: float) -> np.ndarray:
        whole = np.full((len(betas), views), empty)
        whole[at] = values
        return whole

    return WorldPeople(
        betas=betas,
        rotmats=rotmats,
        transl=transl + origin,
        joints=joints + origin,
        vertices=(vertices + origin).astype(np.float32),
        seen=table(1.0, 0.0).astype(bool),
        weights=table(fitted.weight, 0.0),
        reprojection_errors=table(fitted.error, np.nan),
        visibility=table(visibility, np.nan),
        turned_degrees=table(torch.rad2deg(fitted.turned), 0.0),
        joint_std_mm=deviations.std_mm.numpy(),
        joint_std_deg=deviations.std_deg.numpy(),
        guessed=guessed_joints(shown.joints),
    )


def _shown(
    subject: Subject,
    encoding: Encoding,
    fitted: _Fitted,
    rows: Rows,
    crops: Sequence[Crop],
    sources: Sequence[CropSource],
) -> Shown:
    """How likely at least one of the views that count shows the joints of the P bodies: [P,24]."""
    like = Estimate(*(encoding.vector.new_zeros(0),) * 3)
    bodies = in_views(fitted.bodies, rows, rest_pelvis(subject.loop_body), like)
    shown = shown_from(evidence(subject, encoding, bodies, rows.camera, crops, sources))
    counts = exact(fitted.weight >= NUMBERS.least_weight).numpy()[:, None]
    return Shown(*(_in_any(counts * one, rows.person.numpy(), rows.people) for one in shown))


def _in_any(likely: np.ndarray, person: np.ndarray, people: int) -> np.ndarray:
    """[P,24] of what is likely [B,24] in each of the rows, whose person [B] is given, how likely it is in at least one."""
    nowhere = np.ones((people, likely.shape[1]))
    np.multiply.at(nowhere, person, 1 - likely)
    return 1 - nowhere


def _crop_source(view: View, box_xywh: np.ndarray) -> CropSource:
    return CropSource(view.pixels, box_xywh, view.intrinsics, view.roll)


def _rows(
    views: Sequence[View], crops: Sequence[Crop], camera: CropCamera, person: Tensor, people: int, origin: np.ndarray
) -> Rows:
    """Rows whose world has its origin at `origin` [3]."""
    rolls = [roll_rotation(crop.roll) for crop in crops]
    return Rows(
        person=person,
        people=people,
        rotation=torch.from_numpy(np.stack([roll @ v.R for roll, v in zip(rolls, views, strict=True)])),
        translation=torch.from_numpy(
            np.stack([roll @ (v.R @ origin + v.t) for roll, v in zip(rolls, views, strict=True)])
        ),
        focal=torch.tensor([float(v.intrinsics.focal[0]) for v in views], dtype=torch.float64),
        camera=working_camera(camera),
    )


def _follow(subject: Subject, encoding: Encoding, rows: Rows, fusion: Fusion, confidence: bool) -> _Fitted:
    """Run the loop and fuse as asked."""
    body = subject.loop_body
    pelvis = rest_pelvis(body)
    points, seen = _evidence(subject, encoding, rows)
    if seen is not None and fusion == "every_iteration":
        encoding = _sides_agreed(encoding, rows, seen)
        points, seen = _evidence(subject, encoding, rows)
    if fusion != "every_iteration":
        last = subject.follow(encoding, rows.camera, published_fusion(rows) if fusion == "as_published" else None)[-1]
        bodies = bodies_in_world(last, rows, pelvis)
        if fusion != "never":
            bodies = average_bodies(bodies, rows, pelvis)
        # The paper's ways are judged like ours, by what is seen, but weigh all views alike.
        seen = seen or ViewFusion(rows, points, pelvis).proposal(last)
        alike = torch.ones_like(rows.focal)
        errors = _errors(bodies, points, seen, rows, encoding.vector)
        return _Fitted(bodies, alike, errors, 0 * alike, _unknown(bodies))
    given = subject.expanded_betas(rows.people)
    straight, turned = (rows, torch.zeros_like(rows.focal)) if seen is None else correct_extrinsics(rows, seen)
    scale = torch.ones(rows.people, dtype=torch.float64)
    if seen is not None and given is None:
        scale = loop_scale(straight, seen, points, encoding.vector)
    view_fusion = ViewFusion(shrunk(straight, scale), points, pelvis, seen, given)
    subject.follow(encoding, rows.camera, view_fusion)
    bodies = grown_back(view_fusion.shared, scale, growth(body.data.v_template, body.data.shapedirs), pelvis)
    deviations = _unknown(bodies)
    if seen is not None:
        rays = straight.rays(seen)._replace(confidence=view_fusion.rays.confidence)
        evidence = points, rays, view_fusion.weight, straight, encoding.vector, given is not None
        bodies = refine_bodies(bodies, *evidence)
        if confidence:
            slopes = point_slopes(bodies.betas, bodies.rotmats, body.model.joints, encoding.vector)[1]
            deviations = joint_deviations(unknowns_covariance(bodies, *evidence), slopes)
    # Judged by the cameras as they were given: who turned one shall see by how much it is off.
    errors = _errors(bodies, points, view_fusion.seen, rows, encoding.vector)
    return _Fitted(bodies, view_fusion.weight, errors, turned, deviations)


def _unknown(bodies: SharedBodies) -> Confidence:
    unknown = torch.full(bodies.rotmats.shape[:2], torch.nan)
    return Confidence(unknown, unknown)


def _evidence(subject: Subject, encoding: Encoding, rows: Rows) -> tuple[PosePoints, ObservedPoints | None]:
    """The points that views are compared by, and where they were seen: landmarks, where the backbone has them."""
    if encoding.landmarks is None:
        return subject.points, None
    pixels = exact(crop_to_full(encoding.landmarks[..., :2], rows.camera))
    # Several views tell by themselves which landmarks are off: the votes differ less than visibility does
    # (docs/multi-view-accuracy.md).
    confidence = exact(encoding.landmarks[..., 2]).sqrt() * torch.from_numpy(landmark_precision())
    return LandmarkBody(subject.loop_body.data).to(encoding.vector.device), ObservedPoints(pixels, confidence)


def _sides_agreed(encoding: Encoding, rows: Rows, seen: ObservedPoints) -> Encoding:
    """The encoding with left and right exchanged where one view takes them for each other."""
    order = side_order(rows, seen, _PARTS).to(encoding.vector.device)[..., None]
    return encoding._replace(landmarks=present(encoding.landmarks).take_along_dim(order, 1))


def _errors(bodies: SharedBodies, points: PosePoints, seen: ObservedPoints, rows: Rows, like: Tensor) -> Tensor:
    """Pixels [B] between bodies and what each row saw, the mean over points as confident as they are."""
    posed = exact(points(bodies.betas.to(like), bodies.rotmats.to(like))) + bodies.transl[:, None]
    distance = cast("Tensor", (rows.project(posed[rows.person]) - seen.pixels).norm(dim=-1))  # PyTorch says no type
    return (seen.confidence * distance).sum(1) / seen.confidence.sum(1)


def _visibility(encoding: Encoding) -> Tensor:
    """The mean visibility [B] of the landmarks, NaN where the backbone has none."""
    if encoding.landmarks is None:
        return torch.full((len(encoding.vector),), torch.nan, dtype=torch.float64)
    return exact(encoding.landmarks[..., 2].mean(dim=1))


def rest_pelvis(body: Body) -> RestPelvis:
    """The pelvis of a body at rest, from its betas."""
    template, directions = (torch.from_numpy(np.asarray(a[0], dtype=np.float64)) for a in body.data.joints_linear())
    return lambda betas: template + exact(betas) @ directions.mT
