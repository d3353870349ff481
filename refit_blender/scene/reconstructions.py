# SPDX-License-Identifier: GPL-3.0-or-later
"""How a reconstruction is found again: its collection keeps what belongs together, as custom properties `refit_…`.

The collection points at the camera and at the bodies, so that renamed and moved objects stay in it, and duplicated
ones do not join it. The exact parameters of a body are on its rig (`body.note`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from . import ownership
from .body import is_rig, rig_of
from .names import stem_of

Kind = Literal["photo", "views", "motion"]

KIND, NUMBER, FOOTAGE = "refit_kind", "refit_number", "refit_footage"
CAMERA, OWN_CAMERA = "refit_camera", "refit_own_camera"
SIZE, INTRINSICS = "refit_image_size", "refit_K"
UP, UP_SOURCE, UP_STD, UP_SURE = "refit_up_cam", "refit_up_source", "refit_up_std_deg", "refit_up_sure"
BODIES, FRAMES = "refit_bodies", "refit_frames"


@dataclass(frozen=True)
class Up:
    """The world's up [3] in the OpenCV camera frame, and how it was found (see `results.ImageResult`)."""

    cam: np.ndarray
    source: str
    std_deg: float
    sure: bool


@dataclass(frozen=True)
class Reconstruction:
    """The bodies of one picture or footage ("photo"), of several cameras ("views"), or of videos ("motion"), by their
    collection.
    """

    collection: bpy.types.Collection

    @property
    def kind(self) -> Kind:
        return self.collection[KIND]

    @property
    def number(self) -> int:
        """Counts the file's reconstructions: the largest is the latest."""
        number = self.collection.get(NUMBER)
        return number if isinstance(number, int) else 0

    @property
    def camera(self) -> bpy.types.Object | None:
        """The camera of a photo, made for it or given; None for several cameras, or where it was deleted."""
        camera = self.collection.get(CAMERA)
        return camera if isinstance(camera, bpy.types.Object) and camera.users_scene else None

    @property
    def own_camera(self) -> bool:
        """Whether the camera was made for the photo, so that it may be moved with the bodies."""
        return bool(self.collection.get(OWN_CAMERA, False)) and self.camera is not None

    @property
    def footage(self) -> str:
        """What was reconstructed: the file of a picture, sequence or movie, or the name of an image without one."""
        footage = self.collection.get(FOOTAGE)
        return footage if isinstance(footage, str) else ""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the picture."""
        size = numbers_of(self.collection, SIZE, 2)
        return (int(size[0]), int(size[1])) if size else None

    @property
    def K(self) -> np.ndarray | None:
        """[3,3] in pixels of the picture."""
        values = numbers_of(self.collection, INTRINSICS, 9)
        return np.array(values, dtype=np.float64).reshape(3, 3) if values else None

    @property
    def up(self) -> Up | None:
        """Which way is up in the photo, as it was found."""
        notes, direction = self.collection, numbers_of(self.collection, UP, 3)
        if not direction or not any(direction):
            return None
        deviation = notes.get(UP_STD)
        return Up(
            np.array(direction),
            str(notes.get(UP_SOURCE, "level")),
            float(deviation) if isinstance(deviation, int | float) else 0.0,
            bool(notes.get(UP_SURE)),
        )

    @property
    def bodies(self) -> dict[int, bpy.types.Object]:
        """The rigs that are still in a scene, by the numbers of their persons, which count from 1."""
        rigs = {number: rig for number, rig in self._noted_bodies().items() if isinstance(rig, bpy.types.Object)}
        return {number: rigs[number] for number in sorted(rigs) if is_rig(rigs[number]) and rigs[number].users_scene}

    def bodies_among(self, objects: Container[bpy.types.Object]) -> list[bpy.types.Object]:
        """The rigs that are among these objects. It asks no scene, so that it is quick for many reconstructions."""
        return [rig for rig in self._noted_bodies().values() if isinstance(rig, bpy.types.Object) and rig in objects]

    @property
    def frames(self) -> list[int]:
        """The frames of the scene at which it was made or updated."""
        return [frame for frame in _listed(self.collection, FRAMES) if isinstance(frame, int)]

    @property
    def next_number(self) -> int:
        """The number of the next person who is taken in."""
        return 1 + max(self._noted_bodies(), default=0)

    def add_body(self, rig: bpy.types.Object) -> int:
        """Take a rig in as the next person; its number."""
        number = self.next_number
        noted = {str(other): one for other, one in self._noted_bodies().items()}
        self.collection[BODIES] = {**noted, str(number): rig}
        return number

    def _noted_bodies(self) -> dict[int, object]:
        noted = self.collection.get(BODIES)
        items = noted.items() if hasattr(noted, "items") else ()
        return {int(number): rig for number, rig in items if number.isdecimal()}

    def add_frame(self, frame: int) -> None:
        self.collection[FRAMES] = sorted({*self.frames, frame})

    def note_picture(
        self, camera: bpy.types.Object, own_camera: bool, footage: str, size: tuple[int, int], K: np.ndarray
    ) -> None:
        """Keep camera and picture."""
        notes = self.collection
        notes[CAMERA], notes[OWN_CAMERA], notes[FOOTAGE] = camera, own_camera, footage
        notes[SIZE], notes[INTRINSICS] = list(size), np.asarray(K, dtype=np.float64).ravel().tolist()

    def note_up(self, up: Up) -> None:
        """Keep which way is up."""
        notes = self.collection
        notes[UP], notes[UP_SOURCE] = np.asarray(up.cam, dtype=np.float64).tolist(), up.source
        notes[UP_STD], notes[UP_SURE] = float(up.std_deg), bool(up.sure)


def start(scene: bpy.types.Scene, name: str, kind: Kind) -> Reconstruction:
    """A new, empty reconstruction, whose collection is in the scene."""
    number = 1 + max((one.number for one in _everywhere()), default=0)
    collection = bpy.data.collections.new(f"ReFit {stem_of(name)}")
    scene.collection.children.link(collection)
    collection[KIND], collection[NUMBER] = kind, number
    return Reconstruction(collection)


def in_scene(scene: bpy.types.Scene) -> list[Reconstruction]:
    """The scene's reconstructions that belong to this file, the latest first."""
    inside = {collection for collection in scene.collection.children_recursive if collection.library is None}
    return sorted((one for one in _everywhere() if one.collection in inside), key=lambda one: -one.number)


