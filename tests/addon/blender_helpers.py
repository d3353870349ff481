# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at Blender's data in tests."""

import stat
import sys
from pathlib import Path

import bpy
import numpy as np

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
