# SPDX-License-Identifier: GPL-3.0-or-later
"""A person whom a reconstruction of one picture has missed: same camera, same floor, the others stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import bpy

from .engine_job import Options
from .errors import SourceError
from .reconstruction import Finished, PhotoJob
from .results import Body, ImageResult
from .scene import cameras, reconstructions
from .scene.assemble import Outcome
from .scene.reconstructions import Reconstruction, check_own
from .scene.sources import Source, camera_source
from .scene.updating import Part, update_photo

# Metres: who is farther from the others' floor is named.
OFF_FLOOR = 0.05


class PersonAddition(PhotoJob):
    """The job: the people in given boxes (x, y, w, h) of a reconstruction's picture, seen through its camera."""

    def __init__(
        self,
        context: bpy.types.Context,
        known: Reconstruction,
        boxes: Sequence[Sequence[float]],
        options: Options,
        folder: Path,
    ) -> None:
        check_extendable(known)
        self._number = known.number
        super().__init__(known_source(context, known, folder), replace(options, boxes=boxes, height=None), folder)

    def finish(self, context: bpy.types.Context) -> Finished:
        floor = _floor(context, self._known(context))
        finished = super().finish(context)
        place = self.source.camera_to_world
        remarks = []
        for made, person in zip(finished.outcome.bodies, finished.result.people, strict=True):
            lowest = float((person.vertices_cam @ place[2, :3] + place[2, 3]).min())
            if abs(lowest - floor) > OFF_FLOOR:
                where = "above" if lowest > floor else "below"
                remarks.append(f"{made.rig.name} is {abs(lowest - floor):.2f} m {where} the floor of the others.")
        return replace(finished, messages=(*finished.messages, *remarks), added=True)

    def _known(self, context: bpy.types.Context) -> Reconstruction:
        """The reconstruction as it is now. Raises SourceError where no person can be added to it any more."""
        known = reconstructions.numbered(context.scene, self._number)
        if known is None:
            raise SourceError("The reconstruction was removed while the job ran.")
        check_extendable(known)
        return known

    def _assemble(self, context: bpy.types.Context, result: ImageResult, body: Body) -> Outcome:
        known = self._known(context)
        lens = next(iter(known.bodies.values())).get("refit_focal_source")
        outcome = update_photo(context, known, self.source, [Part(result, {})], body, self._style, redo=False)
        for made in outcome.bodies if lens else ():
            # The add-on gave it, which is not where it comes from.
            made.rig["refit_focal_source"] = lens
        return outcome


def known_source(context: bpy.types.Context, known: Reconstruction, folder: Path) -> Source:
    """The picture of a reconstruction, with its camera as it stands. Raises SourceError."""
    source = camera_source(context.scene, context.evaluated_depsgraph_get(), folder, known.camera)
    if not known.own_camera:
        return replace(source, footage=known.footage)
    # The scene may have got another frame since, in which the background lies otherwise.
    K = source.K if known.K is None else known.K
    height = float(source.camera_to_world[2, 3]) - _floor(context, known)
    return replace(source, name=Path(known.footage).stem, footage=known.footage, K=K, camera_height=height)


def _floor(context: bpy.types.Context, known: Reconstruction) -> float:
    """The floor's height in metres: a rig's origin lies on the ground under its body."""
    return next(iter(known.bodies.values())).matrix_world.translation.z * cameras.metres_per_unit(context.scene)


def check_extendable(known: Reconstruction) -> None:
    """Raises SourceError, in one sentence, where no person can be added to a reconstruction."""
    if known.kind == "motion":
        raise SourceError("These bodies come from a video: draw a box and press Reconstruct Motion.")
    if known.kind != "photo":
        raise SourceError("These bodies come from several cameras: press Fit from Cameras again.")
    if known.camera is None:
        raise SourceError("The photo's camera was deleted: press Reconstruct again.")
    if not known.bodies:
        raise SourceError("The photo's bodies were deleted: press Reconstruct again.")
    check_own(known)


def find_reconstruction(scene: bpy.types.Scene, name: str) -> Reconstruction:
    """The reconstruction with a collection, a camera or a body of this name. Raises SourceError."""
    for one in reconstructions.in_scene(scene):
        if one.collection.name == name:
            return one
    found = reconstructions.of(scene.objects.get(name))
    if found is None:
        raise SourceError(f"The scene has no reconstruction “{name}”.")
    return found
