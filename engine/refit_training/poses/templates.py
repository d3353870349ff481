# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses that walking people never show, as ranges of joint angles in an anatomist's terms.

Motion capture of everyday movement holds no split, handstand, bridge or tuck; photos of sport are full of them. Each
entry below is a box of angles from which poses are drawn. Angles are degrees.

    hip  flexion, spread (abduction), turn_out     knee  flexion      ankle  point (of the toes)     toes  curl
    arm  raise (0 hanging, 180 overhead), plane (0 sideways, 90 forwards, -90 backwards), turn_in    elbow  flexion
    palm turn (+ palm down), wrist bend (+ back of the hand nearer)
    spine, neck: bend forwards, lean (left), turn (left)
    pitch (90 face down, -90 face up, 180 upside down), roll (+ onto the right side)
"""

from dataclasses import dataclass, field

__all__ = ["ARMS", "BODIES", "DEFAULTS", "DEGREES_OF_FREEDOM", "MIDLINE", "SIDED", "Arms", "Body"]

Box = tuple[float, float]

SIDED = ("hip_flex", "hip_spread", "hip_out", "knee", "point", "curl",
         "arm_raise", "arm_plane", "arm_in", "elbow", "palm", "wrist")  # fmt: skip
MIDLINE = ("spine_flex", "spine_lean", "spine_turn", "neck_flex", "neck_lean", "neck_turn", "pitch", "roll")
DEGREES_OF_FREEDOM = len(SIDED) * 2 + len(MIDLINE)

DEFAULTS: dict[str, Box] = {
    "hip_flex": (-8, 15), "hip_spread": (-3, 14), "hip_out": (-8, 18),
    "knee": (0, 15), "point": (-8, 12), "curl": (-8, 4),
    "arm_raise": (5, 35), "arm_plane": (-20, 70), "arm_in": (-10, 45),
    "elbow": (3, 50), "palm": (-40, 50), "wrist": (-25, 35),
    "spine_flex": (-10, 20), "spine_lean": (-10, 10), "spine_turn": (-12, 12),
    "neck_flex": (-25, 30), "neck_lean": (-15, 15), "neck_turn": (-40, 40),
    "pitch": (-8, 12), "roll": (-6, 6),
}  # fmt: skip


@dataclass(frozen=True)
class Arms:
    """How one arm is held; `angles` override DEFAULTS."""

    angles: dict[str, Box]
    weight: float = 1.0


@dataclass(frozen=True)
class Body:
    """A pose of trunk and legs.

    both: angles of both sides; lead and trail override them on one side each (which is left is drawn by chance).
    arms: names in ARMS that go with it; empty = any. `weight`: how often, relative to the others.
    """

    both: dict[str, Box] = field(default_factory=dict)
    lead: dict[str, Box] = field(default_factory=dict)
    trail: dict[str, Box] = field(default_factory=dict)
    arms: tuple[str, ...] = ()
    weight: float = 1.0


ARMS: dict[str, Arms] = {
    "hanging": Arms({}, 1.5),
    "overhead": Arms({"arm_raise": (145, 180), "arm_plane": (40, 100), "arm_in": (-10, 55), "elbow": (0, 30)}, 1.5),
    "overhead_bent": Arms({"arm_raise": (120, 175), "arm_plane": (10, 90), "arm_in": (-40, 20), "elbow": (30, 130)}),
    "vee": Arms({"arm_raise": (105, 150), "arm_plane": (-15, 45), "arm_in": (-30, 30), "elbow": (0, 30)}, 1.3),
    "level": Arms({"arm_raise": (70, 105), "arm_plane": (-25, 30), "arm_in": (-30, 40), "elbow": (0, 30)}, 1.3),
    "forwards": Arms({"arm_raise": (65, 115), "arm_plane": (60, 100), "arm_in": (-20, 40), "elbow": (0, 45)}),
    "reach_low": Arms({"arm_raise": (25, 70), "arm_plane": (50, 100), "elbow": (0, 50)}),
    "across": Arms({"arm_raise": (45, 95), "arm_plane": (95, 130), "arm_in": (0, 60), "elbow": (20, 120)}),
    "folded": Arms({"arm_raise": (25, 50), "arm_plane": (70, 110), "arm_in": (30, 70), "elbow": (95, 125)}, 0.7),
    "on_hip": Arms({"arm_raise": (35, 60), "arm_plane": (-20, 20), "arm_in": (20, 60), "elbow": (75, 115)}),
    "behind": Arms({"arm_raise": (20, 60), "arm_plane": (-90, -40), "arm_in": (-10, 70), "elbow": (0, 90)}),
    "leaning_back": Arms({"arm_raise": (30, 65), "arm_plane": (-95, -55), "arm_in": (-20, 20), "elbow": (0, 15)}, 0.5),
    "behind_head": Arms(
        {"arm_raise": (105, 150), "arm_plane": (0, 50), "arm_in": (-60, -10), "elbow": (115, 145)}, 0.7,
    ),
    "at_face": Arms({"arm_raise": (35, 80), "arm_plane": (50, 100), "arm_in": (0, 45), "elbow": (115, 148)}),
    "guard": Arms({"arm_raise": (15, 60), "arm_plane": (30, 90), "arm_in": (0, 40), "elbow": (95, 140)}),
    "cocked": Arms({"arm_raise": (75, 115), "arm_plane": (-30, 15), "arm_in": (-95, -40), "elbow": (50, 125)}, 1.2),
    "waving": Arms({"arm_raise": (55, 110), "arm_plane": (0, 50), "arm_in": (-85, -40), "elbow": (50, 130)}),
    "pressing": Arms({"arm_raise": (35, 100), "arm_plane": (20, 80), "arm_in": (-10, 50), "elbow": (70, 140)}),
    "pumping_front": Arms({"arm_raise": (10, 55), "arm_plane": (60, 110), "arm_in": (0, 40), "elbow": (70, 125)}),
    "pumping_back": Arms({"arm_raise": (25, 75), "arm_plane": (-95, -50), "arm_in": (-10, 40), "elbow": (50, 115)}),
    "carrying": Arms({"arm_raise": (5, 35), "arm_plane": (20, 90), "arm_in": (-10, 45), "elbow": (60, 110)}),
    "anything": Arms(
        {"arm_raise": (0, 180), "arm_plane": (-90, 130), "arm_in": (-80, 70), "elbow": (0, 148), "palm": (-80, 80),
         "wrist": (-60, 60)}, 2.5,
    ),
}  # fmt: skip

_UP = ("overhead", "overhead_bent", "vee")
_ON_HANDS = ("overhead", "overhead", "forwards")
_DOWN_IN_FRONT = ("forwards", "forwards", "reach_low", "pressing")

BODIES: dict[str, Body] = {
    # Upright
    "standing": Body(weight=1.5),
    "wide_stance": Body({"hip_spread": (12, 40), "hip_out": (0, 40), "knee": (0, 35), "hip_flex": (0, 35)}),
    "weight_on_one_leg": Body(
        lead={"hip_flex": (10, 40), "knee": (15, 65), "hip_spread": (0, 30)},
        trail={"hip_spread": (-12, 5)},
    ),
    "bowing": Body({"hip_flex": (40, 105), "knee": (0, 35), "pitch": (30, 100), "spine_flex": (10, 65)}),
    "leaning_aside": Body(
        {"spine_lean": (-45, 45), "spine_turn": (-35, 35), "roll": (-25, 25), "hip_spread": (0, 30)},
    ),
    "turning": Body(
        {"spine_turn": (-50, 50), "neck_turn": (-60, 60), "hip_spread": (5, 30), "knee": (5, 45),
            "hip_flex": (5, 45)},
    ),
    "arching": Body({"spine_flex": (-65, -15), "hip_flex": (-30, 5), "pitch": (-30, 10), "neck_flex": (-50, 0)}),
    "ready": Body(
        {"hip_flex": (35, 80), "knee": (35, 85), "hip_spread": (10, 35), "hip_out": (5, 30),
            "point": (-30, -5), "pitch": (15, 50), "spine_flex": (0, 35)},
        weight=1.5,
    ),
    "skating": Body(
        {"pitch": (25, 65), "spine_flex": (5, 35)},
        lead={"hip_flex": (50, 100), "knee": (60, 105), "point": (-30, 0)},
        trail={"hip_flex": (-20, 30), "hip_spread": (15, 50), "hip_out": (10, 45), "knee": (0, 50)},
    ),
    "running": Body(
        {"pitch": (0, 30), "spine_turn": (-25, 25)},
        lead={"hip_flex": (40, 100), "knee": (55, 125), "point": (-15, 20)},
        trail={"hip_flex": (-35, 5), "knee": (0, 100), "point": (0, 45)},
        weight=1.5,
    ),
    "kicking": Body(
        {"pitch": (-35, 25), "spine_flex": (-10, 35)},
        lead={"hip_flex": (45, 130), "hip_spread": (0, 50), "knee": (0, 60), "point": (0, 50)},
        trail={"knee": (0, 35)},
        weight=1.2,
    ),
    "kicking_aside": Body(
        {"roll": (15, 70), "spine_lean": (-15, 25)},
        lead={"hip_flex": (20, 95), "hip_spread": (45, 90), "knee": (0, 110), "hip_out": (-30, 40)},
        trail={"knee": (0, 30)},
    ),
    "kicking_back": Body(
        {"pitch": (5, 70), "spine_flex": (-50, 10)},
        lead={"hip_flex": (-55, -10), "knee": (0, 120), "hip_out": (0, 50), "point": (10, 55)},
        trail={"hip_flex": (0, 40)},
    ),
    "knee_raised": Body(
        lead={"hip_flex": (60, 125), "hip_spread": (-5, 45), "hip_out": (-10, 50), "knee": (50, 145)},
        weight=1.2,
    ),
    "foot_at_knee": Body(
        lead={"hip_flex": (35, 85), "hip_spread": (30, 65), "hip_out": (30, 65), "knee": (95, 140),
            "point": (0, 50)},
    ),
    "arabesque": Body(
        {"pitch": (20, 95), "spine_flex": (-55, 0)},
        lead={"hip_flex": (-50, -10), "hip_out": (0, 50), "knee": (0, 30), "point": (20, 60)},
        trail={"hip_flex": (10, 90), "knee": (0, 20)},
    ),
    "leg_held_up": Body(
        {"spine_lean": (-20, 20)},
        lead={"hip_flex": (20, 130), "hip_spread": (50, 90), "hip_out": (10, 60), "knee": (0, 30),
            "point": (10, 60)},
        trail={"knee": (0, 10)},
    ),
    # Low
    "squatting": Body(
        {"hip_flex": (75, 130), "hip_spread": (5, 45), "hip_out": (5, 50), "knee": (80, 150),
            "point": (-33, 0), "pitch": (0, 50), "spine_flex": (0, 45)},
        weight=1.8,
    ),
    "squatting_on_toes": Body(
        {"hip_flex": (70, 125), "hip_spread": (5, 40), "knee": (110, 150), "point": (-20, 20),
            "curl": (-50, -20), "pitch": (-5, 45), "spine_flex": (0, 45)},
    ),
    "lunging": Body(
        {"pitch": (-8, 35)},
        lead={"hip_flex": (55, 110), "knee": (60, 120), "point": (-25, 15)},
        trail={"hip_flex": (-45, 10), "knee": (0, 95), "point": (-20, 30), "curl": (-50, 0)},
        weight=1.8,
    ),
    "lunging_aside": Body(
        {"pitch": (0, 40), "spine_lean": (-20, 20)},
        lead={"hip_flex": (50, 115), "hip_spread": (20, 55), "hip_out": (10, 50), "knee": (70, 140)},
        trail={"hip_flex": (0, 50), "hip_spread": (35, 75), "knee": (0, 15)},
        weight=1.2,
    ),
    "kneeling": Body({"hip_flex": (-10, 45), "knee": (75, 115), "point": (0, 60), "pitch": (-15, 20)}),
    "sitting_on_heels": Body(
        {"hip_flex": (60, 110), "knee": (125, 150), "point": (20, 60), "hip_spread": (0, 30),
            "pitch": (-10, 30)},
    ),
    "on_one_knee": Body(
        {"pitch": (-5, 30)},
        lead={"hip_flex": (65, 115), "knee": (70, 125), "hip_spread": (0, 30)},
        trail={"hip_flex": (-20, 40), "knee": (75, 130), "point": (-10, 55)},
        weight=1.2,
    ),
    "start_crouch": Body(
        {"pitch": (60, 115), "spine_flex": (10, 45), "neck_flex": (-45, 10)},
        lead={"hip_flex": (95, 140), "knee": (80, 130)},
        trail={"hip_flex": (60, 120), "knee": (60, 120)},
        arms=_DOWN_IN_FRONT,
    ),
    "all_fours": Body(
        {"hip_flex": (60, 115), "knee": (65, 125), "point": (-10, 60), "pitch": (70, 110),
            "neck_flex": (-45, 15)},
        arms=_DOWN_IN_FRONT, weight=1.2,
    ),
    "crawling": Body(
        {"pitch": (60, 105), "neck_flex": (-45, 10), "spine_turn": (-20, 20)},
        lead={"hip_flex": (95, 140), "knee": (80, 140), "hip_spread": (0, 50)},
        trail={"hip_flex": (20, 90), "knee": (30, 110)},
        arms=(*_DOWN_IN_FRONT, "overhead"),
    ),
    "on_hands_and_feet": Body(
        {"hip_flex": (35, 115), "knee": (0, 85), "point": (-30, 10), "curl": (-50, -10), "pitch": (75, 140),
            "spine_flex": (-5, 35)},
        arms=(*_DOWN_IN_FRONT, "overhead"),
    ),
    "press_up": Body(
        {"hip_flex": (-15, 20), "knee": (0, 20), "pitch": (65, 100), "curl": (-50, -10),
            "neck_flex": (-40, 10)},
        arms=_DOWN_IN_FRONT,
    ),
    "side_plank": Body(
        {"roll": (55, 95), "hip_flex": (-5, 30), "hip_spread": (0, 35)},
        arms=("level", "overhead", "hanging"),
    ),
    # Seated
    "sitting": Body(
        {"hip_flex": (60, 110), "hip_spread": (-5, 35), "hip_out": (-15, 35), "knee": (45, 120),
            "pitch": (-30, 25), "spine_flex": (-5, 50)},
        weight=2.0,
    ),
    "legs_crossed_on_chair": Body(
        {"pitch": (-25, 15), "hip_flex": (70, 105), "knee": (60, 110)},
        lead={"hip_spread": (-22, -5), "hip_flex": (80, 115)},
    ),
    "sitting_legs_long": Body(
        {"hip_flex": (65, 125), "hip_spread": (0, 20), "knee": (0, 40), "pitch": (-35, 35),
            "spine_flex": (0, 60), "point": (-20, 50)},
    ),
    "sitting_astride": Body(
        {"hip_flex": (60, 120), "hip_spread": (30, 85), "hip_out": (0, 40), "knee": (0, 50),
            "pitch": (-25, 45), "spine_flex": (0, 45)},
    ),
    "sitting_cross_legged": Body(
        {"hip_flex": (75, 120), "hip_spread": (25, 60), "hip_out": (30, 68), "knee": (95, 145),
            "pitch": (-25, 25), "spine_flex": (0, 45)},
    ),
    "sitting_knees_up": Body(
        {"hip_flex": (85, 135), "knee": (75, 145), "hip_spread": (-3, 35), "pitch": (-40, 15),
            "spine_flex": (5, 55)},
    ),
    "sitting_hurdler": Body(
        {"pitch": (-15, 55), "spine_flex": (0, 45)},
        lead={"hip_flex": (75, 120), "knee": (0, 30), "hip_spread": (0, 35)},
        trail={"hip_flex": (30, 100), "hip_spread": (25, 75), "hip_out": (-60, 20), "knee": (90, 150)},
    ),
    "riding": Body(
        {"hip_flex": (50, 110), "hip_spread": (20, 50), "knee": (50, 115), "pitch": (-5, 60),
            "spine_flex": (0, 40)},
        arms=("forwards", "reach_low", "carrying", "pumping_front"),
    ),
    # Lying
    "lying_face_up": Body(
        {"pitch": (-105, -70), "hip_flex": (-5, 70), "knee": (0, 110), "hip_spread": (0, 40),
            "roll": (-20, 20)},
        weight=1.4,
    ),
    "lying_face_down": Body(
        {"pitch": (75, 105), "hip_flex": (-25, 15), "knee": (0, 120), "hip_spread": (0, 45),
            "spine_flex": (-50, 10), "roll": (-15, 15), "neck_turn": (-70, 70), "point": (0, 60)},
        weight=1.2,
    ),
    "lying_on_side": Body(
        {"roll": (65, 115), "hip_flex": (0, 100), "knee": (0, 120), "pitch": (-25, 25),
            "spine_flex": (-15, 45)},
        weight=1.2,
    ),
    "curled_up": Body(
        {"roll": (60, 120), "hip_flex": (90, 140), "knee": (95, 150), "spine_flex": (30, 80),
            "neck_flex": (10, 50)},
    ),
    "on_back_legs_up": Body(
        {"pitch": (-150, -80), "hip_flex": (40, 125), "hip_spread": (0, 60), "knee": (0, 70),
            "spine_flex": (0, 65), "point": (0, 55)},
    ),
    "sit_up": Body({"pitch": (-85, -35), "hip_flex": (40, 115), "knee": (20, 115), "spine_flex": (15, 65)}),
    "bow_on_belly": Body(
        {"pitch": (60, 100), "hip_flex": (-45, -10), "knee": (30, 130), "spine_flex": (-70, -25),
            "neck_flex": (-55, -10)},
        arms=("behind", "behind", "overhead"),
    ),
    # Split, arched and upside down
    "front_split": Body(
        {"pitch": (-20, 50), "roll": (-15, 15), "spine_flex": (-45, 35)},
        lead={"hip_flex": (60, 125), "knee": (0, 20), "point": (0, 60)},
        trail={"hip_flex": (-58, -15), "knee": (0, 35), "hip_out": (-10, 35), "point": (10, 60)},
        weight=2.0,
    ),
    "side_split": Body(
        {"hip_flex": (0, 75), "hip_spread": (50, 92), "hip_out": (0, 50), "knee": (0, 15), "point": (0, 60),
            "pitch": (-15, 70)},
        weight=1.8,
    ),
    "split_any_way_up": Body(
        {"pitch": (-180, 180), "roll": (-60, 60)},
        lead={"hip_flex": (40, 120), "knee": (0, 45), "hip_spread": (-5, 40), "point": (0, 60)},
        trail={"hip_flex": (-58, -5), "knee": (0, 60), "hip_spread": (-5, 40), "point": (0, 60)},
        weight=2.5,
    ),
    "bridge": Body(
        {"pitch": (-110, -50), "hip_flex": (-50, -5), "knee": (30, 110), "hip_spread": (0, 30),
            "spine_flex": (-80, -30), "neck_flex": (-55, -10), "point": (-10, 40)},
        arms=("overhead",), weight=1.5,
    ),
    "walkover": Body(
        {"pitch": (-160, -60), "spine_flex": (-80, -20), "neck_flex": (-50, 0)},
        lead={"hip_flex": (20, 110), "knee": (0, 40), "point": (10, 60)},
        trail={"hip_flex": (-55, 0), "knee": (0, 80)},
        arms=("overhead",), weight=1.8,
    ),
    "handstand": Body(
        {"pitch": (150, 215), "hip_flex": (-25, 25), "knee": (0, 30), "spine_flex": (-40, 15),
            "neck_flex": (-45, 15), "point": (10, 60)},
        arms=_ON_HANDS, weight=2.5,
    ),
    "handstand_legs_apart": Body(
        {"pitch": (130, 230), "spine_flex": (-45, 25), "neck_flex": (-45, 15), "roll": (-25, 25)},
        lead={"hip_flex": (0, 110), "hip_spread": (0, 60), "knee": (0, 90), "point": (0, 60)},
        trail={"hip_flex": (-55, 20), "hip_spread": (0, 60), "knee": (0, 110), "point": (0, 60)},
        arms=_ON_HANDS, weight=3.5,
    ),
    "handstand_astride": Body(
        {"pitch": (130, 230), "hip_flex": (0, 100), "hip_spread": (35, 88), "knee": (0, 20),
            "point": (10, 60)},
        arms=_ON_HANDS, weight=2.0,
    ),
    "cartwheel": Body(
        {"roll": (60, 300), "hip_spread": (25, 75), "hip_flex": (-10, 40), "knee": (0, 25),
            "point": (10, 60)},
        arms=("overhead", "vee", "level"), weight=2.5,
    ),
    "headstand": Body(
        {"pitch": (140, 220), "hip_flex": (-10, 120), "hip_spread": (0, 60), "knee": (0, 140),
            "spine_flex": (-20, 30)},
        arms=("overhead_bent", "pressing", "at_face"), weight=1.3,
    ),
    "freeze": Body(
        {"pitch": (90, 250), "roll": (-60, 60), "spine_turn": (-40, 40), "spine_lean": (-30, 30)},
        lead={"hip_flex": (-20, 120), "hip_spread": (0, 80), "knee": (0, 145), "hip_out": (-30, 60)},
        trail={"hip_flex": (-40, 110), "hip_spread": (0, 80), "knee": (0, 145), "hip_out": (-30, 60)},
        weight=2.5,
    ),
    # In the air
    "tuck": Body(
        {"pitch": (-180, 180), "hip_flex": (90, 142), "knee": (85, 150), "hip_spread": (-3, 45),
            "spine_flex": (5, 75), "point": (0, 60)},
        arms=("reach_low", "forwards", "pumping_front", "overhead", "anything"), weight=2.5,
    ),
    "pike": Body(
        {"pitch": (-180, 180), "hip_flex": (70, 142), "knee": (0, 25), "hip_spread": (0, 30),
            "spine_flex": (0, 65), "point": (10, 60)},
        weight=2.2,
    ),
    "astride_jump": Body(
        {"pitch": (-30, 80), "hip_flex": (55, 130), "hip_spread": (25, 88), "knee": (0, 30),
            "spine_flex": (0, 45), "point": (10, 60)},
        weight=1.3,
    ),
    "layout": Body(
        {"pitch": (-180, 180), "roll": (-40, 40), "hip_flex": (-35, 20), "knee": (0, 40),
            "spine_flex": (-60, 20), "point": (10, 60)},
        weight=2.0,
    ),
    "twisting": Body(
        {"pitch": (-180, 180), "roll": (-90, 90), "spine_turn": (-45, 45), "hip_flex": (-25, 60),
            "knee": (0, 90)},
        weight=1.5,
    ),
    "star_jump": Body(
        {"hip_spread": (15, 65), "hip_flex": (-25, 40), "knee": (0, 45), "pitch": (-25, 40),
            "point": (0, 60), "spine_flex": (-40, 15)},
        arms=(*_UP, "level", "anything"), weight=1.2,
    ),
    "heels_back_jump": Body(
        {"hip_flex": (-40, 20), "knee": (50, 145), "spine_flex": (-55, 10), "pitch": (-20, 45),
            "point": (0, 60)},
    ),
    "tuck_jump": Body(
        {"hip_flex": (60, 135), "knee": (60, 150), "hip_spread": (0, 50), "pitch": (-25, 45)},
        weight=1.2,
    ),
    "leap": Body(
        {"pitch": (-25, 45)},
        lead={"hip_flex": (45, 115), "knee": (0, 110), "hip_spread": (0, 40)},
        trail={"hip_flex": (-50, 10), "knee": (0, 120), "hip_out": (0, 40), "point": (0, 60)},
        weight=1.8,
    ),
    "hurdling": Body(
        {"pitch": (20, 70), "spine_flex": (10, 50)},
        lead={"hip_flex": (75, 125), "knee": (0, 50)},
        trail={"hip_flex": (10, 80), "hip_spread": (40, 88), "hip_out": (-55, 10), "knee": (70, 130)},
        weight=1.2,
    ),
    "vaulting": Body(
        {"pitch": (20, 120), "hip_flex": (80, 140), "knee": (60, 145), "hip_spread": (0, 60),
            "spine_flex": (5, 50)},
        arms=_DOWN_IN_FRONT, weight=1.8,
    ),
    "vaulting_aside": Body(
        {"roll": (20, 85), "pitch": (-20, 50)},
        lead={"hip_flex": (30, 120), "knee": (0, 110), "hip_spread": (0, 70)},
        trail={"hip_flex": (20, 110), "knee": (0, 120)},
        arms=("reach_low", "behind", "level", "anything"), weight=1.8,
    ),
    "diving": Body(
        {"pitch": (60, 180), "hip_flex": (-20, 50), "knee": (0, 50), "spine_flex": (-35, 30)},
        arms=("overhead", "forwards", "vee"), weight=1.3,
    ),
    "falling": Body(
        {"pitch": (-180, 180), "roll": (-180, 180)},
        lead={"hip_flex": (-30, 130), "knee": (0, 130), "hip_spread": (0, 60)},
        trail={"hip_flex": (-40, 110), "knee": (0, 130), "hip_spread": (0, 60)},
        weight=1.5,
    ),
    # Holding on
    "hanging": Body(
        {"hip_flex": (-25, 60), "knee": (0, 110), "hip_spread": (0, 40), "pitch": (-35, 35)},
        arms=("overhead",), weight=1.2,
    ),
    "swinging": Body(
        {"pitch": (-120, 120), "hip_flex": (-35, 110), "knee": (0, 50), "spine_flex": (-45, 40)},
        arms=("overhead", "forwards"), weight=1.3,
    ),
    "climbing": Body(
        {"pitch": (-30, 35), "spine_lean": (-25, 25)},
        lead={"hip_flex": (60, 135), "hip_spread": (10, 75), "hip_out": (0, 65), "knee": (50, 140)},
        trail={"hip_flex": (-15, 70), "hip_spread": (0, 50), "hip_out": (0, 45), "knee": (0, 90)},
        arms=(*_UP, "overhead_bent", "forwards", "anything"), weight=2.0,
    ),
    # Whatever the joints allow
    "anything": Body(
        {"pitch": (-180, 180), "roll": (-90, 90), "spine_flex": (-60, 80), "spine_lean": (-45, 45),
            "spine_turn": (-45, 45), "neck_flex": (-50, 50), "neck_lean": (-40, 40),
            "neck_turn": (-70, 70)},
        lead={"hip_flex": (-45, 140), "hip_spread": (-25, 88), "hip_out": (-50, 65), "knee": (0, 150),
            "point": (-33, 60), "curl": (-50, 30)},
        trail={"hip_flex": (-45, 140), "hip_spread": (-25, 88), "hip_out": (-50, 65), "knee": (0, 150),
            "point": (-33, 60), "curl": (-50, 30)},
        weight=3.5,
    ),
    "any_legs_upright": Body(
        lead={"hip_flex": (-45, 130), "hip_spread": (-20, 80), "hip_out": (-40, 60), "knee": (0, 148),
            "point": (-30, 60)},
        trail={"hip_flex": (-45, 130), "hip_spread": (-20, 80), "hip_out": (-40, 60), "knee": (0, 148),
            "point": (-30, 60)},
        weight=1.5,
    ),
}  # fmt: skip
