# SPDX-License-Identifier: GPL-3.0-or-later
"""A result becomes objects in the scene: all of them, or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..results import Body, ImageResult, Person
from . import cameras, images, reconstructions
from .body import REST_TO_WORLD, BodyObjects, Pose, build_body, note
from .confidence import note_confidence
from .reconstructions import Up
from .sources import Source

# Marks cameras that were made for a single picture.
PHOTO_CAMERA = "refit_photo_camera"

_KINDS = ("objects", "meshes", "armatures", "cameras", "images", "movieclips", "materials", "collections")


@dataclass(frozen=True)
class Outcome:
    """What a reconstruction put into the scene."""

    collection: bpy.types.Collection
    camera: bpy.types.Object
    bodies: tuple[BodyObjects, ...]


def assemble(context: bpy.types.Context, source: Source, result: ImageResult, body: Body, temporary: Path) -> Outcome:
    """Make camera and bodies of one picture. On any error the scene is left as it was.

    temporary: a folder that will be deleted; a picture in there is packed into the file.
    """
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    camera = scene.objects.get(source.camera) if source.camera else None
    with nothing_left_on_error():
        made_here = reconstructions.start(scene, source.name, "photo")
        collection = made_here.collection
        camera_to_world = _standing_camera(result) if source.camera_to_world is None else source.camera_to_world
        frame = None
        if camera is None:  # none was there, or it was deleted in the meantime
            camera, frame = cameras.create_camera(f"{source.name} camera", result.K, *result.size)
            collection.objects.link(camera)
            camera.matrix_world = _matrix_world(camera_to_world, unit)
            # Fit from Cameras shall not take it for one whose place is known.
            camera[PHOTO_CAMERA] = True
            images.show_behind(camera, result.image, source.picture.name, pack=temporary in result.image.parents)
        made_here.note_picture(camera, frame is not None, source.footage, result.size, result.K)
        made_here.note_up(Up(result.up_cam, result.up_source, result.up_std_deg, result.up_sure))
        made_here.add_frame(scene.frame_current)
        bodies = []
        for index, person in enumerate(result.people):
            name = source.name if len(result.people) == 1 else f"{source.name} person {index + 1}"
            made = build_body(name, body, _pose(person, camera_to_world, unit), collection)
            _note_parameters(made.rig, person, source, result, camera)
            made_here.add_body(made.rig)
            bodies.append(made)
    if frame:
        cameras.set_frame(scene, frame)
        scene.camera = camera
    select_bodies(context, [made.rig for made in bodies])
    return Outcome(collection, camera, tuple(bodies))


def assemble_shape(
    context: bpy.types.Context, body: Body, betas: np.ndarray, body_file: Path, kind: str
) -> BodyObjects:
    """Make a body of a shape [10] in its rest pose, standing on the 3D cursor. On any error the scene is left as it was."""
    leave_edit_mode(context)
    scene = context.scene
    unit = cameras.metres_per_unit(scene)
    ground = np.array(scene.cursor.location) * unit
    rest_to_world = np.eye(4)
    rest_to_world[:3, :3], rest_to_world[:3, 3] = REST_TO_WORLD, ground
    vertices = body.v_template + body.shapedirs @ betas
    rotmats = np.tile(np.eye(3), (len(body.parents), 1, 1))
    with nothing_left_on_error():
        collection = bpy.data.collections.new("ReFit shape")
        scene.collection.children.link(collection)
        standing = np.array([0.0, -float(vertices[:, 1].min()), 0.0])
        made = build_body("shape", body, Pose(betas, rotmats, standing, rest_to_world, ground, unit), collection)
        note(made.rig, betas=betas.tolist(), body_file=str(body_file), body_kind=kind)
    select_bodies(context, [made.rig])
    return made


def _standing_camera(result: ImageResult) -> np.ndarray:
    """camera_to_world [4,4] (OpenCV axes) of a camera above the world's origin that looks towards +Y; the floor is Z = 0."""
    up = result.up_cam / np.linalg.norm(result.up_cam)
    ahead = np.array([0.0, 0, 1]) - up * up[2]
    if np.linalg.norm(ahead) < 1e-3:  # straight up or down: the picture's top decides
        ahead = np.array([0.0, -1, 0]) + up * up[1]
    ahead /= np.linalg.norm(ahead)
    matrix = np.eye(4)
    matrix[:3, :3] = [np.cross(ahead, up), ahead, up]
    matrix[2, 3] = result.camera_height
    return matrix


def _matrix_world(camera_to_world: np.ndarray, unit: float) -> Matrix:
    R = camera_to_world[:3, :3].T
    return Matrix(cameras.camera_matrix_world(R, -R @ camera_to_world[:3, 3] / unit))


def _pose(person: Person, camera_to_world: np.ndarray, unit: float) -> Pose:
    vertices = person.vertices_cam @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]
    return Pose(person.betas, person.rotmats, person.transl, camera_to_world, ground_under(vertices), unit)


def ground_under(vertices: np.ndarray) -> np.ndarray:
    """The place [3] on the ground under the middle of a body's vertices [V,3], Z up."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])


def _note_parameters(
    rig: bpy.types.Object, person: Person, source: Source, result: ImageResult, camera: bpy.types.Object
) -> None:
    """Keep the exact numbers and where they come from on the rig, as custom properties."""
    note(
        rig,
        betas=person.betas.tolist(),
        rotmats=person.rotmats.ravel().tolist(),
        transl=person.transl.tolist(),
        K=result.K.ravel().tolist(),
        focal_source=result.focal_source,
        image=source.footage,
        image_size=list(result.size),
        box_xywh=person.box_xywh.tolist(),
        score=person.score,
        body_file=str(result.body_file),
        body_kind=result.body_kind,
        weights=result.weights_name,
        engine_version=result.engine_version,
        iterations=result.iterations,
        camera=camera,
    )
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
def nothing_left_on_error() -> Iterator[None]:
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
