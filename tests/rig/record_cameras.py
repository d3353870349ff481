# SPDX-License-Identifier: GPL-3.0-or-later
"""Records a body in Blender's world and where Blender's own cameras see its landmarks, for `tests/engine/test_rig.py`.

    python -m tests.rig.record_cameras

Runs in a Python with bpy, in the repository's root. The body is the add-on's, posed by Blender; the pixels come from
Blender's own projection matrix, while K, R and t are what the add-on reads from the same cameras.
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


def blenders_pixels(camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """Where Blender itself projects world points [N,3]: pixels [N,2] from the first one's corner."""
    frame, render = cameras.frame_of(bpy.context.scene), bpy.context.scene.render
    window = camera.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(),
        x=frame.width,
        y=frame.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    view = np.array(camera.matrix_world.normalized().inverted())
    clip = np.column_stack([points, np.ones(len(points))]) @ (np.array(window) @ view).T
    return (clip[:, :2] / clip[:, 3:] * [0.5, -0.5] + 0.5) * [frame.width, frame.height]


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
        landmarks2d=[blenders_pixels(camera, landmarks) for camera in ring],
    )


if __name__ == "__main__":
    main()
