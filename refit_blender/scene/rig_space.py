# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bones of a rig are keyed with, for SMPL's joint rotations and a pelvis in the world, and the way back.

A bone with rest axes `A` in the armature, whose joint is turned by `R` against its parent in the body file's axes, has
the rotation `B⁻¹ R B` with `B = C⁻¹ A`, where `C` turns the body file's axes to the armature's. Quaternions, for K
frames at once; the armature's own units.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..motion_keys import quaternions_of
from ..quaternions import conjugated, headings, inverse, product, rotated
from .rigs import axes_of, bone_names, kind_of, root_bone


@dataclass(frozen=True)
class Base:
    """The rotation [K,4] and place [K,3] of a bone in the armature, the rotation being that from its rest."""

    rotation: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Channels:
    """What a rig is keyed with: the 24 bones' rotations [K,24,4], the pelvis' location [K,3], and the root bone's."""

    rotations: np.ndarray
    location: np.ndarray
    root_rotation: np.ndarray | None = None
    root_location: np.ndarray | None = None


@dataclass(frozen=True)
class RigSpace:
    """The rest of a rig: axes [4], from the body file to the armature; bones [24,4], their rest axes; head [3], the
    pelvis' at rest; root [4], root_head [3]: the root bone's, None without one; world [4,4]: the armature's place.
    """

    axes: np.ndarray
    bones: np.ndarray
    head: np.ndarray
    root: np.ndarray | None
    root_head: np.ndarray
    world: np.ndarray

    @classmethod
    def of(cls, rig: bpy.types.Object) -> RigSpace:
        """Of a rig as it stands now. Raises SourceError where a bone is missing."""
        rests = np.array([rig.data.bones[name].matrix_local for name in bone_names(rig)], dtype=np.float64)
        root = root_bone(rig)
        root_rest = np.eye(4) if root is None else np.array(root.bone.matrix_local, dtype=np.float64)
        return cls(
            axes=quaternions_of(axes_of(kind_of(rig))),
            bones=quaternions_of(rests[:, :3, :3]),
            head=rests[0, :3, 3],
            root=None if root is None else quaternions_of(root_rest[:3, :3]),
            root_head=root_rest[:3, 3],
            world=np.array(rig.matrix_world, dtype=np.float64),
        )

    @property
    def frames(self) -> np.ndarray:
        """[24,4]: the bones' rest axes in those of the body file."""
        return product(inverse(self.axes), self.bones)

    def channels(self, rotations: np.ndarray, pelvis: np.ndarray, *, follows: bool) -> Channels:
        """For joint rotations [K,24,4], the first in the world, and a pelvis [K,3] in the world.

        follows: the root bone goes over the floor with the body; otherwise it stays where it rests.
        """
        base = self.base_of(rotations[:, 0], pelvis)
        root = self.root_under(base) if follows and self.root is not None else self.root_at_rest(len(pelvis))
        own = conjugated(inverse(self.frames), rotations)
        own[:, 0], location = self.pelvis_channels(base, root)
        if self.root is None:
            return Channels(own, location)
        return Channels(own, location, *self.root_channels(root))

    def pose(self, channels: Channels) -> tuple[np.ndarray, np.ndarray]:
        """The way back: joint rotations [K,24,4], the first in the world, and the pelvis [K,3] in the world."""
        root = self.root_of(channels.root_rotation, channels.root_location, len(channels.location))
        base = self.pelvis_base(channels.rotations[:, 0], channels.location, root)
        rotations = conjugated(self.frames, channels.rotations)
        rotations[:, 0] = product(product(self._turn(), base.rotation), self.axes)
        return rotations, base.place @ self.world[:3, :3].T + self.world[:3, 3]

    def base_of(self, rotation: np.ndarray, pelvis: np.ndarray) -> Base:
        """The pelvis bone in the armature, of a pelvis' rotation [K,4] and place [K,3] in the world."""
        back = np.linalg.inv(self.world)
        turned = product(product(inverse(self._turn()), rotation), inverse(self.axes))
        return Base(turned, pelvis @ back[:3, :3].T + back[:3, 3])

    def root_under(self, base: Base) -> Base:
        """The root bone on the floor under a pelvis, turned as the body heads."""
        return Base(headings(base.rotation), base.place * [1.0, 1.0, 0.0])

    def root_at_rest(self, count: int) -> Base:
        return Base(np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)), np.tile(self.root_head, (count, 1)))

    def root_channels(self, root: Base) -> tuple[np.ndarray, np.ndarray]:
        """The root bone's rotation [K,4] and location [K,3]."""
        assert self.root is not None
        back = inverse(self.root)
        return conjugated(back, root.rotation), rotated(back, root.place - self.root_head)

    def root_of(self, rotation: np.ndarray | None, location: np.ndarray | None, count: int) -> Base:
        """The way back from the root bone's channels."""
        if self.root is None or rotation is None or location is None:
            return self.root_at_rest(count)
        return Base(conjugated(self.root, rotation), self.root_head + rotated(self.root, location))

    def pelvis_channels(self, base: Base, root: Base) -> tuple[np.ndarray, np.ndarray]:
        """The pelvis' rotation [K,4] and location [K,3] below a root bone."""
        rest, back = self.bones[0], inverse(root.rotation)
        place = rotated(back, base.place - root.place) + self.root_head
        turned = product(back, base.rotation)
        return conjugated(inverse(rest), turned), rotated(inverse(rest), place - self.head)

    def pelvis_base(self, rotation: np.ndarray, location: np.ndarray, root: Base) -> Base:
        """The way back from the pelvis' channels."""
        rest = self.bones[0]
        place = self.head + rotated(rest, location) - self.root_head
        turned = product(root.rotation, conjugated(rest, rotation))
        return Base(turned, root.place + rotated(root.rotation, place))

    def _turn(self) -> np.ndarray:
        scale = np.linalg.norm(self.world[:3, :3], axis=0)
        return quaternions_of(self.world[:3, :3] / scale)
