# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures of rigs that animators use, from their published bone names: tables of name, parent, head and tail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix

Row = tuple[str, str, np.ndarray, np.ndarray]
"""A bone: name, parent ("" for none), head and tail [3] in metres, Z up, facing -Y."""
SPINE = [f"spine_{number}" for number in range(1, 7)]
NECK = [f"neck_{number}" for number in range(1, 4)]
_LIMBS = ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
_PARENTS = {"upper_arm": "clavicle", "forearm": "upper_arm", "hand": "forearm", "shin": "thigh", "foot": "shin"}
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True)
class Rig:
    """bones: role to bone name, what the map must find. extras: more bones, by functions of the places of the joints.

    arms: degrees from the T-pose down. turn: degrees about Z of the whole table. unit: metres of the armature's unit,
    which its object's scale makes good. y_up: in the armature; its object is turned. odd: bones do not point along limbs.
    """

    kind: str
    bones: Mapping[str, str]
    extras: Sequence[Callable[[Mapping[str, np.ndarray]], list[Row]]] = ()
    arms: float = 0.0
    turn: float = 0.0
    unit: float = 1.0
    y_up: bool = False
    odd: bool = False
    mode: str = "QUATERNION"
    parents: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """All bones, parents first."""
        places = joints(self.arms, sum(role in self.bones for role in SPINE), sum(role in self.bones for role in NECK))
        rows = [
            (name, self._parent(role), places[role], places[_end(role, places)]) for role, name in self.bones.items()
        ]
        for extra in self.extras:
            rows += extra(places)
        known, ordered = {""}, []
        while rows:
            ready = [row for row in rows if self.parents.get(row[0], row[1]) in known]
            assert ready, rows[0]
            ordered += [(name, self.parents.get(name, parent), head, tail) for name, parent, head, tail in ready]
            known |= {row[0] for row in ready}
            rows = [row for row in rows if row[0] not in known]
        return ordered

    def _parent(self, role: str) -> str:
        trunk = [one for one in ("pelvis", *SPINE) if one in self.bones]
        neck = [trunk[-1], *(one for one in NECK if one in self.bones), "head"]
        part, _, side = role.partition(".")
        if role in {"root", "body", "pelvis"}:
            above = {"root": (), "body": ("root",), "pelvis": ("body", "root")}[role]
            return next((self.bones[one] for one in above if one in self.bones), "")
        if role in trunk:
            return self.bones[trunk[trunk.index(role) - 1]]
        if role in neck:
            return self.bones[neck[neck.index(role) - 1]]
        if part == "toe":
            return self.bones[f"foot.{side}"]
        above = f"{_PARENTS.get(part)}.{side}"
        return self.bones.get(above, self.bones["pelvis" if part == "thigh" else trunk[-1]])


def joints(arms: float, spine: int, neck: int) -> dict[str, np.ndarray]:
    """The places of all joints of a person of 1.7 m."""
    found = {"root": [0, 0, 0], "body": [0, 0.01, 0.95], "pelvis": [0, 0.01, 0.95], "head": [0, 0, 1.52]}
    for number, role in enumerate(SPINE[:spine]):
        found[role] = [0, 0.01, 1.0 + 0.3 * number / max(spine - 1, 1)]
    for number, role in enumerate(NECK[:neck]):
        found[role] = [0, 0.02 - 0.01 * number, 1.43 + 0.08 * number / neck]
    down = np.array([np.cos(np.radians(arms)), 0.0, -np.sin(np.radians(arms))])
    shoulder = np.array([0.17, 0.02, 1.4])
    left = {
        "clavicle": [0.03, 0.0, 1.4],
        "upper_arm": shoulder,
        "forearm": shoulder + 0.27 * down + [0, 0.01, 0],
        "hand": shoulder + 0.52 * down,
        "knuckles": shoulder + 0.61 * down,
        "thigh": [0.09, 0.0, 0.9],
        "shin": [0.1, -0.01, 0.49],
        "foot": [0.1, 0.02, 0.09],
        "toe": [0.11, -0.1, 0.02],
        "tip": [0.115, -0.17, 0.02],
    }
    for part, place in left.items():
        found[f"{part}.L"], found[f"{part}.R"] = place, np.array(place) * [-1, 1, 1]
    found["top"] = [0, 0, 1.7]
    return {name: np.array(place, float) for name, place in found.items()}


