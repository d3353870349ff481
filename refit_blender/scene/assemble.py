# SPDX-License-Identifier: GPL-3.0-or-later
"""A result becomes objects in the scene: all of them, or none."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..results import Body, ImageResult, Person
from . import cameras, images, placement, reconstructions
from .armature import rest_of
from .body import BodyObjects, Pose, build_body, note
from .clipping import suit_to_unit
from .confidence import note_confidence
from .guesses import note_guesses
from .keying import key_pose
from .names import person_name, stem_of
from .reconstructions import Up
from .rigs import DEFAULT_STYLE, REST_TO_WORLD, RigStyle
from .sources import Source
from .upright import settle

# Marks cameras that were made for a single picture.
PHOTO_CAMERA = "refit_photo_camera"

_KINDS = (
    "objects", "meshes", "armatures", "cameras", "images", "movieclips", "materials", "actions", "collections"
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a reconstruction put into the scene, or updated there.

    camera_made: it is new, rather than the scene's own.
    """

    collection: bpy.types.Collection
    camera: bpy.types.Object
    bodies: tuple[BodyObjects, ...]
    camera_made: bool = False


def assemble(
    context: bpy.types.Context,
    source: Source,
    result: ImageResult,
    body: Body,
    temporary: Path,
    *,
    frame: int,
    style: RigStyle = DEFAULT_STYLE,
    pack: bool = False,
) -> Outcome:
    """Make camera and bodies of one picture, keyed at a frame. On any error the scene is left as it was.

    Without a camera of its own, the first person stands at the 3D cursor, and the camera where that puts it.
    temporary: a folder that will be deleted; a picture in there is packed into the file, as others are by `pack`.
    """
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    camera = scene.objects.get(source.camera) if source.camera else None
    with nothing_left_on_error():
        made_here = reconstructions.start(scene, source.name, "photo")
        up = Up(result.up_cam, result.up_source, result.up_std_deg, result.up_sure)
        floor = None
        camera_to_world = source.camera_to_world
        if camera_to_world is None:
            cursor = np.array(scene.cursor.location) * unit
            first = pelvis_cam(body, result.people[0])
            camera_to_world = placement.standing_camera(up.cam, result.camera_height, first, cursor)
            floor = float(cursor[2])
        view_frame = None
        if camera is None:  # none was there, or it was deleted in the meantime
            camera, view_frame = _make_camera(source, result, camera_matrix(camera_to_world, unit), temporary, pack)
            suit_to_unit(cameras.data_of(camera), unit, depths(result)[1])
            made_here.collection.objects.link(camera)
        made_here.note_picture(camera, view_frame is not None, source.footage, result.size, result.K)
        made_here.add_frame(frame)
        settle(made_here, up)
        view = PhotoView(source, result, camera, camera_to_world, unit, floor, style)
        names = [person_name(source.name, index + 1) for index in range(len(result.people))]
        names = names if len(names) > 1 else [stem_of(source.name)]
        bodies = tuple(add_person(made_here, name, body, index, view) for index, name in enumerate(names))
        for made in bodies:
            key_pose(made.rig, frame)
    if view_frame:
        cameras.set_frame(scene, view_frame)
        scene.camera = camera
    select_bodies(context, [made.rig for made in bodies])
    return Outcome(made_here.collection, camera, bodies, view_frame is not None)


def _make_camera(
    source: Source, result: ImageResult, matrix: Matrix, temporary: Path, pack: bool
) -> tuple[bpy.types.Object, cameras.Frame]:
    """A camera that matches the picture and has it as its background, linked nowhere yet; and the frame it needs."""
    camera, frame = cameras.create_camera(f"{stem_of(source.name)} camera", result.K, *result.size)
    camera.matrix_world = matrix
    # Fit from Cameras shall not take it for one whose place is known.
    camera[PHOTO_CAMERA] = True
    pack = pack or temporary in result.image.parents
    images.show_behind(camera, result.image, source.footage, pack=pack)
    return camera, frame


@dataclass(frozen=True)
class PhotoView:
    """A picture's result, and the camera that saw it: camera_to_world [4,4] (OpenCV axes, metres).

    floor: the height of the floor in the world, metres, or None where it is under each body. style: of new bodies.
    """

    source: Source
    result: ImageResult
    camera: bpy.types.Object
    camera_to_world: np.ndarray
    unit: float
    floor: float | None
    style: RigStyle

    def pose(self, body: Body, index: int) -> Pose:
        """Where and how a person stands; the rig's origin is on the floor under the pelvis."""
        person, matrix = self.result.people[index], self.camera_to_world
        pelvis = matrix[:3, :3] @ pelvis_cam(body, person) + matrix[:3, 3]
        ground = placement.ground_under(pelvis, person.vertices_cam @ matrix[:3, :3].T + matrix[:3, 3])
        if self.floor is not None:
            ground[2] = self.floor
        return Pose(person.betas, person.rotmats, person.transl, matrix, ground, self.unit)


