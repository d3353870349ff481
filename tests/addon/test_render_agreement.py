# SPDX-License-Identifier: GPL-3.0-or-later
"""The training's renderer and its labels against Blender: the same body, the same camera, the same pixels.

`record_render.py` made the reference.
"""

from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices
from mathutils import Matrix

from refit_blender.results import read_body
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "data" / "opengl_render.npz"
BODY = ROOT / "engine" / "refit_engine" / "data" / "body.npz"
SIZE = 256


@pytest.fixture(params=range(4))
def reference(request) -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as data:
        shared = {"landmark_ids": data["landmark_ids"]}
        return shared | {name: data[name][request.param] for name in data.files if name not in shared}


@pytest.fixture
def body_before_camera(reference):
    """The add-on's body and camera, as a result would make them: a camera turned somehow in the world."""
    scene = bpy.context.scene
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    camera_to_world = np.eye(4)
    camera_to_world[:3, :3] = turn * np.sign(np.linalg.det(turn))
    camera_to_world[:3, 3] = 0.5, -1.0, 2.0
    pose = bodies.Pose(
        reference["betas"].astype(float), reference["rotmats"], reference["transl"], camera_to_world, np.zeros(3)
    )
    made = bodies.build_body("person", read_body(BODY), pose, scene.collection)
    camera, frame = cameras.create_camera("camera", reference["K"], SIZE, SIZE)
    scene.collection.objects.link(camera)
    R = camera_to_world[:3, :3].T
    camera.matrix_world = Matrix(cameras.camera_matrix_world(R, -R @ camera_to_world[:3, 3]))
    cameras.set_frame(scene, frame)
    scene.camera = camera
    return made.mesh, camera


def coverage(path: Path) -> np.ndarray:
    """Share of each pixel that anything covers, [SIZE,SIZE], top row first, as Cycles sees it."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 64
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.max_bounces = 0
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 1.0
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    return np.array(image.pixels[:]).reshape(SIZE, SIZE, 4)[::-1, :, 3]


def test_silhouettes_cover_the_same_pixels(reference, body_before_camera, tmp_path):
    ours = reference["coverage"] / 255
    blenders = coverage(tmp_path / "alpha.exr")
    difference = np.abs(ours - blenders)
    # What one tenth of a pixel of shift would change along the outline.
    outline = np.abs(np.diff(blenders, axis=0)).sum() + np.abs(np.diff(blenders, axis=1)).sum()
    assert difference.sum() < 0.1 * outline


def test_labels_are_where_blender_sees_them(reference, body_before_camera):
    mesh, camera = body_before_camera
    landmarks = evaluated_vertices(mesh)[reference["landmark_ids"]].mean(axis=1)
    window = np.array(camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=SIZE, y=SIZE))
    view = np.array(camera.matrix_world.normalized().inverted())
    clip = np.column_stack([landmarks, np.ones(len(landmarks))]) @ (window @ view).T
    pixels = (clip[:, :2] / clip[:, 3:] * [0.5, -0.5] + 0.5) * SIZE
    np.testing.assert_allclose(pixels, reference["landmarks2d"], atol=0.02)