def _end(role: str, places: Mapping[str, np.ndarray]) -> str:
    """What a bone's tail is at."""
    part, _, side = role.partition(".")
    chain = ["pelvis", *(one for one in (*SPINE, *NECK) if one in places), "head", "top"]
    if role in {"root", "body"}:
        return "spine_1"
    if role in chain:
        return chain[chain.index(role) + 1]
    after = {"hand": "knuckles", "toe": "tip", "foot": "toe"} | {above: part for part, above in _PARENTS.items()}
    return f"{after[part]}.{side}"


def make(rig: Rig, names: Callable[[str], str] = str) -> bpy.types.Object:
    """The armature, linked to the scene. names: bones are renamed by it."""
    data = bpy.data.armatures.new(rig.kind)
    made = bpy.data.objects.new(rig.kind, data)
    bpy.context.scene.collection.objects.link(made)
    bpy.context.view_layer.objects.active = made
    turn = np.array(Matrix.Rotation(np.radians(rig.turn), 3, "Z"))
    if rig.y_up:
        turn = np.array(Matrix.Rotation(np.radians(-90), 3, "X")) @ turn
        made.matrix_world = Matrix.Rotation(np.radians(90), 4, "X")
    made.matrix_world = made.matrix_world @ Matrix.Scale(rig.unit, 4)
    rng = np.random.default_rng(4)
    bpy.ops.object.mode_set(mode="EDIT")
    for name, parent, head, tail in rig.rows():
        bone = data.edit_bones.new(names(name))
        way = tail - head
        if rig.odd:
            way = np.roll(way, 1) * [1, -1, 1]
        bone.head = turn @ head / rig.unit
        bone.tail = turn @ (head + way) / rig.unit
        bone.roll = rng.uniform(-3, 3) if rig.odd else 0.0
        bone.parent = data.edit_bones[names(parent)] if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in made.pose.bones:
        bone.rotation_mode = rig.mode
    bpy.context.view_layer.update()
    return made


def limbs(sides: tuple[str, str], *bones: str) -> dict[str, str]:
    """Role to bone, by names of bones with `{s}` for the side; empty ones are left out."""
    return {
        f"{part}.{side}": bone.format(s=word)
        for side, word in zip("LR", sides, strict=True)
        for part, bone in zip(_LIMBS, bones, strict=True)
        if bone
    }


def trunk(pelvis: str, spine: Sequence[str], neck: Sequence[str], head: str) -> dict[str, str]:
    """Role to bone, of the body's middle."""
    middle = dict(zip(SPINE, spine, strict=False)) | dict(zip(NECK, neck, strict=False))
    return {"pelvis": pelvis} | middle | {"head": head}


def fingers(hands: tuple[str, str], pattern: str) -> Callable[[Mapping[str, np.ndarray]], list[Row]]:
    """Five fingers of three bones at each hand; pattern: of their names, with {s} or {low}, {hand}, {finger}, {number}."""

    def rows(places: Mapping[str, np.ndarray]) -> list[Row]:
        found = []
        for side, hand in zip("LR", hands, strict=True):
            wrist, knuckles = places[f"hand.{side}"], places[f"knuckles.{side}"]
            for place, finger in enumerate(_FINGERS):
                parent, start = hand, knuckles + [0, -0.03 + 0.015 * place, 0]
                start = wrist + (start - wrist) * (0.4 if finger == "thumb" else 1.0)
                for number in range(1, 4):
                    name = pattern.format(s=side, low=side.lower(), finger=finger, number=number, hand=hand)
                    step = 0.25 * (knuckles - wrist)
                    found.append((name, parent, start, start + step))
                    parent, start = name, start + step
        return found

    return rows


def leaf(name: str, parent: str, place: Sequence[float], way: Sequence[float] = (0, 0, 0.05)):
    """One more bone."""
    return lambda _places: [(name, parent, np.array(place, float), np.array(place, float) + np.array(way))]


def twists(pattern: str, sides: tuple[str, str]) -> Callable[[Mapping[str, np.ndarray]], list[Row]]:
    """Twist bones halfway along upper arms, forearms, thighs and shins; pattern with {s} and {part}."""

    def rows(places: Mapping[str, np.ndarray]) -> list[Row]:
        found = []
        for side, word in zip("LR", sides, strict=True):
            for part, name in (
                ("upper_arm", "upperarm"),
                ("forearm", "lowerarm"),
                ("thigh", "thigh"),
                ("shin", "calf"),
            ):
                head, tail = places[f"{part}.{side}"], places[_end(f"{part}.{side}", places)]
                middle = (head + tail) / 2
                found.append((pattern.format(s=word, part=name), f"{name}_{word}", middle, tail))
        return found

    return rows


