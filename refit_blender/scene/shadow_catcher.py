# SPDX-License-Identifier: GPL-3.0-or-later
"""A plane on the floor that shows nothing but the shadows on it. Cycles has such planes; EEVEE leaves it out."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from . import cameras
from .body import body_mesh
from .ownership import check_own, is_foreign

PROPERTY = "refit_shadow_catcher"
SIDE = 20.0  # metres
NAME = "ReFit shadow catcher"


def planes(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The shadow catchers that are in the scene."""
    return [item for item in scene.objects if item.get(PROPERTY)]


def add(context: bpy.types.Context, rigs: Sequence[bpy.types.Object]) -> bpy.types.Object:
    """Put a plane under the lowest foot of these bodies, wide enough for their shadows."""
    scene = context.scene
    vertices = _vertices(rigs, context.evaluated_depsgraph_get())
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    half = SIDE / 2 / cameras.metres_per_unit(scene) + max(high[:2] - low[:2]) / 2
    mesh = bpy.data.meshes.new(NAME)
    mesh.from_pydata([(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)], [], [(0, 1, 2, 3)])
    mesh.materials.append(_material())
    plane = bpy.data.objects.new(NAME, mesh)
    plane[PROPERTY] = True
    plane.location = (*((low + high) / 2)[:2], low[2])
    plane.is_shadow_catcher = True
    # In the viewport it would cover the photo.
    plane.display_type = "WIRE"
    own = [one for one in rigs[0].users_collection if not is_foreign(one)]
    (own[0] if own else scene.collection).objects.link(plane)
    return plane


def remove(scene: bpy.types.Scene) -> None:
    """Remove all shadow catchers from the scene. Raises SourceError where one is another file's."""
    check_own(*planes(scene))
    for plane in planes(scene):
        mesh = plane.data
        assert isinstance(mesh, bpy.types.Mesh)  # of a plane
        materials = list(mesh.materials)
        bpy.data.objects.remove(plane)
        if not mesh.users:
            bpy.data.meshes.remove(mesh)
        for material in materials:
            if material and not material.users:
                bpy.data.materials.remove(material)


def _vertices(rigs: Sequence[bpy.types.Object], depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    """World places [V,3] of the bodies' skins as they stand."""
    found = []
    for mesh in filter(None, (body_mesh(rig) for rig in rigs)):
        evaluated = mesh.evaluated_get(depsgraph)
        data = evaluated.to_mesh()
        flat = np.empty(len(data.vertices) * 3, dtype=np.float32)
        data.vertices.foreach_get("co", flat.data)
        evaluated.to_mesh_clear()
        matrix = np.array(evaluated.matrix_world)
        found.append(flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(found)


def _material() -> bpy.types.Material:
    """Grey for Cycles, which draws the shadows alone; nothing at all for EEVEE."""
    material = bpy.data.materials.new(NAME)
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    for target, shader in (("CYCLES", "ShaderNodeBsdfDiffuse"), ("EEVEE", "ShaderNodeBsdfTransparent")):
        output = tree.nodes.new("ShaderNodeOutputMaterial")
        output.target = target
        tree.links.new(tree.nodes.new(shader).outputs[0], output.inputs["Surface"])
    return material
