# SPDX-License-Identifier: GPL-3.0-or-later
"""A result moves bodies that are in the scene already: the same people, posed and keyed at the current frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..errors import SourceError
from ..results import Body, ImageResult
from . import cameras, images, ownership, placement, upright
from .armature import check_visible
from .assemble import (
    Outcome,
    PhotoView,
    add_person,
    camera_matrix,
    leave_edit_mode,
    note_person,
    nothing_left_on_error,
    pelvis_cam,
    select_bodies,
)
from .body import BodyObjects, body_mesh, set_shape
from .frames import number_of
from .ik import check_no_ik
from .keying import key_pose, pose_bones, set_pose
from .names import person_name
from .recognition import camera_place
from .reconstructions import Reconstruction, Up, check_own
from .rigs import RigStyle
from .sources import Source


@dataclass(frozen=True)
class Part:
    """A result, and which of its people is which body: their numbers by the people's indices. Others are new."""

    result: ImageResult
    known: Mapping[int, int]


def update_photo(
    context: bpy.types.Context,
    known: Reconstruction,
    source: Source,
    parts: Sequence[Part],
    body: Body,
    style: RigStyle,
    *,
    redo: bool,
) -> Outcome:
    """Pose bodies and key them at the current frame. On any error the scene is left as it was.

    style: of bodies that are added; redo: everybody is solved anew, with shape and camera; otherwise bodies keep their shape and the camera its place.
    """
    camera = known.camera
    if camera is None:
        raise SourceError("The camera of these bodies was deleted while the job ran.")
    rigs = known.bodies
    for part in parts:
        for number in part.known.values():
            check_reposable(rigs.get(number), str(part.result.body_file), shape=redo)
        if len(part.known) < len(part.result.people):
            check_own(known)
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    place = camera_place(known, source, context)
    if redo and source.camera is None:
        place = _place_again(known, parts[0], rigs, place, body, unit)
    floor = float(next(iter(rigs.values())).matrix_world.translation.z) * unit if known.own_camera else None
    views = [PhotoView(source, part.result, camera, place, unit, floor, style) for part in parts]
    with nothing_left_on_error():
        done = [
            _add(known, source, body, index, view, scene.frame_current)
            for part, view in zip(parts, views, strict=True)
            for index in range(len(part.result.people))
            if index not in part.known
        ]
    for part, view in zip(parts, views, strict=True):
        for index, number in part.known.items():
            _repose(rigs[number], body, index, view, scene.frame_current, shape=redo)
            done.append(BodyObjects(rigs[number], body_mesh(rigs[number])))
    if redo and source.camera is None:
        _renew_camera(scene, known, camera, place, unit, parts[0].result)
    elif known.own_camera and source.camera is None and known.footage != source.footage:
        offset = _offset(known, source, scene.frame_current)
        images.show_instead(camera, parts[0].result.image, source.footage, offset)
    known.add_frame(scene.frame_current)
    select_bodies(context, [one.rig for one in done])
    return Outcome(known.collection, camera, tuple(done))


def _offset(known: Reconstruction, source: Source, frame: int) -> int | None:
    """By how much picture numbers run ahead of the frames, where they do so equally at the first and at this one."""
    ahead = number_of(Path(source.footage)) - frame
    return ahead if number_of(Path(known.footage)) - known.frames[0] == ahead else None


def check_reposable(rig: bpy.types.Object | None, body_file: str, *, shape: bool) -> None:
    """Raises SourceError where a rig cannot take poses of a result with this body file, and shapes if need be."""
    if rig is None:
        raise SourceError("A body was deleted while the job ran.")
    if rig.name not in bpy.context.view_layer.objects:
        raise SourceError(f"“{rig.name}” is not in this view layer: include its collection, or set Next Press to New.")
    if rig.get("refit_body_file") != body_file:
        raise SourceError(f"“{rig.name}” has another body file: choose that, or set Next Press to New in Preferences.")
    check_movable(rig)
    pose_bones(rig)
    if shape:
        check_visible(rig)


def check_movable(*rigs: bpy.types.Object) -> None:
    """Raises SourceError where a rig, its mesh or its action is another file's, or its limbs follow controls."""
    for rig in rigs:
        ownership.check_own(rig, body_mesh(rig))
        ownership.check_action(rig)
    check_no_ik(*rigs)


def _add(known: Reconstruction, source: Source, body: Body, index: int, view: PhotoView, frame: int) -> BodyObjects:
    made = add_person(known, person_name(source.name, known.next_number), body, index, view)
    key_pose(made.rig, frame)
    return made


def _repose(rig: bpy.types.Object, body: Body, index: int, view: PhotoView, frame: int, *, shape: bool) -> None:
    pose = view.pose(body, index)
    joints = body.joints(pose.betas)
    lens = rig.get("refit_focal_source")
    if shape:
        set_shape(rig, body, pose.betas)
    set_pose(rig, pose.world_rotations(), pose.pelvis(joints) / view.unit)
    key_pose(rig, frame)
    note_person(rig, index, view)
    if not shape and lens:  # given by the add-on now, which is not where it comes from
        rig["refit_focal_source"] = lens


def _place_again(
    known: Reconstruction, part: Part, rigs: Mapping[int, bpy.types.Object], place: np.ndarray, body: Body, unit: float
) -> np.ndarray:
    """Where the photo's camera goes so that the first person keeps their ground, and the camera its heading."""
    result = part.result
    up, height = result.up_cam, result.camera_height
    standing = upright.standing_up(known)
    if standing is not None and upright.set_by_hand(known):
        up = standing
        touching = [person for person, on in zip(result.people, result.on_floor, strict=True) if on] or result.people
        height = -min(float((person.vertices_cam @ up).min()) for person in touching)
    heading = placement.heading_of(place, up if standing is None else standing)
    index = min(part.known)
    ground = np.array(rigs[part.known[index]].matrix_world.translation) * unit
    return placement.standing_camera(up, height, pelvis_cam(body, result.people[index]), ground, heading)


def _renew_camera(
    scene: bpy.types.Scene,
    known: Reconstruction,
    camera: bpy.types.Object,
    place: np.ndarray,
    unit: float,
    result: ImageResult,
) -> None:
    camera.matrix_world = camera_matrix(place, unit)
    cameras.set_frame(scene, cameras.set_lens(cameras.data_of(camera), result.K, *result.size))
    known.note_picture(camera, True, known.footage, result.size, result.K)
    up = Up(result.up_cam, result.up_source, result.up_std_deg, result.up_sure)
    if upright.set_by_hand(known):
        known.note_up(up)
    else:
        upright.settle(known, up)
