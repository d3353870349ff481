# SPDX-License-Identifier: GPL-3.0-or-later
"""The armature that motions are carried to, and its bone map, kept with the scene."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import session
from .retarget.maps import find_map
from .retarget.roles import REQUIRED, ROLES
from .retarget.transfer import Options
from .scene.body import is_rig
from .scene.skeletons import skeleton_of


class RefitBoneChoice(bpy.types.PropertyGroup):
    """One part of the body and the target's bone for it."""

    role: StringProperty(name="Part", options={"HIDDEN"})
    bone: StringProperty(name="Bone", description="The target's bone for this part of the body. Empty: none")

    @property
    def missing(self) -> bool:
        """Whether nothing can be carried over without a bone here."""
        return not self.bone and self.role in REQUIRED


def _other_target(settings: RefitRetargeting, _context: bpy.types.Context) -> None:
    session.forget_texts()
    settings.find()


class RefitRetargeting(bpy.types.PropertyGroup):
    target: PointerProperty(
        name="Target",
        description="The armature that gets the body's pose or motion",
        type=bpy.types.Object,
        poll=lambda _self, candidate: candidate.type == "ARMATURE" and not is_rig(candidate),
        update=_other_target,
    )
    choices: CollectionProperty(name="Bones", type=RefitBoneChoice)
    choice_index: IntProperty(name="Chosen Part", min=0)
    kind: StringProperty(name="Recognized As", options={"HIDDEN"})
    what: EnumProperty(
        name="Carry Over",
        description="What of the body is baked",
        items=(
            ("ACTION", "Action", "The body's motion, at every frame of its action"),
            ("POSE", "Pose", "The pose that the body is in now, keyed at the current frame"),
        ),
    )
    scale: BoolProperty(
        name="Scale Travel",
        description="Scale the way over the floor by the length of the legs, so that feet do not slide",
        default=True,
    )
    feet: BoolProperty(
        name="Feet on Floor",
        description="Keep the soles on the floor, which is where the body's object stands",
        default=True,
    )
    root: BoolProperty(
        name="Use Root Bone",
        description="Let the root bone, where there is one, take place and heading on the floor",
        default=True,
    )

    def find(self) -> None:
        """Find the target's bone map anew."""
        found = find_map(skeleton_of(self.target)) if self.target else None
        self.kind = found.kind if found else ""
        self.set_bones(found.bones if found else {})

    def set_bones(self, bones: Mapping[str, str]) -> None:
        """Fill the list."""
        self.choices.clear()
        for role in ROLES if self.target else ():
            choice = self.choices.add()
            choice.role, choice.bone = role, bones.get(role, "")

    def bones(self) -> dict[str, str]:
        """Role to bone, as the list has it."""
        return {choice.role: choice.bone for choice in self.choices if choice.bone}

    def options(self) -> Options:
        return Options(self.scale, self.feet, self.root)
