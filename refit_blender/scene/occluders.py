# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between cameras and the bodies, such as the cube of Blender's start-up file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import bpy
from mathutils import Vector

from .body import rig_of
from .ownership import check_own
from .rigs import joint_places
from .shadow_catcher import PROPERTY as SHADOW_CATCHER

PROPERTY = "refit_before_bodies"
# Of the way to a joint: how far a ray goes on behind what it hit.
_STEP = 1e-4
# Rays pass through that many surfaces at most.
_MAX_HITS = 64


def look(context: bpy.types.Context, cameras: Sequence[bpy.types.Object], rigs: Sequence[bpy.types.Object]) -> None:
    """Keep with the scene what stands before the bodies of a reconstruction, as its cameras see them."""
    found = standing_before(context, cameras, rigs)
    context.scene[PROPERTY] = {str(index): item for index, item in enumerate(found)}


def standing_before(
    context: bpy.types.Context, cameras: Sequence[bpy.types.Object], rigs: Sequence[bpy.types.Object]
) -> list[bpy.types.Object]:
    """The scene's objects that rays from the cameras to the bodies' joints meet, those that are met most often first.

    Bodies of this add-on and all that is hidden in the viewport do not count.
    """
    depsgraph = context.evaluated_depsgraph_get()
    origins = [camera.evaluated_get(depsgraph).matrix_world.translation.copy() for camera in cameras]
    met: dict[bpy.types.Object, int] = {}
    for rig in rigs:
        joints = joint_places(rig.evaluated_get(depsgraph))
        for origin, joint in itertools.product(origins, map(Vector, joints.tolist())):
            for item in _met_on_the_way(context.scene, depsgraph, origin, joint):
                met[item] = met.get(item, 0) + 1
    in_view = {item for item in met if item.name in context.view_layer.objects and hides(item)}
    return sorted(in_view, key=lambda item: (-met[item], item.name))


def hides(item: bpy.types.Object) -> bool:
    """Whether an object hides what is behind it, in the viewport or in renders."""
    return item.visible_get() and (not item.hide_render or item.display_type in {"SOLID", "TEXTURED"})


def noted(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """What was kept and still hides something."""
    kept = scene.get(PROPERTY)
    items = kept.values() if kept else ()
    return [item for item in items if isinstance(item, bpy.types.Object) and item.users_scene and hides(item)]


def hide(items: Sequence[bpy.types.Object]) -> None:
    """Hide objects in the viewport and in renders. Raises SourceError where one is another file's."""
    check_own(*items)
    for item in items:
        item.hide_set(True)
        item.hide_render = True


def _met_on_the_way(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, origin: Vector, goal: Vector
) -> set[bpy.types.Object]:
    way = goal - origin
    found: set[bpy.types.Object] = set()
    start, left = origin, way.length
    for _ in range(_MAX_HITS):
        hit, place, _, _, item, _ = scene.ray_cast(depsgraph, start, way, distance=left)
        if not hit:
            break
        if not _is_ours(item.original):
            found.add(item.original)
        start = place + way * _STEP
        left = (goal - start).dot(way) / way.length
        if left <= 0:
            break
    return found


def _is_ours(item: bpy.types.Object) -> bool:
    return rig_of(item) is not None or bool(item.get(SHADOW_CATCHER))