def split(part: str, second: str, sides: str = "LR") -> Callable[[Mapping[str, np.ndarray]], list[Row]]:
    """A second bone in the lower half of a limb; names with {s}, the first one's from `second` with 1 for 2."""

    def rows(places: Mapping[str, np.ndarray]) -> list[Row]:
        found = []
        for side in sides:
            head, tail = places[f"{part}.{side}"], places[_end(f"{part}.{side}", places)]
            name = second.format(s=side)
            found.append((name, name.replace("2", "1"), (head + tail) / 2, tail))
        return found

    return rows


def toes(places: Mapping[str, np.ndarray]) -> list[Row]:
    """Five toes of two bones at each foot, as MakeHuman's default rig has them."""
    found = []
    for side in "LR":
        start, tip = places[f"toe.{side}"], places[f"tip.{side}"]
        for number in range(1, 6):
            base = start + [0, 0, 0] + np.array([0.01 * (number - 3), 0, 0])
            middle, end = base + 0.5 * (tip - start), base + (tip - start)
            found.append((f"toe{number}-1.{side}", f"foot.{side}", base, middle))
            found.append((f"toe{number}-2.{side}", f"toe{number}-1.{side}", middle, end))
    return found


_MIXAMO = limbs(
    ("Left", "Right"), "{s}Shoulder", "{s}Arm", "{s}ForeArm", "{s}Hand", "{s}UpLeg", "{s}Leg", "{s}Foot", "{s}ToeBase"
)
_MIXAMO_BODY = trunk("Hips", ("Spine", "Spine1", "Spine2"), ("Neck",), "Head") | _MIXAMO
_UNREAL = limbs(
    ("l", "r"),
    "clavicle_{s}",
    "upperarm_{s}",
    "lowerarm_{s}",
    "hand_{s}",
    "thigh_{s}",
    "calf_{s}",
    "foot_{s}",
    "ball_{s}",
)
_HUMANOID = (
    "{s}Shoulder",
    "{s}UpperArm",
    "{s}LowerArm",
    "{s}Hand",
    "{s}UpperLeg",
    "{s}LowerLeg",
    "{s}Foot",
    "{s}Toes",
)


def _mixamo(prefix: str) -> Rig:
    return Rig(
        "Mixamo",
        {role: prefix + name for role, name in _MIXAMO_BODY.items()},
        (
            fingers((f"{prefix}LeftHand", f"{prefix}RightHand"), "{hand}{finger}{number}"),
            leaf(f"{prefix}HeadTop_End", f"{prefix}Head", (0, 0, 1.7)),
            leaf(f"{prefix}LeftToe_End", f"{prefix}LeftToeBase", (0.115, -0.17, 0.02), (0, -0.02, 0)),
            leaf(f"{prefix}RightToe_End", f"{prefix}RightToeBase", (-0.115, -0.17, 0.02), (0, -0.02, 0)),
        ),
        unit=0.01,
        y_up=True,
    )


def _unreal(spine: int, neck: int, **options) -> Rig:
    middle = trunk(
        "pelvis", [f"spine_0{n}" for n in range(1, spine + 1)], [f"neck_0{n}" for n in range(1, neck + 1)], "head"
    )
    return Rig(
        "Unreal mannequin",
        {"root": "root"} | middle | _UNREAL,
        (
            fingers(("hand_l", "hand_r"), "{finger}_0{number}_{low}"),
            twists("{part}_twist_01_{s}", ("l", "r")),
            leaf("ik_foot_root", "root", (0, 0, 0)),
            leaf("ik_foot_l", "ik_foot_root", (0.1, 0.02, 0.09)),
            leaf("ik_foot_r", "ik_foot_root", (-0.1, 0.02, 0.09)),
            leaf("ik_hand_root", "root", (0, 0, 0)),
            leaf("ik_hand_gun", "ik_hand_root", (-0.5, 0, 1.1)),
        ),
        arms=48.0,
        **options,
    )


def _arp(names: Mapping[str, str], *extras, **options) -> Rig:
    return Rig(options.pop("kind"), dict(names), extras, arms=40.0, **options)


_ARP_DEFORM = trunk("root.x", ("spine_01.x", "spine_02.x", "spine_03.x"), ("neck.x",), "head.x") | limbs(
    ("l", "r"),
    "shoulder.{s}",
    "arm_stretch.{s}",
    "forearm_stretch.{s}",
    "hand.{s}",
    "thigh_stretch.{s}",
    "leg_stretch.{s}",
    "foot.{s}",
    "toes_01.{s}",
)
_ARP_CONTROLS = (
    {"root": "c_traj", "body": "c_root_master.x"}
    | trunk("c_root.x", ("c_spine_01.x", "c_spine_02.x", "c_spine_03.x"), ("c_neck.x",), "c_head.x")
    | limbs(
        ("l", "r"),
        "c_shoulder.{s}",
        "c_arm_fk.{s}",
        "c_forearm_fk.{s}",
        "c_hand_fk.{s}",
        "c_thigh_fk.{s}",
        "c_leg_fk.{s}",
        "c_foot_fk.{s}",
        "c_toes_fk.{s}",
    )
)


