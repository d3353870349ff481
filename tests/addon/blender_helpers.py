# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at Blender's data in tests."""

import stat
import sys
from pathlib import Path

import bmesh
import bpy
import numpy as np

from refit_blender.scene.images import pixels_of

FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")


def write_launcher(path: Path, folder: Path) -> Path:
    """A program that takes the place of Python and plays an engine."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_ENGINE}" "{folder}"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def scene_state() -> dict[str, object]:
    """Everything that a failed job must not change."""
    kinds = ("objects", "meshes", "armatures", "cameras", "images", "materials", "collections", "actions", "shape_keys")
    blocks = {kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds}
    scene = bpy.context.scene
    render = scene.render
    blocks["scene"] = (
        scene.camera and scene.camera.name,
        render.resolution_x,
        render.resolution_y,
        render.pixel_aspect_x,
        bpy.context.view_layer.objects.active and bpy.context.view_layer.objects.active.name,
        sorted(selected.name for selected in bpy.context.selected_objects),
    )
    return blocks


def evaluated_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """World coordinates [V,3] of a mesh as Blender deforms it."""
    bpy.context.view_layer.update()
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    data = evaluated.to_mesh()
    flat = np.empty(len(data.vertices) * 3, dtype=np.float32)
    data.vertices.foreach_get("co", flat)
    evaluated.to_mesh_clear()
    matrix = np.array(evaluated.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def add_marker(centre: np.ndarray, radius: float) -> None:
    """A small glowing ball."""
    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=2, radius=radius)
    mesh = bpy.data.meshes.new("marker")
    shape.to_mesh(mesh)
    shape.free()
    material = bpy.data.materials.new("glow")
    if material.node_tree is None:
        material.use_nodes = True
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Emission Color"].default_value = (1, 1, 1, 1)
    shader.inputs["Emission Strength"].default_value = 1.0
    shader.inputs["Base Color"].default_value = (0, 0, 0, 1)
    mesh.materials.append(material)
    ball = bpy.data.objects.new("marker", mesh)
    ball.location = centre
    bpy.context.scene.collection.objects.link(ball)


def render_picture(path: Path) -> np.ndarray:
    """Brightness [H,W], top row first, as Cycles renders the scene."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 64
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = pixels_of(image)
    return pixels[::-1, :, 0]
