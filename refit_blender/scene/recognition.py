# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a picture belongs to a reconstruction that is in the scene already, and who in it is who."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import cameras, images, reconstructions
from .reconstructions import Reconstruction
from .rigs import joint_places
from .sources import Source


@dataclass(frozen=True)
class Limits:
    """How far the middle of a person's box may lie from that of a body, in the height of the larger.

    same_picture: the body was fitted to this very picture; people side by side are at least 0.25 apart. other_picture:
    somebody who moved, while somebody else came or went.
    """

    same_picture: float = 0.2
    other_picture: float = 1.5


def known_photo(
    scene: bpy.types.Scene, source: Source, kind: str, active: bpy.types.Object | None
) -> Reconstruction | None:
    """The reconstruction that a press on this source updates: the active object's if there is a choice, or the latest.

    kind: of the job's body model. A picture file belongs to it if it is the same, or another of its numbered sequence
    at another frame of the scene; a scene's camera also has to be the same.
    """
    preferred = reconstructions.of(active)
    found = [
        one
        for one in reconstructions.in_scene(scene)
        if one.kind == "photo"
        and one.bodies
        and one.K is not None
        and _same_camera(one, source)
        and _same_footage(one, source, scene)
        if all(rig.get("refit_body_kind", kind) == kind for rig in one.bodies.values())
    ]
    return next((one for one in found if one == preferred), found[0] if found else None)


def _same_camera(known: Reconstruction, source: Source) -> bool:
    if source.camera is None:
        return known.own_camera
    return known.camera is not None and known.camera.name == source.camera


def _same_footage(known: Reconstruction, source: Source, scene: bpy.types.Scene) -> bool:
    if known.footage == source.footage:
        return True
    if scene.frame_current in known.frames or not _of_one_sequence(Path(known.footage), Path(source.footage)):
        return False
    return images.picture_size(source.picture) == known.size


def _of_one_sequence(one: Path, other: Path) -> bool:
    """Whether the files' names differ in their last number only."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", path.name) for path in (one, other)]
    if one.parent != other.parent or not all(parts):
        return False
    return (parts[0][1], parts[0][3]) == (parts[1][1], parts[1][3])


def boxes_of(known: Reconstruction, camera_to_world: np.ndarray, K: np.ndarray, unit: float) -> dict[int, np.ndarray]:
    """Boxes [4] (x, y, w, h) in pixels around the joints of the bodies, as they stand now, by their numbers.

    camera_to_world [4,4] in OpenCV's axes and metres, of which the scene's unit has `unit`.
    """
    boxes = {}
    for number, rig in known.bodies.items():
        joints = joint_places(rig) * unit
        seen = (joints - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
        if (seen[:, 2] > 0).all():
            pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
            boxes[number] = np.concatenate([pixels.min(axis=0), np.ptp(pixels, axis=0)])
    return boxes


def match(boxes: Sequence[Sequence[float]], known: Mapping[int, np.ndarray], limit: float) -> dict[int, int]:
    """Which of the boxes [N,4] is which body: the number of a body by the index of its box, the nearest pairs first.

    limit: how far apart they may be (see `Limits`).
    """
    distances = {}
    for index, box in enumerate(np.asarray(boxes, dtype=np.float64).reshape(-1, 4)):
        for number, other in known.items():
            apart = np.linalg.norm((box[:2] + box[2:] / 2) - (other[:2] + other[2:] / 2))
            distances[index, number] = float(apart / max(box[3], other[3], 1.0))
    return nearest_pairs(distances, limit)


def nearest_pairs(distances: Mapping[tuple[int, int], float], limit: float) -> dict[int, int]:
    """Pairs (index, number) with the least distances, each index and number once, none beyond the limit."""
    found: dict[int, int] = {}
    for (index, number), distance in sorted(distances.items(), key=lambda item: item[1]):
        if index not in found and number not in found.values() and distance <= limit:
            found[index] = number
    return found


def camera_place(known: Reconstruction, source: Source, context: bpy.types.Context) -> np.ndarray:
    """camera_to_world [4,4] (OpenCV axes, metres): the source's camera, or that of the reconstruction as it stands."""
    if source.camera_to_world is not None:
        return source.camera_to_world
    return own_camera_place(known, context)


def own_camera_place(known: Reconstruction, context: bpy.types.Context) -> np.ndarray:
    """camera_to_world [4,4] (OpenCV axes, metres) of a reconstruction's camera as it stands, which it has."""
    camera = known.camera
    assert camera is not None  # of a picture or a video that can be updated
    matrix = cameras.world_matrix(camera, context.evaluated_depsgraph_get())
    R, t = cameras.extrinsics(matrix, camera.name)
    place = np.eye(4)
    place[:3, :3], place[:3, 3] = R.T, -R.T @ t * cameras.metres_per_unit(context.scene)
    return place
