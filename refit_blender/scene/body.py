# SPDX-License-Identifier: GPL-3.0-or-later
"""A body file and a pose become an armature and a skinned mesh.

Bones, skin and object stand so that the body at rest has its feet at the object's origin. A rig of SMPL's kind has
SMPL's axes: the turn from Y up to Blender's Z up is on its object alone. An animation rig has Z up by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import SourceError
from ..results import BETAS, Body
from .armature import Rest, build_armature, move_rest, rest_of
from .correctives import CORRECTIVE_KEY, corrective_keys, drive_correctives, note_mix
from .keying import set_pose
from .ownership import own_block
from .rigs import BONES, DEFAULT_STYLE, REST_TO_WORLD, RigStyle, axes_of, kind_of

BETA_RANGE = 5.0
MATERIAL_NAME = "ReFit Body"
# Weights below this move no vertex by a hundredth of a millimetre.
MIN_WEIGHT = 1e-5

SHAPE_KEY = "shape_{}"


@dataclass(frozen=True)
class BodyObjects:
    """The two objects that make a body; mesh: None where it was deleted before the body was updated."""

    rig: bpy.types.Object
    mesh: bpy.types.Object | None


@dataclass(frozen=True)
class Pose:
    """betas [10]; rotmats [24,3,3], rotmats[0] in the camera frame; transl [3]; camera_to_world [4,4] (OpenCV axes).

    ground [3]: where the rig's origin goes, in world coordinates. All in metres, of which a scene's unit has
    `metres_per_unit`.
    """

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    camera_to_world: np.ndarray
    ground: np.ndarray
    metres_per_unit: float = 1.0

    def world_rotations(self) -> np.ndarray:
        """[24,3,3]: rotmats with the first to the world."""
        return np.concatenate([self.camera_to_world[None, :3, :3] @ self.rotmats[:1], self.rotmats[1:]])

    def pelvis(self, joints: np.ndarray) -> np.ndarray:
        """The pelvis [3] in the world, metres, of a body with rest joints [24,3]."""
        return self.camera_to_world[:3, :3] @ (joints[0] + self.transl) + self.camera_to_world[:3, 3]


def build_body(
    name: str, body: Body, pose: Pose, collection: bpy.types.Collection, style: RigStyle = DEFAULT_STYLE
) -> BodyObjects:
    """Make armature and mesh in `collection`, which must be in the active view layer, in Object mode."""
    rest = rest_of(style.kind, body, pose.betas)
    rig = build_armature(name, body, rest, style, collection)
    _pose_rig(rig, body.joints(pose.betas), pose)
    mesh = _build_mesh(f"{name} body", body, rest, rig, collection)
    _add_shape_keys(mesh, body, rest, pose.betas)
    if body.correctives is not None:
        for number, offsets in enumerate(np.moveaxis(body.correctives.offsets, 2, 0)):
            _add_key(mesh, CORRECTIVE_KEY.format(number), rest.place(body.v_template + offsets))
        note_mix(mesh, body.correctives)
        drive_correctives(mesh, rig)
    return BodyObjects(rig, mesh)


def body_mesh(rig: bpy.types.Object) -> bpy.types.Object | None:
    """The skinned mesh of a rig made here: the child with the most of its shape's sliders, None without any."""
    meshes = [child for child in rig.children if child.type == "MESH"]
    best = max(meshes, key=lambda mesh: len(shape_sliders(mesh)), default=None)
    return best if best and shape_sliders(best) else None


def shape_sliders(mesh: bpy.types.Object) -> dict[int, bpy.types.ShapeKey]:
    """The shape keys of a mesh that stand for betas, by their number; some may have been deleted."""
    keys = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys else {}
    named = {index: SHAPE_KEY.format(index) for index in range(BETAS)}
    return {index: keys[name] for index, name in named.items() if name in keys}


