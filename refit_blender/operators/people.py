# SPDX-License-Identifier: GPL-3.0-or-later
"""Adding people to a reconstruction that is in the scene."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import CollectionProperty, StringProperty

from ..box_canvas import Canvas
from ..errors import SourceError
from ..person_addition import PersonAddition, check_extendable, find_reconstruction
from ..properties_boxes import RefitBox
from ..reconstruction import Finished
from ..scene import occluders, reconstructions
from .boxes import BoxDrawingOperator, camera_canvas
from .job import JobOperator


class REFIT_OT_draw_person(BoxDrawingOperator, bpy.types.Operator):
    """Draw a box around somebody who was missed: the person is added, with the same camera and the same floor"""

    bl_idname = "refit.draw_person"
    bl_label = "Add Person"

    def make_canvas(self, context: bpy.types.Context) -> Canvas:
        known = reconstructions.of(context.active_object)
        if known is None:
            raise SourceError("Select a body of the photo that the person is in.")
        check_extendable(known)
        self._name = known.collection.name
        return camera_canvas(context, known.camera)

    def accepted(self, _context: bpy.types.Context, boxes: list[tuple[int, int, int, int]]) -> set[str]:
        if not boxes:
            return {"CANCELLED"}
        named = [{"name": "", **dict(zip(("left", "top", "width", "height"), box, strict=True))} for box in boxes]
        bpy.ops.refit.add_person("INVOKE_DEFAULT", reconstruction=self._name, boxes=named)
        return {"FINISHED"}


class REFIT_OT_add_person(JobOperator, bpy.types.Operator):
    """Add the people in given boxes to a reconstruction; its camera and its bodies stay as they are"""

    bl_idname = "refit.add_person"
    bl_label = "Add Person in a Box"

    reconstruction: StringProperty(
        name="Reconstruction",
        description="Name of its collection, its camera or one of its bodies",
        options={"SKIP_SAVE"},
    )
    boxes: CollectionProperty(
        name="Boxes", description="In pixels of the picture", type=RefitBox, options={"SKIP_SAVE"}
    )

    def make_job(self, context: bpy.types.Context, folder: Path) -> PersonAddition:
        if not self.boxes:
            raise SourceError("There is no box: draw one around each person.")
        known = find_reconstruction(context.scene, self.reconstruction)
        options = context.scene.refit.job_options(given_boxes=False)
        return PersonAddition(context, known, [box.numbers() for box in self.boxes], options, folder)

    def built(self, context: bpy.types.Context, finished: Finished) -> None:
        outcome = finished.outcome
        occluders.look(context, [outcome.camera], [made.rig for made in outcome.bodies])
