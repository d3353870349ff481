# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of a folder in the scene: a collection each, in one for the folder; one clip at a time is seen."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from pathlib import Path

import bpy

from . import cameras, reconstructions
from .assemble import leave_edit_mode, select_bodies
from .names import shorten
from .reconstructions import Reconstruction

_FOLDER = "refit_folder"
"""On a collection: the folder whose clips are in it."""


def put_into_folder(scene: bpy.types.Scene, collection: bpy.types.Collection, folder: Path) -> None:
    """Move a new clip's collection from the scene into the collection of its folder, which is made if need be."""
    source = str(folder.absolute())
    own = [one for one in scene.collection.children_recursive if one.library is None and one.override_library is None]
    parent = next((one for one in own if one.get(_FOLDER) == source), None)
    if parent is None:
        parent = bpy.data.collections.new(shorten(folder.absolute().name))
        parent[_FOLDER] = source
        scene.collection.children.link(parent)
    parent.children.link(collection)
    scene.collection.children.unlink(collection)


def body_counts(scene: bpy.types.Scene) -> list[int]:
    """For each row of the scene's table of clips, how many of its bodies are in the scene: users may delete them."""
    there = set(scene.objects)
    clips = (row.collection for row in scene.refit.clips)
    return [0 if clip is None else len(Reconstruction(clip).bodies_among(there)) for clip in clips]


def is_deleted(row: bpy.types.PropertyGroup, bodies: int) -> bool:
    """Whether the bodies of a row of the table are gone, by how many are there; a clip that failed never had any."""
    return not bodies and not (row.failed and row.collection is None)


def index_of(scene: bpy.types.Scene, footage: str) -> int | None:
    """The row of the clip from this file that an update changes: of several, the latest with bodies in the scene."""
    counted = enumerate(zip(scene.refit.clips, body_counts(scene), strict=True))
    known = {index: Reconstruction(row.collection) for index, (row, bodies) in counted if bodies}
    same = [index for index, one in known.items() if one.footage == footage]
    return max(same, key=lambda index: known[index].number, default=None)


def set_hidden(collection: bpy.types.Collection, hidden: bool) -> None:
    """Hide a clip's collection in viewports and renders, or show it."""
    collection.hide_viewport = collection.hide_render = hidden


def show_clip(context: bpy.types.Context, clips: Iterable[bpy.types.Collection], chosen: bpy.types.Collection) -> None:
    """Hide all clips but one, select its bodies, and let the scene have its camera.

    The scene's frame stays, unless the clip does not move there.
    """
    leave_edit_mode(context)  # before an armature in Edit or Pose mode is hidden
    for clip in clips:
        set_hidden(clip, clip != chosen)
    scene, known = context.scene, Reconstruction(chosen)
    if known.own_camera and known.K is not None and known.size:
        scene.camera = known.camera
        cameras.set_frame(scene, cameras.lens_from_intrinsics(known.K, *known.size)[1])
    rigs = [rig for rig in known.bodies.values() if rig.name in context.view_layer.objects]
    if not rigs:  # all deleted, or excluded from the view layer
        return
    select_bodies(context, rigs)
    spans = [rig.animation_data.action.frame_range for rig in rigs if rig.animation_data and rig.animation_data.action]
    if spans and not any(first <= scene.frame_current <= last for first, last in spans):
        scene.frame_set(int(min(first for first, _ in spans)))


@contextlib.contextmanager
def known_shown(scene: bpy.types.Scene, number: int | None) -> Generator[None, None, None]:
    """Show a reconstruction's collection: bodies that are hidden cannot be updated. On an error it is as it was before."""
    known = None if number is None else reconstructions.numbered(scene, number)
    if known is None:
        yield
        return
    clip = known.collection
    before = clip.hide_viewport, clip.hide_render
    set_hidden(clip, False)
    try:
        yield
    except BaseException:
        clip.hide_viewport, clip.hide_render = before
        raise
