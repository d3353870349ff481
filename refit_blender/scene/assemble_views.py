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
from .body import BodyObjects, Pose, build_body, note
from .confidence import note_confidence
from .keying import key_pose
from .placement import ground_under
from .views import CameraView

VIEWS_PROPERTY = "refit_views"


@dataclass(frozen=True)
class ViewsOutcome:
    """What a job with several cameras put into the scene."""

    collection: bpy.types.Collection
    bodies: tuple[BodyObjects, ...]


def assemble_views(
    context: bpy.types.Context, name: str, views: Sequence[CameraView], result: MultiViewResult, body: Body
) -> ViewsOutcome:
    """Make the bodies of several cameras. On any error the scene is left as it was."""
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    with nothing_left_on_error():
        made_here = reconstructions.start(scene, name, "views")
        collection = made_here.collection
        made_here.add_frame(scene.frame_current)
        bodies = []
        for index, person in enumerate(result.people):
            pelvis = body.joints(person.betas)[0] + person.transl
            ground = ground_under(pelvis, person.vertices)
            pose = Pose(person.betas, person.rotmats, person.transl, np.eye(4), ground, unit)
            made = build_body(f"{name} person {index + 1}", body, pose, collection)
            _note_parameters(made.rig, person, result)
            if person.confidence:
                note_confidence(made.rig, person.confidence)
            made.rig[VIEWS_PROPERTY] = [
                _view_notes(scene, taken, seen, fitted)
                for taken, seen, fitted in zip(views, person.views, result.views, strict=True)
            ]
            made_here.add_body(made.rig)
            key_pose(made.rig, scene.frame_current)
            bodies.append(made)
    select_bodies(context, [made.rig for made in bodies])
    return ViewsOutcome(collection, tuple(bodies))


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


def _view_notes(scene: bpy.types.Scene, taken: CameraView, seen: PersonInView, fitted: ResultView) -> dict[str, object]:
    notes = {
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
