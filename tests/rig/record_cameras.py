# SPDX-License-Identifier: GPL-3.0-or-later
"""Records a body in Blender's world and the cameras around it, for `tests/engine/test_blender_rig.py`.

    python -m tests.rig.record_cameras

Runs in a Python with bpy, in the repository's root. The body is the add-on's, posed by Blender; the projections are
Blender's own, while K, R and t are what the add-on reads from the same cameras.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler

from refit_blender.results import read_body
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras

from .render import AZIMUTHS, matrices, place_camera, set_render

ROOT = Path(__file__).parents[2]
BODY = ROOT / "engine" / "refit_engine" / "data" / "body.npz"
REFERENCE = ROOT / "tests" / "data" / "blender_rig.npz"


def world_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """[V,3] as Blender deforms them."""
    bpy.context.view_layer.update()
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    flat = np.empty(3 * len(evaluated.data.vertices), dtype=np.float32)
    evaluated.data.vertices.foreach_get("co", flat)
    matrix = np.array(evaluated.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def blenders_matrix(camera: bpy.types.Object) -> np.ndarray:
    """Blender's own projection [4,4]: from world points (x, y, z, 1) to pixels (u w, v w, -, w), first pixel's corner."""
    frame, render = cameras.frame_of(bpy.context.scene), bpy.context.scene.render
    window = camera.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(),
        x=frame.width,
        y=frame.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    view = np.array(camera.matrix_world.normalized().inverted())
    to_pixels = np.diag([frame.width / 2, -frame.height / 2, 1.0, 1.0])
    to_pixels[:2, 3] = frame.width / 2, frame.height / 2
    return to_pixels @ np.array(window) @ view


def main() -> None:
    rng = np.random.default_rng(13)
    bpy.ops.wm.read_homefile(use_empty=True)
    set_render(rng)
    rotmats = np.array([Euler(rng.normal(size=3) * 0.25).to_matrix() for _ in range(24)])
    rotmats[0] = bodies.REST_TO_WORLD @ rotmats[0]
    betas, transl = rng.normal(size=10), np.array([0.3, -0.2, 1.1])
    pose = bodies.Pose(betas, rotmats, transl, np.eye(4), np.array([0.3, -0.2, 0.0]))
    with np.load(BODY) as data:
        landmark_ids = data["landmark_ids"]
    made = bodies.build_body("person", read_body(BODY), pose, bpy.context.scene.collection)
    vertices = world_vertices(made.mesh)
    landmarks = vertices[landmark_ids].mean(axis=1)
    ring = [place_camera(rng, number, 20.0, vertices) for number in range(len(AZIMUTHS))]
    bpy.context.view_layer.update()
    seen = [matrices(camera) for camera in ring]
    frame = cameras.frame_of(bpy.context.scene)
    np.savez_compressed(
        REFERENCE,
        betas=betas,
        rotmats=rotmats,
        transl=transl,
        size=np.array([frame.width, frame.height]),
        K=[K for K, _, _ in seen],
        R=[R for _, R, _ in seen],
        t=[t for _, _, t in seen],
        landmarks=landmarks,
        projection=[blenders_matrix(camera) for camera in ring],
    )


if __name__ == "__main__":
    main()