def world_vertices(mesh: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    """World coordinates [V,3] of a mesh as Blender deforms it."""
    evaluated = mesh.evaluated_get(depsgraph)
    flat = np.empty(len(evaluated.data.vertices) * 3, dtype=np.float32)
    evaluated.data.vertices.foreach_get("co", flat.data)
    matrix = np.array(evaluated.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def is_rig(candidate: bpy.types.Object | None) -> bool:
    """Whether this is the armature of a body made here."""
    return candidate is not None and candidate.type == "ARMATURE" and "refit_betas" in candidate


def rig_of(candidate: bpy.types.Object | None) -> bpy.types.Object | None:
    """The rig that an object belongs to: itself, or the nearest of its parents that is one; it must not be deleted."""
    while candidate is not None and not is_rig(candidate):
        candidate = candidate.parent
    return candidate if candidate is not None and candidate.users_scene else None


def note(rig: bpy.types.Object, **values: object) -> None:
    """Keep values on the rig as custom properties `refit_…`."""
    for name, value in values.items():
        rig[f"refit_{name}"] = value


def current_betas(rig: bpy.types.Object) -> np.ndarray:
    """The shape [10] as the mesh's sliders say it; where one was deleted, as it was found. Raises SourceError."""
    try:
        betas = np.array(rig["refit_betas"][:], dtype=np.float64)
    except (TypeError, ValueError):
        betas = np.empty(0)
    if betas.shape != (BETAS,) or not np.isfinite(betas).all():
        raise SourceError(f"Body “{rig.name}”: its property refit_betas must hold {BETAS} numbers.")
    mesh = body_mesh(rig)
    for index, key in shape_sliders(mesh).items() if mesh else ():
        betas[index] = key.value
    return betas


def body_file(rig: bpy.types.Object) -> Path:
    """The body file that a rig was made from. Raises SourceError where the rig does not say it."""
    name = rig.get("refit_body_file")
    if not isinstance(name, str) or not name:
        raise SourceError(f"Body “{rig.name}” does not say which body file it was made from.")
    return Path(name)


def shape_of(rig: bpy.types.Object, kind: str) -> np.ndarray:
    """The shape [10] for use with a body model of this kind. Raises SourceError where the rig has another one."""
    if not is_rig(rig):
        raise SourceError(f"Object “{rig.name}” is no ReFit body.")
    own = rig.get("refit_body_kind", kind)
    if own != kind:
        names = {
            "bundled": "the neutral bundled body",
            "bundled_male": "the male bundled body",
            "bundled_female": "the female bundled body",
            "smpl": "an SMPL body",
        }
        raise SourceError(
            f"“{rig.name}” is {names.get(own, own)}: its shape means nothing to {names[kind]}, choose that in Body first."
        )
    return current_betas(rig)


def set_shape(rig: bpy.types.Object, body: Body, betas: np.ndarray) -> None:
    """Give a body another shape [10], in Object mode. Raises SourceError."""
    mesh = body_mesh(rig)
    move_rest(rig, mesh, body, betas)
    for index, key in shape_sliders(mesh).items() if mesh else ():
        _set_slider(key, float(betas[index]))
    if mesh and corrective_keys(mesh):
        drive_correctives(mesh, rig)


def _set_slider(key: bpy.types.ShapeKey, value: float) -> None:
    reach = max(BETA_RANGE, abs(value))
    key.slider_min, key.slider_max = -reach, reach
    key.value = value


def _pose_rig(rig: bpy.types.Object, joints: np.ndarray, pose: Pose) -> None:
    """Stand the object on the ground; the bones take the camera's turn and what is left of the place."""
    matrix = np.eye(4)
    matrix[:3, :3] = REST_TO_WORLD @ axes_of(kind_of(rig)).T
    matrix[:3, 3] = pose.ground
    rig.matrix_world = Matrix.Scale(1 / pose.metres_per_unit, 4) @ Matrix(matrix.tolist())
    set_pose(rig, pose.world_rotations(), pose.pelvis(joints) / pose.metres_per_unit)


# ----------------------------------------------------------------------------------------------------------- mesh


def _build_mesh(
    name: str, body: Body, rest: Rest, rig: bpy.types.Object, collection: bpy.types.Collection
) -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    faces = body.faces
    data.vertices.add(len(body.v_template))
    data.vertices.foreach_set("co", _flat(rest.place(body.v_template)).data)
    data.loops.add(faces.size)
    data.loops.foreach_set("vertex_index", np.ascontiguousarray(faces.ravel(), dtype=np.int32).data)
    data.polygons.add(len(faces))
    data.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32).data)
    if body.uv is not None and body.uv_faces is not None:
        layer = data.uv_layers.new(name="UVMap", do_init=False)
        layer.uv.foreach_set("vector", _flat(body.uv[body.uv_faces.ravel()]).data)
    data.update(calc_edges=True)
    data.shade_smooth()
    data.materials.append(_material())
    mesh = bpy.data.objects.new(name, data)
    collection.objects.link(mesh)
    mesh.parent = rig
    _add_weights(mesh, body.weights, BONES[kind_of(rig)])
    mesh.modifiers.new("Armature", "ARMATURE").object = rig
    return mesh


def _add_weights(mesh: bpy.types.Object, weights: np.ndarray, names: tuple[str, ...]) -> None:
    for joint, name in enumerate(names):
        group = mesh.vertex_groups.new(name=name)
        column = weights[:, joint]
        used = np.flatnonzero(column > MIN_WEIGHT)
        # One call for all vertices of one weight: whole limbs have weight 1.
        values, inverse = np.unique(column[used].astype(np.float32), return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(np.bincount(inverse, minlength=len(values)))
        vertices = used[order].tolist()
        start = 0
        for value, end in zip(values.tolist(), ends.tolist(), strict=True):
            group.add(vertices[start:end], value, "REPLACE")
            start = end


def _add_shape_keys(mesh: bpy.types.Object, body: Body, rest: Rest, betas: np.ndarray) -> None:
    mesh.shape_key_add(name="Basis", from_mix=False)
    for index in range(BETAS):
        offset = body.shapedirs[:, :, index] if index < body.shapedirs.shape[2] else 0.0
        positions = rest.place(body.v_template + offset)
        _set_slider(_add_key(mesh, SHAPE_KEY.format(index), positions), float(betas[index]))


def _add_key(mesh: bpy.types.Object, name: str, positions: np.ndarray) -> bpy.types.ShapeKey:
    key = mesh.shape_key_add(name=name, from_mix=False)
    key.data.foreach_set("co", _flat(positions).data)
    return key


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32).ravel()


def _material() -> bpy.types.Material:
    material = own_block(bpy.data.materials, MATERIAL_NAME)
    if material is None:
        colour = (0.42, 0.53, 0.65, 1.0)
        material = bpy.data.materials.new(MATERIAL_NAME)
        material.diffuse_color = colour
        material.roughness = 0.6
        if material.node_tree is None:  # 5.0 and later have no other materials
            material.use_nodes = True
        shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = colour
        shader.inputs["Roughness"].default_value = 0.6
    return material
