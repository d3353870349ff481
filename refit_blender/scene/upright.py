# SPDX-License-Identifier: GPL-3.0-or-later
"""Correcting which way is up: camera and bodies of a photo turn together, so that the overlay stays as it is."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..errors import SourceError
from . import cameras, keying, placement
from .body import body_mesh, world_vertices
from .ik import check_no_ik
from .ownership import foreign_sentence
from .reconstructions import Reconstruction, Up, numbers_of
from .rigs import joint_places

# On the collection: the up [3] in the camera frame by which camera and bodies stand at the moment.
_STANDING = "refit_up_standing"
# On the collection: the point [3] in the camera frame, in the scene's units, about which they turn. Bodies are lifted
# back onto the floor, and the point goes with them, so that the way back leads to where they were.
_PIVOT = "refit_pivot"
ON_FLOOR = "refit_on_floor"

_setting = False


class RefitUpright(bpy.types.PropertyGroup):
    """Pitch and roll of a photo's camera, on the reconstruction's collection."""

    def _changed(self, context: bpy.types.Context) -> None:
        if not _setting:
            _correct(Reconstruction(self.id_data), self, context)

    pitch: bpy.props.FloatProperty(
        name="Pitch",
        description="How far the photo's camera looks up; negative: down. Camera and bodies turn together",
        subtype="ANGLE",
        min=np.radians(-90),
        max=np.radians(90),
        step=10,
        precision=1,
        options=set(),
        update=_changed,
    )
    roll: bpy.props.FloatProperty(
        name="Roll",
        description="How far the photo's camera is tilted counter-clockwise. Camera and bodies turn together",
        subtype="ANGLE",
        min=np.radians(-180),
        max=np.radians(180),
        step=10,
        precision=1,
        options=set(),
        update=_changed,
    )


def settle(reconstruction: Reconstruction, up: Up) -> None:
    """Note how a camera's up was found; the camera stands by it already."""
    reconstruction.note_up(up)
    reconstruction.collection.pop(_PIVOT, None)
    _set_angles(reconstruction, *placement.angles_of(up.cam))


def standing_up(reconstruction: Reconstruction) -> np.ndarray | None:
    """The up [3] in the camera frame by which the camera stands: as found, or as set by hand."""
    values = numbers_of(reconstruction.collection, _STANDING, 3)
    return np.array(values) if values and any(values) else None


def set_by_hand(reconstruction: Reconstruction) -> bool:
    """Whether pitch or roll are no longer those that were found."""
    standing, found = standing_up(reconstruction), reconstruction.up
    return standing is not None and found is not None and float(np.abs(standing - found.cam).max()) > 1e-4


def reset(reconstruction: Reconstruction, context: bpy.types.Context) -> None:
    """Turn back to the up that was found. Raises SourceError."""
    if problem := obstacle(reconstruction):
        raise SourceError(problem)
    settings = reconstruction.collection.refit
    _set_angles(reconstruction, *placement.angles_of(reconstruction.up.cam), standing=False)
    _correct(reconstruction, settings, context)


def obstacle(reconstruction: Reconstruction) -> str:
    """Why pitch and roll cannot be corrected, in one sentence, or nothing."""
    camera = reconstruction.camera
    if reconstruction.up is None:
        return "Several cameras say which way is up."
    if camera is None:
        return "The photo's camera was deleted, so that bodies cannot be turned with it."
    if not reconstruction.own_camera:
        return "The scene's camera says which way is up."
    if sentence := foreign_sentence(reconstruction.collection, camera, *reconstruction.bodies.values()):
        return sentence
    if camera.name not in bpy.context.view_layer.objects:
        return "The photo's camera is not in this view layer: include its collection."
    moved = {curve.data_path for curve in keying.curves_of(camera)}
    if camera.constraints or moved & {"location", f"rotation_{camera.rotation_mode.lower()}", "rotation_euler"}:
        return "The photo's camera is animated or constrained, so that it cannot be turned with the bodies."
    for rig in reconstruction.bodies.values():
        try:
            keying.pose_bones(rig)
            check_no_ik(rig)
        except SourceError as error:
            return str(error)
    return "" if reconstruction.bodies else "The photo's bodies were deleted."


def _correct(reconstruction: Reconstruction, settings: RefitUpright, context: bpy.types.Context) -> None:
    before, after = standing_up(reconstruction), placement.up_of(settings.pitch, settings.roll)
    if before is None:
        return
    if obstacle(reconstruction):
        _set_angles(reconstruction, *placement.angles_of(before))
        return
    context.view_layer.update()
    camera = reconstruction.camera
    R, t = cameras.extrinsics(np.array(camera.matrix_world), camera.name)
    turn = placement.turn_between(R.T, before, after)
    rigs = list(reconstruction.bodies.values())
    notes = reconstruction.collection
    if numbers_of(notes, _PIVOT, 3) is None:
        notes[_PIVOT] = (R @ np.array(rigs[0].matrix_world.translation) + t).tolist()
    pivot = R.T @ (np.array(notes[_PIVOT][:]) - t)
    touching = [rig for rig in rigs if rig.get(ON_FLOOR, True)] or rigs
    points = np.concatenate([_contacts(rig) for rig in touching])
    lift = float(points[:, 2].min() - ((points - pivot) @ turn.T + pivot)[:, 2].min())
    motion = Matrix(placement.about(turn, pivot, lift).tolist())
    for rig in rigs:
        _move(rig, motion, pivot[2])
    camera.matrix_world = motion @ camera.matrix_world
    notes[_STANDING] = after.tolist()


def _move(rig: bpy.types.Object, motion: Matrix, level: float) -> None:
    """Turn a body in the world: its axes and the height of its origin stay, the bones do the rest.

    level: the height at which the origin's place on the ground is followed.
    """
    stood = rig.matrix_world.copy()
    stands = stood.copy()
    if not rig.constraints and not any(curve.data_path == "location" for curve in keying.curves_of(rig)):
        x, y, z = stood.translation
        stands.translation = (*(motion @ Vector((x, y, level)))[:2], z)
        rig.matrix_world = stands
    keying.move_body(rig, stands.inverted() @ motion @ stood)


def _contacts(rig: bpy.types.Object) -> np.ndarray:
    """Points [N,3] of a body in the world that may touch the floor: its skin, or its joints where it has none."""
    mesh = body_mesh(rig)
    if mesh is not None and mesh.visible_get():
        return world_vertices(mesh, bpy.context.evaluated_depsgraph_get())
    return joint_places(rig)


def _set_angles(reconstruction: Reconstruction, pitch: float, roll: float, *, standing: bool = True) -> None:
    """Set the sliders without turning anything; `standing`: things stand like that already."""
    global _setting
    settings = reconstruction.collection.refit
    _setting = True
    try:
        settings.pitch, settings.roll = pitch, roll
    finally:
        _setting = False
    if standing:
        # What the sliders say, which is rounded.
        reconstruction.collection[_STANDING] = placement.up_of(settings.pitch, settings.roll).tolist()