def _arp_helpers(places: Mapping[str, np.ndarray]) -> list[Row]:
    """Auto-Rig Pro's master control, the parents of FK limbs, and the IK controls that hold the switches."""
    found = [("c_pos", "", np.zeros(3), np.array([0, 0.3, 0.0]))]
    for side, word in zip("LR", "lr", strict=True):
        arm, leg = places[f"upper_arm.{side}"], places[f"thigh.{side}"]
        found.append((f"arm_fk_pre_pole.{word}", f"c_shoulder.{word}", arm, arm + [0, 0, 0.05]))
        found.append((f"thigh_fk_pre_pole.{word}", "c_root.x", leg, leg + [0, 0, 0.05]))
        hand, foot = places[f"hand.{side}"], places[f"foot.{side}"]
        found.append((f"c_hand_ik.{word}", "c_traj", hand, hand + [0, 0.1, 0]))
        found.append((f"c_foot_ik.{word}", "c_traj", foot, foot + [0, 0.1, 0]))
    return found


def add_arp_behaviour(made: bpy.types.Object) -> None:
    """FK arms that follow the trajectory's rotation in part, deform bones that follow the controls, IK switches."""
    for word in "lr":
        helper = made.pose.bones[f"arm_fk_pre_pole.{word}"].constraints.new("COPY_ROTATION")
        helper.target, helper.subtarget, helper.influence = made, "c_traj", 0.4
        for limb in ("hand", "foot"):
            made.pose.bones[f"c_{limb}_ik.{word}"]["ik_fk_switch"] = 0.0
    for role, name in _ARP_DEFORM.items():
        follower = made.pose.bones[name].constraints.new("COPY_ROTATION")
        follower.target, follower.subtarget = made, _ARP_CONTROLS[role]


def _arp_deform(_places: Mapping[str, np.ndarray]) -> list[Row]:
    rig = Rig("Auto-Rig Pro, exported", _ARP_DEFORM, arms=40.0)
    return [(name, parent or "c_root.x", head, tail) for name, parent, head, tail in rig.rows()]


