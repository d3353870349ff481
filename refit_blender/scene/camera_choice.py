# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cameras a job with several of them takes, and what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import bpy

from ..errors import SourceError
from . import cameras, images
from .assemble import PHOTO_CAMERA

FEWEST = 2

Choice = Literal["SCENE", "SELECTED", "COLLECTION"]


@dataclass(frozen=True)
class Candidate:
    """A camera that was chosen. picture: the name of what is behind it; problem: why it cannot be used, or nothing."""

    camera: bpy.types.Object
    picture: str
    problem: str


def candidates(
    context: bpy.types.Context, choice: Choice, collection: bpy.types.Collection | None = None
) -> list[Candidate]:
    """The chosen cameras in the order of their names. Quick enough for each redraw: no file is opened.

    SCENE leaves out cameras without a picture, and those that were made for a single picture.
    """
    if choice == "SELECTED":
        return _looked_at(context.scene, context.selected_objects)
    if choice == "COLLECTION":
        return _looked_at(context.scene, collection.all_objects if collection else ())
    found = _looked_at(context.scene, context.scene.objects)
    return [one for one in found if one.picture and PHOTO_CAMERA not in one.camera]


def choose(
    context: bpy.types.Context, names: Sequence[str] | None = None, collection: str | None = None
) -> list[Candidate]:
    """The cameras with these names, or those of the collection, or all that have a picture; in the order of their names.

    Raises SourceError for a camera or a collection that is not there.
    """
    scene = context.scene
    if names is not None:
        for name in names:
            if name not in scene.objects or scene.objects[name].type != "CAMERA":
                raise SourceError(f"The scene has no camera “{name}”.")
        return _looked_at(scene, {scene.objects[name] for name in names})
    if collection is None:
        return candidates(context, "SCENE")
    if collection not in bpy.data.collections:
        raise SourceError(f"There is no collection “{collection}”.")
    return candidates(context, "COLLECTION", bpy.data.collections[collection])


def obstacle(found: Sequence[Candidate]) -> str:
    """One sentence that says why these cameras cannot be used together, or nothing."""
    problem = next((one.problem for one in found if one.problem), "")
    if problem:
        return problem
    if len(found) < FEWEST:
        return f"{FEWEST} cameras or more are needed, each with its picture as background image: there is " + (
            f"one, “{found[0].camera.name}”." if found else "none."
        )
    return ""


def _looked_at(scene: bpy.types.Scene, objects: Iterable[bpy.types.Object]) -> list[Candidate]:
    chosen = sorted((item for item in objects if item.type == "CAMERA"), key=lambda item: _natural(item.name))
    return [_look_at(scene, camera) for camera in chosen]


def _look_at(scene: bpy.types.Scene, camera: bpy.types.Object) -> Candidate:
    picture = ""
    if scene not in camera.users_scene:
        # Its own place is not where instances of its collection stand.
        problem = (
            f"Camera “{camera.name}” is not in the scene itself, only in a collection that is not linked to it: "
            "link the collection, or make its instances real (Object › Apply › Make Instances Real)."
        )
        return Candidate(camera, picture, problem)
    try:
        picture = images.camera_background(camera).picture.name
        cameras.lens_of(camera, scene)
    except SourceError as error:
        return Candidate(camera, picture, str(error))
    return Candidate(camera, picture, "")


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts cam_2 before cam_10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
