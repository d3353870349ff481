# SPDX-License-Identifier: GPL-3.0-or-later
"""The bone names of rigs that animators use, as their makers publish them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .roles import LIMB_PARTS, NECK, REQUIRED, SIDES, SPINE


@dataclass(frozen=True)
class Profile:
    """One kind of rig. `{s}` in a limb's bone stands for a side, which `sides` spells for left and right.

    spine, neck: from the pelvis up, such as the rig may have. switches: bone and custom property that turns a limb from
    IK to FK, and the value for FK.
    """

    name: str
    sides: tuple[str, str]
    pelvis: str
    spine: tuple[str, ...]
    neck: tuple[str, ...]
    head: str
    limbs: dict[str, str]
    root: str = ""
    body: str = ""
    switches: tuple[tuple[str, str, float], ...] = field(default=())

    def named(self) -> dict[str, str]:
        """Every role with the bone that the rig may have for it."""
        found = {"root": self.root, "body": self.body, "pelvis": self.pelvis, "head": self.head}
        found |= dict(zip(SPINE, self.spine, strict=False)) | dict(zip(NECK, self.neck, strict=False))
        for side, word in zip(SIDES, self.sides, strict=True):
            found |= {f"{part}.{side}": bone.format(s=word) for part, bone in self.limbs.items()}
        return {role: bone for role, bone in found.items() if bone}

    def match(self, names: Iterable[str]) -> dict[str, str]:
        """The roles that bones of an armature have; empty where a required one is missing."""
        plain = {plain_name(name): name for name in reversed(tuple(names))}
        found = {role: plain[key] for role, bone in self.named().items() if (key := plain_name(bone)) in plain}
        if any(role not in found for role in REQUIRED):
            return {}
        return _without_gaps(_without_gaps(found, SPINE), NECK)


def plain_name(name: str) -> str:
    """A bone's name without a namespace or Mixamo's prefix, in small letters."""
    return re.sub(r"^mixamorig\d*[_:]?", "", name.lower().rpartition(":")[2])


def find_profile(names: Iterable[str]) -> tuple[Profile, dict[str, str]] | None:
    """The kind of rig that knows most of the bones, and their roles; None where no kind has its required ones."""
    names = tuple(names)
    matches = [(profile, profile.match(names)) for profile in PROFILES]
    best = max(matches, key=lambda match: len(match[1]))
    return best if best[1] else None


def _without_gaps(found: dict[str, str], chain: tuple[str, ...]) -> dict[str, str]:
    """The same with the bones of a chain at its first roles."""
    bones = [found[role] for role in chain if role in found]
    rest = {role: bone for role, bone in found.items() if role not in chain}
    return rest | dict(zip(chain, bones, strict=False))


def _limbs(*bones: str) -> dict[str, str]:
    return dict(zip(LIMB_PARTS, bones, strict=True))


_RIGIFY_SWITCHES = tuple((f"{limb}_parent.{side}", "IK_FK", 1.0) for limb in ("upper_arm", "thigh") for side in SIDES)
_ARP_SWITCHES = tuple((f"c_{limb}_ik.{side}", "ik_fk_switch", 1.0) for limb in ("hand", "foot") for side in "lr")
_HUMANOID = _limbs(
    "{s}Shoulder",
    "{s}UpperArm",
    "{s}LowerArm",
    "{s}Hand",
    "{s}UpperLeg",
    "{s}LowerLeg",
    "{s}Foot",
    "{s}Toes",
)
_MIXAMO = _limbs("{s}Shoulder", "{s}Arm", "{s}ForeArm", "{s}Hand", "{s}UpLeg", "{s}Leg", "{s}Foot", "{s}ToeBase")
_UNDERSCORED = _limbs(
    "shoulder.{s}",
    "upper_arm.{s}",
    "lower_arm.{s}",
    "hand.{s}",
    "upper_leg.{s}",
    "lower_leg.{s}",
    "foot.{s}",
    "toes.{s}",
)

PROFILES: tuple[Profile, ...] = (
    Profile(
        "Rigify",
        ("L", "R"),
        "spine_fk",
        ("spine_fk.001", "spine_fk.002", "spine_fk.003", "spine_fk.004", "spine_fk.005"),
        ("neck",),
        "head",
        _limbs(
            "shoulder.{s}",
            "upper_arm_fk.{s}",
            "forearm_fk.{s}",
            "hand_fk.{s}",
            "thigh_fk.{s}",
            "shin_fk.{s}",
            "foot_fk.{s}",
            "toe_fk.{s}",
        ),
        root="root",
        body="torso",
        switches=_RIGIFY_SWITCHES,
    ),
    Profile(
        "Auto-Rig Pro",
        ("l", "r"),
        "c_root.x",
        tuple(f"c_spine_0{number}.x" for number in range(1, 7)),
        ("c_neck.x", "c_neck_01.x"),
        "c_head.x",
        _limbs(
            "c_shoulder.{s}",
            "c_arm_fk.{s}",
            "c_forearm_fk.{s}",
            "c_hand_fk.{s}",
            "c_thigh_fk.{s}",
            "c_leg_fk.{s}",
            "c_foot_fk.{s}",
            "c_toes_fk.{s}",
        ),
        root="c_traj",
        body="c_root_master.x",
        switches=_ARP_SWITCHES,
    ),
    Profile(
        "Auto-Rig Pro, exported",
        ("l", "r"),
        "root.x",
        tuple(f"spine_0{number}.x" for number in range(1, 7)),
        ("neck.x", "neck_01.x"),
        "head.x",
        _limbs(
            "shoulder.{s}",
            "arm_stretch.{s}",
            "forearm_stretch.{s}",
            "hand.{s}",
            "thigh_stretch.{s}",
            "leg_stretch.{s}",
            "foot.{s}",
            "toes_01.{s}",
        ),
        root="c_traj",
    ),
    Profile(
        "Rigify meta-rig",
        ("L", "R"),
        "spine",
        ("spine.001", "spine.002", "spine.003"),
        ("spine.004", "spine.005"),
        "spine.006",
        _limbs(
            "shoulder.{s}",
            "upper_arm.{s}",
            "forearm.{s}",
            "hand.{s}",
            "thigh.{s}",
            "shin.{s}",
            "foot.{s}",
            "toe.{s}",
        ),
    ),
    Profile(
        "MPFB default",
        ("L", "R"),
        "root",
        ("spine05", "spine04", "spine03", "spine02", "spine01"),
        ("neck01", "neck02", "neck03"),
        "head",
        _limbs(
            "clavicle.{s}",
            "upperarm01.{s}",
            "lowerarm01.{s}",
            "wrist.{s}",
            "upperleg01.{s}",
            "lowerleg01.{s}",
            "foot.{s}",
            "toes.{s}",
        ),
    ),
    Profile(
        "Unreal mannequin",
        ("l", "r"),
        "pelvis",
        tuple(f"spine_0{number}" for number in range(1, 6)),
        ("neck_01", "neck_02"),
        "head",
        _limbs(
            "clavicle_{s}",
            "upperarm_{s}",
            "lowerarm_{s}",
            "hand_{s}",
            "thigh_{s}",
            "calf_{s}",
            "foot_{s}",
            "ball_{s}",
        ),
        root="root",
    ),
    Profile(
        "VRoid",
        ("L", "R"),
        "J_Bip_C_Hips",
        ("J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"),
        ("J_Bip_C_Neck",),
        "J_Bip_C_Head",
        _limbs(
            "J_Bip_{s}_Shoulder",
            "J_Bip_{s}_UpperArm",
            "J_Bip_{s}_LowerArm",
            "J_Bip_{s}_Hand",
            "J_Bip_{s}_UpperLeg",
            "J_Bip_{s}_LowerLeg",
            "J_Bip_{s}_Foot",
            "J_Bip_{s}_ToeBase",
        ),
        root="Root",
    ),
    Profile(
        "Unity humanoid, VRM",
        ("Left", "Right"),
        "Hips",
        ("Spine", "Chest", "UpperChest"),
        ("Neck",),
        "Head",
        _HUMANOID,
        root="Root",
    ),
    Profile(
        "VRM",
        ("L", "R"),
        "hips",
        ("spine", "chest", "upper_chest"),
        ("neck",),
        "head",
        _UNDERSCORED,
        root="root",
    ),
    Profile(
        "MakeHuman CMU",
        ("Left", "Right"),
        "Hips",
        ("LowerBack", "Spine", "Spine1"),
        ("Neck", "Neck1"),
        "Head",
        _MIXAMO,
    ),
    Profile(
        "Mixamo",
        ("Left", "Right"),
        "Hips",
        ("Spine", "Spine1", "Spine2", "Spine3"),
        ("Neck", "Neck1"),
        "Head",
        _MIXAMO,
        root="Root",
    ),
    Profile(
        "ReFit",
        ("L", "R"),
        "pelvis",
        ("spine_01", "spine_02", "spine_03"),
        ("neck",),
        "head",
        _limbs(
            "clavicle.{s}",
            "upper_arm.{s}",
            "forearm.{s}",
            "hand.{s}",
            "thigh.{s}",
            "shin.{s}",
            "foot.{s}",
            "toe.{s}",
        ),
        root="root",
    ),
    Profile(
        "SMPL",
        ("left", "right"),
        "pelvis",
        ("spine1", "spine2", "spine3"),
        ("neck",),
        "head",
        _limbs(
            "{s}_collar",
            "{s}_shoulder",
            "{s}_elbow",
            "{s}_wrist",
            "{s}_hip",
            "{s}_knee",
            "{s}_ankle",
            "{s}_foot",
        ),
        root="root",
    ),
)
"""Where two kinds know as many bones, the first one is taken."""
