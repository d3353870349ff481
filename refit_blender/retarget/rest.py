# SPDX-License-Identifier: GPL-3.0-or-later
"""A body at rest, whatever rig it has: where its joints are, which way it faces, where its soles are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .roles import SIDES, Skeleton
from .rotations import unit

NEXT = {
    "clavicle": "upper_arm",
    "upper_arm": "forearm",
    "forearm": "hand",
    "thigh": "shin",
    "shin": "foot",
    "foot": "toe",
}
"""The part whose joint a limb points at."""


@dataclass(frozen=True)
class RestNumbers:
    """Chosen by the rigs of the tests, of which Rigify's leans most (4 degrees) and UE's has the lowest toe joints."""

    up_snap: float = 25.0
    """Degrees that a trunk may lean at rest; the axis of its armature is taken as up then."""
    left_snap: float = 15.0
    floor_reach: float = 0.12
    """Of a leg's length, how far the lowest joint may be from the armature's origin for the soles to be level with it."""
    heel: float = 0.3
    """Of the way from ankle to ball, how far the heel is behind the ankle."""
    tip: float = 0.4
    """The same for the toes' tip before the ball."""


NUMBERS = RestNumbers()


@dataclass(frozen=True)
class RestBody:
    """heads, ends: role to the place [3] of its joint, and of the bone's end, in the scene's units and the armature's
    axes. sole: height of the soles along the body's up axis, None where it has to be guessed from the joints.
    """

    heads: Mapping[str, np.ndarray]
    ends: Mapping[str, np.ndarray]
    sole: float | None = None

    @cached_property
    def axes(self) -> np.ndarray:
        """[3,3]: columns are the body's left, back and up."""
        hips, shoulders = self._pair("thigh"), self._pair("upper_arm")
        up = _snapped(shoulders.mean(axis=0) - hips.mean(axis=0), NUMBERS.up_snap)
        left = hips[0] - hips[1] + shoulders[0] - shoulders[1]
        left = _snapped(left - up * (up @ left), NUMBERS.left_snap)
        left = unit(left - up * (up @ left))
        return np.stack([left, np.cross(up, left), up], axis=1)

    @property
    def center(self) -> np.ndarray:
        """[3]: the middle between the hip joints."""
        return self._pair("thigh").mean(axis=0)

    @cached_property
    def floor(self) -> float:
        """Height of the soles along the body's up axis."""
        if self.sole is not None:
            return self.sole
        up = self.axes[:, 2]
        parts = [f"{part}.{side}" for part in ("shin", "foot", "toe") for side in SIDES]
        joints = min(float(self.heads[part] @ up) for part in parts if part in self.heads)
        lowest = min(joints, *(float(self.ends[part] @ up) for part in parts if part in self.ends))
        return 0.0 if abs(joints) < NUMBERS.floor_reach * self._limb("thigh", "shin") else lowest

    @cached_property
    def leg(self) -> float:
        """Length of a leg, from the hip to the sole."""
        ankles = [self.end(f"shin.{side}") @ self.axes[:, 2] for side in SIDES]
        return self._limb("thigh", "shin") + float(np.mean(ankles)) - self.floor

    def end(self, role: str) -> np.ndarray:
        """The place [3] that a limb's part points at: the next part's joint, or the end of its bone."""
        part, _, side = role.partition(".")
        after = f"{NEXT.get(part)}.{side}"
        return self.heads[after] if after in self.heads else self.ends[role]

    def direction(self, role: str) -> np.ndarray:
        """The unit vector [3] along a limb's part."""
        return unit(self.end(role) - self.heads[role])

    def sole_points(self, side: str) -> np.ndarray:
        """[3,3]: heel, ball and toe tip on the floor, below the foot of a side."""
        up = self.axes[:, 2]
        ankle, ball = self.heads[f"foot.{side}"], self.end(f"foot.{side}")
        level = np.eye(3) - np.outer(up, up)
        forward = level @ (ball - ankle)
        points = np.stack([ankle - NUMBERS.heel * forward, ball, ball + NUMBERS.tip * forward])
        return points @ level + self.floor * up

    def _pair(self, part: str) -> np.ndarray:
        return np.stack([self.heads[f"{part}.{side}"] for side in SIDES])

    def _limb(self, *parts: str) -> float:
        roles = [f"{part}.{side}" for part in parts for side in SIDES]
        return sum(float(np.linalg.norm(self.end(role) - self.heads[role])) for role in roles) / len(SIDES)


def rest_of(skeleton: Skeleton, bones: Mapping[str, str], scale: float) -> RestBody:
    """The body of an armature, by its bone map. scale: the scene's units that one of the armature has."""
    found = {role: skeleton.index(name) for role, name in bones.items()}
    return RestBody(
        {role: skeleton.heads[bone] * scale for role, bone in found.items()},
        {
            role: (_hand_end(skeleton, bone) if role.startswith("hand.") else skeleton.tails[bone]) * scale
            for role, bone in found.items()
        },
    )


def _hand_end(skeleton: Skeleton, hand: int) -> np.ndarray:
    """What a hand points at: its middle finger or SMPL's joint, the middle of several fingers, or its bone's end."""
    fingers = skeleton.children(hand)
    middle = [
        bone
        for bone in fingers
        if "mid" in skeleton.names[bone].lower() or skeleton.names[bone].lower() in {"left_hand", "right_hand"}
    ]
    if middle:
        return skeleton.heads[middle[0]]
    return skeleton.heads[fingers].mean(axis=0) if len(fingers) > 2 else skeleton.tails[hand]


def _snapped(direction: np.ndarray, degrees: float) -> np.ndarray:
    """The axis that a direction is close to, else the direction."""
    direction = unit(direction)
    largest = int(np.argmax(np.abs(direction)))
    if abs(direction[largest]) < np.cos(np.radians(degrees)):
        return direction
    return np.eye(3)[largest] * np.sign(direction[largest])