RIGS: dict[str, Rig] = {
    "mixamo": _mixamo("mixamorig:"),
    "mixamo 7": _mixamo("mixamorig7:"),
    "mixamo without colon": _mixamo("mixamorig"),
    "mixamo without prefix": _mixamo(""),
    "ue5 manny": _unreal(5, 2, odd=True, unit=0.01, turn=90.0),
    "ue4 mannequin": _unreal(3, 1, unit=0.01),
    "mpfb game engine": Rig(
        "Unreal mannequin",
        {"root": "Root"} | trunk("pelvis", ("spine_01", "spine_02", "spine_03"), ("neck_01",), "head") | _UNREAL,
        (fingers(("hand_l", "hand_r"), "{finger}_0{number}_{low}"),),
        arms=42.0,
        mode="XYZ",
    ),
    "vroid": Rig(
        "VRoid",
        {"root": "Root"}
        | trunk(
            "J_Bip_C_Hips", ("J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"), ("J_Bip_C_Neck",), "J_Bip_C_Head"
        )
        | limbs(
            ("L", "R"),
            *(
                f"J_Bip_{{s}}_{part}"
                for part in ("Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "ToeBase")
            ),
        ),
        (
            fingers(("J_Bip_L_Hand", "J_Bip_R_Hand"), "J_Bip_{s}_{finger}{number}"),
            leaf("J_Adj_L_FaceEye", "J_Bip_C_Head", (0.03, -0.06, 1.58)),
            leaf("J_Adj_R_FaceEye", "J_Bip_C_Head", (-0.03, -0.06, 1.58)),
            leaf("J_Sec_Hair1_01", "J_Bip_C_Head", (0, 0.08, 1.6), (0, 0.05, -0.2)),
            leaf("J_Sec_L_Bust1", "J_Bip_C_UpperChest", (0.07, -0.08, 1.25)),
            leaf("J_Sec_R_Bust1", "J_Bip_C_UpperChest", (-0.07, -0.08, 1.25)),
        ),
        odd=True,
    ),
    "unity humanoid": Rig(
        "Unity humanoid, VRM",
        trunk("Hips", ("Spine", "Chest", "UpperChest"), ("Neck",), "Head") | limbs(("Left", "Right"), *_HUMANOID),
        (fingers(("LeftHand", "RightHand"), "{hand} {finger} {number}"),),
        mode="ZYX",
    ),
    "vrm humanoid": Rig(
        "Unity humanoid, VRM",
        {
            role: name[0].lower() + name[1:]
            for role, name in (
                trunk("Hips", ("Spine", "Chest"), ("Neck",), "Head") | limbs(("Left", "Right"), *_HUMANOID)
            ).items()
        },
        turn=180.0,
        mode="AXIS_ANGLE",
    ),
    "vrm add-on": Rig(
        "VRM",
        {"root": "root"}
        | trunk("hips", ("spine", "chest"), ("neck",), "head")
        | limbs(
            ("L", "R"),
            "shoulder.{s}",
            "upper_arm.{s}",
            "lower_arm.{s}",
            "hand.{s}",
            "upper_leg.{s}",
            "lower_leg.{s}",
            "foot.{s}",
            "toes.{s}",
        ),
        (leaf("eye.L", "head", (0.03, -0.06, 1.58)), leaf("eye.R", "head", (-0.03, -0.06, 1.58))),
    ),
    "auto-rig pro exported": _arp(
        _ARP_DEFORM,
        fingers(("hand.l", "hand.r"), "c_{finger}{number}.{low}"),
        leaf("c_jawbone.x", "head.x", (0, -0.03, 1.5)),
        kind="Auto-Rig Pro, exported",
    ),
    "auto-rig pro controls": _arp(
        _ARP_CONTROLS,
        _arp_helpers,
        _arp_deform,
        kind="Auto-Rig Pro",
        parents={"c_traj": "c_pos", "c_spine_01.x": "c_root_master.x"}
        | {f"c_arm_fk.{side}": f"arm_fk_pre_pole.{side}" for side in "lr"}
        | {f"c_thigh_fk.{side}": f"thigh_fk_pre_pole.{side}" for side in "lr"},
    ),
    "mpfb default": Rig(
        "MPFB default",
        trunk("root", ("spine05", "spine04", "spine03", "spine02", "spine01"), ("neck01", "neck02", "neck03"), "head")
        | limbs(
            ("L", "R"),
            "clavicle.{s}",
            "upperarm01.{s}",
            "lowerarm01.{s}",
            "wrist.{s}",
            "upperleg01.{s}",
            "lowerleg01.{s}",
            "foot.{s}",
            "",
        ),
        (
            split("upper_arm", "upperarm02.{s}"),
            split("forearm", "lowerarm02.{s}"),
            split("thigh", "upperleg02.{s}"),
            split("shin", "lowerleg02.{s}"),
            leaf("shoulder01.L", "clavicle.L", (0.1, 0.01, 1.4), (0.07, 0.01, 0)),
            leaf("shoulder01.R", "clavicle.R", (-0.1, 0.01, 1.4), (-0.07, 0.01, 0)),
            leaf("pelvis.L", "root", (0.01, 0.01, 0.95), (0.08, -0.01, -0.05)),
            leaf("pelvis.R", "root", (-0.01, 0.01, 0.95), (-0.08, -0.01, -0.05)),
            leaf("jaw", "head", (0, -0.03, 1.55), (0, -0.05, -0.05)),
            fingers(("wrist.L", "wrist.R"), "finger{finger}-{number}.{s}"),
            toes,
        ),
        arms=45.0,
        parents={
            f"{part}01.{side}": above
            for side in "LR"
            for part, above in (("upperarm", f"shoulder01.{side}"), ("upperleg", f"pelvis.{side}"))
        }
        | {
            f"{part}01.{side}": f"{above}02.{side}"
            for side in "LR"
            for part, above in (("lowerarm", "upperarm"), ("lowerleg", "upperleg"))
        }
        | {
            f"{part}.{side}": f"{above}02.{side}"
            for side in "LR"
            for part, above in (("wrist", "lowerarm"), ("foot", "lowerleg"))
        },
    ),
    "makehuman cmu": Rig(
        "MakeHuman CMU",
        trunk("Hips", ("LowerBack", "Spine", "Spine1"), ("Neck", "Neck1"), "Head") | _MIXAMO,
        (
            leaf("LHipJoint", "Hips", (0.01, 0, 0.93), (0.08, 0, -0.03)),
            leaf("RHipJoint", "Hips", (-0.01, 0, 0.93), (-0.08, 0, -0.03)),
        ),
        arms=42.0,
        parents={"LeftUpLeg": "LHipJoint", "RightUpLeg": "RHipJoint"},
    ),
}