def add_person(
    reconstruction: reconstructions.Reconstruction, name: str, body: Body, index: int, view: PhotoView
) -> BodyObjects:
    """Build the body of one person of a result, and take it into the reconstruction."""
    made = build_body(name, body, view.pose(body, index), reconstruction.collection, view.style)
    note_person(made.rig, index, view)
    reconstruction.add_body(made.rig)
    return made


def pelvis_cam(body: Body, person: Person) -> np.ndarray:
    """The pelvis [3] of a person in the camera frame."""
    return body.joints(person.betas)[0] + person.transl


def assemble_shape(
    context: bpy.types.Context, body: Body, betas: np.ndarray, body_file: Path, kind: str, style: RigStyle
) -> BodyObjects:
    """Make a body of a shape [10] in its rest pose, standing on the 3D cursor. On any error the scene is left as it was."""
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    ground = np.array(scene.cursor.location) * unit
    rest_to_world = np.eye(4)
    rest_to_world[:3, :3], rest_to_world[:3, 3] = REST_TO_WORLD, ground
    rotmats = np.tile(np.eye(3), (len(body.parents), 1, 1))
    with nothing_left_on_error():
        collection = bpy.data.collections.new("ReFit shape")
        scene.collection.children.link(collection)
        pose = Pose(betas, rotmats, rest_of(style.kind, body, betas).shift, rest_to_world, ground, unit)
        made = build_body("shape", body, pose, collection, style)
        note(made.rig, betas=betas.tolist(), body_file=str(body_file), body_kind=kind)
    select_bodies(context, [made.rig])
    return made


def depths(result: ImageResult) -> tuple[float, float]:
    """How near and how far the bodies of a picture reach along the camera's view, metres."""
    along = np.concatenate([person.vertices_cam[:, 2] for person in result.people])
    return float(along.min()), float(along.max())


def camera_matrix(camera_to_world: np.ndarray, unit: float) -> Matrix:
    """matrix_world of a camera object from camera_to_world [4,4] (OpenCV axes, metres)."""
    R = camera_to_world[:3, :3].T
    return Matrix(cameras.camera_matrix_world(R, -R @ camera_to_world[:3, 3] / unit).tolist())


def note_person(rig: bpy.types.Object, index: int, view: PhotoView) -> None:
    """Keep the exact numbers and where they come from on the rig, as custom properties."""
    result, person = view.result, view.result.people[index]
    note(
        rig,
        betas=person.betas.tolist(),
        rotmats=person.rotmats.ravel().tolist(),
        transl=person.transl.tolist(),
        K=result.K.ravel().tolist(),
        focal_source=result.focal_source,
        image=view.source.footage,
        image_size=list(result.size),
        box_xywh=person.box_xywh.tolist(),
        on_floor=bool(result.on_floor[index]),
        body_file=str(result.body_file),
        body_kind=result.body_kind,
        weights=result.weights_name,
        engine_version=result.engine_version,
        iterations=result.iterations,
        camera=view.camera,
    )
    rig.pop("refit_score", None)
    if math.isfinite(person.score):  # a given box has none
        note(rig, score=person.score)
    note_guesses(rig, person.guessed)
    if person.confidence:
        note_confidence(rig, person.confidence)


def leave_edit_mode(context: bpy.types.Context) -> None:
    """Objects can be made in Object mode only."""
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")


def select_bodies(context: bpy.types.Context, rigs: list[bpy.types.Object]) -> None:
    for selected in context.selected_objects:
        selected.select_set(False)
    for rig in rigs:
        rig.select_set(True)
    context.view_layer.objects.active = rigs[0]


@contextlib.contextmanager
def nothing_left_on_error() -> Generator[None, None, None]:
    """Remove the data blocks that were made inside, if it raises; make the active object active again."""
    active = bpy.context.view_layer.objects.active
    before = {kind: {block.as_pointer() for block in getattr(bpy.data, kind)} for kind in _KINDS}
    try:
        yield
    except BaseException:
        made = [block for kind in _KINDS for block in getattr(bpy.data, kind) if block.as_pointer() not in before[kind]]
        bpy.data.batch_remove(made)
        bpy.context.view_layer.objects.active = active
        raise
