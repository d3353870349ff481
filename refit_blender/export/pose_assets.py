# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's pose becomes an asset: an action of one frame, with a picture, that the Asset Browser shows and applies."""

from __future__ import annotations

import bpy
import numpy as np

from ..motion_keys import quaternions_of
from ..scene.animation import Curves
from ..scene.body import body_mesh, world_vertices
from ..scene.keying import pose_bones
from ..scene.names import with_ending
from ..scene.rigs import ROOT
from .picture import SIZE, draw
from .skeleton import Posed, Skeleton, basis
from .stage import Stage, double_of, sample, stage
from .stand_in import standing_axes

FRAME = 1
"""Of the action, at which the pose is keyed."""
_TAG = "ReFit"
_PLAIN = bpy.types.Keyframe.bl_rna.properties["type"].enum_items["KEYFRAME"].value
_ASIDE = np.deg2rad(25)
"""By how much the picture's view is turned from the body's front."""


def pose_asset(rig: bpy.types.Object, frame: int | None = None, name: str | None = None) -> bpy.types.Action:
    """Make a pose asset of a body at a frame of the scene, by default the current one.

    The pose stands where the armature of whoever takes it stands: of the pelvis's place only its height is kept. Raises
    SourceError where the rig is not complete; nothing else in the file changes.
    """
    scene = bpy.context.scene
    frame = scene.frame_current if frame is None else frame
    with stage(scene) as place:
        skeleton, posed = sample(place, rig, [frame], 1.0)
        inside = np.linalg.inv(posed.placement)[:, None] @ _in_units(rig, posed)
        keys = basis(skeleton, _in_place(rig, skeleton, inside))[0]
        action = _keyed_action(place, rig, skeleton, keys)
        picture = picture_of(place, rig, frame)
    action.name = name or with_ending(rig.name, f" {frame}")
    mark(action, f"Pose of “{rig.name}” at frame {frame}", picture)
    return action


def mark(action: bpy.types.Action, description: str, picture: np.ndarray | None) -> None:
    """Make an action an asset, or describe it anew; picture: see `picture_of`."""
    action.asset_mark()
    action.asset_data.tags.new(_TAG, skip_if_exists=True)
    action.asset_data.description = description
    if picture is not None:
        preview = action.preview_ensure()
        preview.image_size = (SIZE, SIZE)
        preview.image_pixels_float.foreach_set(picture.astype(np.float32).ravel())


def _in_units(rig: bpy.types.Object, posed: Posed) -> np.ndarray:
    """Bones in the world [1,J,4,4] with their distances from the armature in the armature's own units."""
    world, origin = posed.world.copy(), posed.placement[:, None, :3, 3]
    world[..., :3, 3] = origin + (world[..., :3, 3] - origin) / rig.matrix_world.median_scale
    return world


def _in_place(rig: bpy.types.Object, skeleton: Skeleton, inside: np.ndarray) -> np.ndarray:
    """Bones [1,J,4,4] in the armature's space, moved over its floor to where they are at rest; a root bone is at rest."""
    if ROOT in skeleton.names:
        root = skeleton.names.index(ROOT)
        inside = skeleton.rest[root] @ np.linalg.inv(inside[:, root])[:, None] @ inside
    pelvis = skeleton.names.index(pose_bones(rig)[0].name)
    up = standing_axes(rig)[2]
    aside = inside[0, pelvis, :3, 3] - skeleton.rest[pelvis, :3, 3]
    moved = inside.copy()
    moved[..., :3, 3] -= aside - up * (aside @ up)
    if ROOT in skeleton.names:
        moved[:, skeleton.names.index(ROOT)] = skeleton.rest[skeleton.names.index(ROOT)]
    return moved


def _keyed_action(place: Stage, rig: bpy.types.Object, skeleton: Skeleton, keys: np.ndarray) -> bpy.types.Action:
    """A new action with the rotations of the joints' bones and the place of the pelvis; keys [J,4,4]."""
    double = place.keep(rig.copy())
    double.animation_data_clear()
    curves, frames, span = Curves(double), np.array([FRAME]), (FRAME, FRAME)
    turns = quaternions_of(keys[:, :3, :3])
    for number, bone in enumerate(pose_bones(rig)):
        index = skeleton.names.index(bone.name)
        curves.write(
            bone.path_from_id("rotation_quaternion"), turns[None, index], frames, _PLAIN, span, group=bone.name
        )
        if number == 0:
            curves.write(bone.path_from_id("location"), keys[None, index, :3, 3], frames, _PLAIN, span, group=bone.name)
    return curves.action


def picture_of(place: Stage, rig: bpy.types.Object, frame: int) -> np.ndarray | None:
    """The body at a frame, seen from its front, RGBA as `picture.draw` has it; None where it has no mesh."""
    mesh = body_mesh(rig)
    if mesh is None:
        return None
    double, skin = double_of(place, rig), place.keep(mesh.copy())
    place.scene.collection.objects.link(skin)
    skin.animation_data_clear()  # it may be hidden
    skin.parent, skin.hide_viewport = double, False
    for modifier in skin.modifiers:
        if modifier.type == "ARMATURE" and modifier.object == rig:
            modifier.object = double
    place.scene.frame_set(frame)
    depsgraph = place.scene.view_layers[0].depsgraph
    shown = skin.evaluated_get(depsgraph).data
    shown.calc_loop_triangles()
    corners = [0] * (3 * len(shown.loop_triangles))
    shown.loop_triangles.foreach_get("vertices", corners)
    posed = double.evaluated_get(depsgraph)
    pelvis = posed.pose.bones[pose_bones(rig)[0].name]
    turn = np.array((posed.matrix_world @ pelvis.matrix).to_3x3().normalized())
    at_rest = np.array(pelvis.bone.matrix_local.to_3x3())
    front = turn @ at_rest.T @ standing_axes(rig).T @ [0.0, -1.0, 0.0]
    return draw(world_vertices(skin, depsgraph), np.array(corners).reshape(-1, 3), _view(front))


def _view(front: np.ndarray) -> np.ndarray:
    """A view [3,3] from a little beside and above of what shows its front there; from -Y where that is up or down."""
    heading = np.arctan2(front[1], front[0]) if np.hypot(front[0], front[1]) > 0.3 else -np.pi / 2
    heading += _ASIDE
    towards = np.array([np.cos(heading), np.sin(heading), 0.25])
    towards /= np.linalg.norm(towards)
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])