def numbered(scene: bpy.types.Scene, number: int) -> Reconstruction | None:
    """The scene's reconstruction with this number: after an undo, earlier references lead nowhere."""
    return next((one for one in in_scene(scene) if one.number == number), None)


def of(candidate: bpy.types.Object | None) -> Reconstruction | None:
    """The reconstruction that a rig, its mesh, or a photo's camera belongs to; of several, the latest."""
    if candidate is None:
        return None
    member = rig_of(candidate) or candidate
    for one in sorted(_everywhere(), key=lambda one: -one.number):
        if member == one.camera or member in one.bodies.values():
            return one
    return None


def check_own(reconstruction: Reconstruction) -> None:
    """Raises SourceError where a reconstruction comes from another file, so that nothing can be added to it."""
    ownership.check_own(reconstruction.collection)


def number_of(rig: bpy.types.Object) -> int | None:
    """The number of a rig's person in its reconstruction."""
    found = of(rig)
    return next((number for number, one in found.bodies.items() if one == rig), None) if found else None


def _listed(collection: bpy.types.Collection, name: str) -> list:
    values = collection.get(name)
    return values.to_list() if hasattr(values, "to_list") else []


def numbers_of(collection: bpy.types.Collection, name: str, count: int) -> list[float] | None:
    """A custom property of so many numbers, or None: users may change it."""
    values = _listed(collection, name)
    return values if len(values) == count and all(isinstance(value, int | float) for value in values) else None


def _everywhere() -> Iterator[Reconstruction]:
    return (Reconstruction(collection) for collection in bpy.data.collections if KIND in collection)
