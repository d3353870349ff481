# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of several cameras becomes bodies that stand in the world: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..multiview_results import MultiViewResult, PersonInView, ResultView, WorldPerson
from ..results import Body
from . import cameras, reconstructions
from .assemble import leave_edit_mode, nothing_left_on_error, select_bodies
from .body import BodyObjects, Pose, body_mesh, build_body, note, set_shape
from .confidence import note_confidence
from .guesses import note_guesses
from .keying import key_pose, pelvis_of, set_pose
from .names import person_name
from .placement import ground_under
from .recognition import nearest_pairs
from .reconstructions import Reconstruction, in_scene
from .rigs import DEFAULT_STYLE, RigStyle
from .updating import check_reposable
from .views import CameraView

VIEWS_PROPERTY = "refit_views"
FARTHEST_MOVE = 1.5
"""Metres between two presses, where somebody has come or gone; people keep about a metre from each other."""


@dataclass(frozen=True)
class ViewsOutcome:
    """What a job with several cameras put into the scene; updated: how many of the bodies were there before."""

    collection: bpy.types.Collection
    bodies: tuple[BodyObjects, ...]
    updated: int = 0


def known_views(scene: bpy.types.Scene, views: Sequence[CameraView], kind: str) -> Reconstruction | None:
    """The latest reconstruction from these cameras with a body model of this kind, which another press updates."""
    names = {view.name for view in views}
    for known in in_scene(scene):
        rigs = known.bodies.values()
        if (
            known.kind == "views"
            and rigs
            and all(rig.get("refit_body_kind", kind) == kind for rig in rigs)
            and all({view["name"] for view in rig.get(VIEWS_PROPERTY, ())} == names for rig in rigs)
        ):
            return known
    return None


def assemble_views(
    context: bpy.types.Context,
    name: str,
    views: Sequence[CameraView],
    result: MultiViewResult,
    body: Body,
    style: RigStyle = DEFAULT_STYLE,
    *,
    frame: int,
    known: Reconstruction | None = None,
) -> ViewsOutcome:
    """Make the bodies of several cameras, keyed at a frame. On any error the scene is left as it was.

    style: of new bodies; known: its bodies are posed anew instead; people who are not among them are added.
    """
    leave_edit_mode(context)
    unit = cameras.metres_per_unit(context.scene)
    poses = [_pose(person, body, unit) for person in result.people]
    joints = [body.joints(person.betas) for person in result.people]
    rigs = _recognise(known, [pose.pelvis(rest) for pose, rest in zip(poses, joints, strict=True)], unit)
    redo = known is not None and known.frames == [frame]
    for rig in rigs.values():
        check_reposable(rig, str(result.body_file), shape=redo)
    if known and len(rigs) < len(poses):
        reconstructions.check_own(known)
    bodies: dict[int, BodyObjects] = {}
    with nothing_left_on_error():
        made_here = known or reconstructions.start(context.scene, name, "views")
        for index in sorted(set(range(len(poses))) - set(rigs)):
            title = person_name(name, made_here.next_number)
            bodies[index] = build_body(title, body, poses[index], made_here.collection, style)
            made_here.add_body(bodies[index].rig)
    for index, rig in rigs.items():
        if redo:
            set_shape(rig, body, poses[index].betas)
        set_pose(rig, poses[index].world_rotations(), poses[index].pelvis(joints[index]) / unit)
        bodies[index] = BodyObjects(rig, body_mesh(rig))
    for index, person in enumerate(result.people):
        rig = bodies[index].rig
        key_pose(rig, frame)
        _note_parameters(rig, person, result)
        rig[VIEWS_PROPERTY] = [
            _view_notes(context.scene, taken, seen, fitted)
            for taken, seen, fitted in zip(views, person.views, result.views, strict=True)
        ]
    made_here.add_frame(frame)
    made = tuple(bodies[index] for index in range(len(poses)))
    select_bodies(context, [one.rig for one in made])
    return ViewsOutcome(made_here.collection, made, updated=len(rigs))


def _pose(person: WorldPerson, body: Body, unit: float) -> Pose:
    ground = ground_under(body.joints(person.betas)[0] + person.transl, person.vertices)
    return Pose(person.betas, person.rotmats, person.transl, np.eye(4), ground, unit)


def _recognise(
    known: Reconstruction | None, pelvises: Sequence[np.ndarray], unit: float
) -> dict[int, bpy.types.Object]:
    """Which person, by their pelvis [3] in metres, is which rig: the nearest, not too far away unless all are there."""
    rigs = known.bodies if known else {}
    places = {number: pelvis_of(rig) * unit for number, rig in rigs.items()}
    distances = {
        (index, number): float(np.linalg.norm(pelvis - place))
        for index, pelvis in enumerate(pelvises)
        for number, place in places.items()
    }
    limit = np.inf if len(rigs) == len(pelvises) else FARTHEST_MOVE
    return {index: rigs[number] for index, number in nearest_pairs(distances, limit).items()}


def _note_parameters(rig: bpy.types.Object, person: WorldPerson, result: MultiViewResult) -> None:
    """Keep the exact numbers and where they come from on the rig, as custom properties."""
    note(
        rig,
        frame="world, SMPL's rest frame Y up, metres",
        betas=person.betas.tolist(),
        rotmats=person.rotmats.ravel().tolist(),
        transl=person.transl.tolist(),
        body_file=str(result.body_file),
        body_kind=result.body_kind,
        weights=result.weights_name,
        engine_version=result.engine_version,
        iterations=result.iterations,
    )
    note_guesses(rig, person.guessed)
    if person.confidence:
        note_confidence(rig, person.confidence)


def _view_notes(scene: bpy.types.Scene, taken: CameraView, seen: PersonInView, fitted: ResultView) -> dict[str, object]:
    notes: dict[str, object] = {
        "name": taken.name,
        "used": seen.used,
        "reason": seen.reason,
        "weight": seen.weight,
        "image": str(fitted.image),
        "image_size": list(taken.size),
        "K": fitted.K.ravel().tolist(),
        "R_world2cam": fitted.R.ravel().tolist(),
        "t_world2cam": fitted.t.tolist(),
    }
    if seen.error_px is not None:
        notes["reprojection_error_px"] = seen.error_px
    if seen.box_xywh is not None:
        notes["box_xywh"] = seen.box_xywh.tolist()
    if taken.distortion:
        notes["distortion"] = taken.distortion.parameters()
    if taken.name in scene.objects:  # it may have been deleted in the meantime
        notes["camera"] = scene.objects[taken.name]
    return notes
