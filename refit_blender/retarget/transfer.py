# SPDX-License-Identifier: GPL-3.0-or-later
"""The transfer of a motion from one body to another, whose rest pose and proportions may differ.

Each bone gets its source joint's rotation away from rest. Limbs of the target are first turned, at rest, to where the
source's point, by the smallest rotation; so that their directions agree in the world, and twists stay. Trunk, neck,
head and clavicles keep the posture of their own rest pose. Feet are turned about the vertical only, so that soles
which are flat at rest are flat on the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..motion_keys import quaternions_of
from ..quaternions import headings, matrices_of
from ..results import JOINT_NAMES
from .feet import Leg, drift, keep_on_floor, standing_share
from .rest import RestBody
from .roles import NECK, SIDES, SPINE, joint
from .rotations import between, mixed

_ALONG = ("upper_arm", "forearm", "hand", "thigh", "shin")
_LEVEL = ("foot", "toe")
_PELVIS, _CHEST, _NECK, _HEAD = (JOINT_NAMES.index(name) for name in ("pelvis", "spine3", "neck", "head"))
_SPINE = [JOINT_NAMES.index(name) for name in ("spine1", "spine2", "spine3")]


@dataclass(frozen=True)
class Options:
    """scale: travel is scaled by the length of the legs; feet: soles are kept on the floor; root: the root bone, where
    there is one, takes place and heading on the floor.
    """

    scale: bool = True
    feet: bool = True
    root: bool = True


DEFAULTS = Options()


@dataclass(frozen=True)
class SourceMotion:
    """rest: the body at rest; turns [F,24,3,3]: from there into the world; joints [F,24,3]: in the world, the scene's
    units; floor: its height in the world; frames [F]; rate: frames a second.
    """

    rest: RestBody
    turns: np.ndarray
    joints: np.ndarray
    floor: float
    frames: np.ndarray
    rate: float


@dataclass(frozen=True)
class Placement:
    """How an armature object stands: p in its space is at `scale * axes @ p + origin` in the world."""

    axes: np.ndarray
    origin: np.ndarray
    scale: float


@dataclass(frozen=True)
class TargetMotion:
    """In the target armature's space. turns: role to rotations [F,3,3] away from rest; center [F,3]: between the hips;
    root [F,3]: head of the root bone, None where that stays.
    """

    turns: Mapping[str, np.ndarray]
    center: np.ndarray
    root: np.ndarray | None


def transfer(
    source: SourceMotion, rest: RestBody, roles: Iterable[str], placement: Placement, options: Options
) -> TargetMotion:
    """The motion of a target body. rest: the target at rest; roles: the parts that it has."""
    roles = list(roles)
    turns = {role: _turns(role, roles, source) @ alignment(role, source.rest, rest) for role in roles if role != "root"}
    center = _center(source, rest, options)
    sides = [side for side in SIDES if f"foot.{side}" in roles]
    if options.feet and sides:
        legs = [Leg(rest, side, turns) for side in sides]
        standing = standing_share((_hips(source)[:, 2] - source.floor) / source.rest.leg)
        heights = _sole_heights(source, sides, standing)
        center = keep_on_floor(center, legs, heights, standing, rest.leg, source.floor)
        for leg, side in zip(legs, sides, strict=True):
            turns |= {f"{part}.{side}": leg.turns[part] for part in ("thigh", "shin", "foot")}
    root = None
    if "root" in roles and options.root:
        upright = turns["pelvis"] @ rest.axes  # the body's left, back and up in the world
        turns["root"] = matrices_of(headings(quaternions_of(upright))) @ rest.axes.T
        under = rest.center - rest.axes[:, 2] * (rest.center @ rest.axes[:, 2] - rest.floor)
        ground = center * [1, 1, 0] + [0, 0, source.floor]
        root = ground + turns["root"] @ (rest.heads["root"] - under)
    back = placement.axes.T
    local = {role: back @ turn for role, turn in turns.items()}
    return TargetMotion(local, _inside(center, placement), None if root is None else _inside(root, placement))


def alignment(role: str, source: RestBody, target: RestBody) -> np.ndarray:
    """The rotation [3,3] of a target's bone at rest, into the source armature's space and to the source's rest pose."""
    facing = source.axes @ target.axes.T
    part = role.partition(".")[0]
    if part in _ALONG:
        return between(facing @ target.direction(role), source.direction(role)) @ facing
    foot = role.replace("toe", "foot")
    if part in _LEVEL and foot in target.heads:
        up = source.axes[:, 2]
        level = np.eye(3) - np.outer(up, up)
        ways = level @ facing @ target.direction(foot), level @ source.direction(foot)
        if min(np.linalg.norm(way) for way in ways) > 0.2:  # else the bone points downwards and says no heading
            return between(*ways) @ facing
    return facing


def _turns(role: str, roles: list[str], source: SourceMotion) -> np.ndarray:
    """Rotations [F,3,3] of the source at a role; a spine or neck with another number of bones shares them out."""
    turns = source.turns
    if role in SPINE:
        count = sum(one in roles for one in SPINE)
        place = 2 * SPINE.index(role) / (count - 1) if count > 1 else 2.0
        low = min(int(place), 1)
        return mixed(turns[:, _SPINE[low]], turns[:, _SPINE[low + 1]], place - low)
    if role in NECK:
        count = sum(one in roles for one in NECK)
        return mixed(turns[:, _CHEST], turns[:, _NECK], (NECK.index(role) + 1) / count)
    whole = {"pelvis": _PELVIS, "body": _PELVIS, "head": _HEAD}
    return turns[:, whole[role] if role in whole else joint(role)]


def _center(source: SourceMotion, rest: RestBody, options: Options) -> np.ndarray:
    """The middle between the target's hips [F,3] in the world: the source's, scaled about the floor under its start."""
    hips = _hips(source)
    start = hips[0] * [1, 1, 0] + [0, 0, source.floor]
    ratio = rest.leg / source.rest.leg
    return start + (hips - start) * ([ratio] * 3 if options.scale else [1, 1, ratio])


def _hips(source: SourceMotion) -> np.ndarray:
    """The middle between the source's hips [F,3] in the world."""
    return source.joints[:, [joint("thigh.L"), joint("thigh.R")]].mean(axis=1)


def _sole_heights(
    source: SourceMotion, sides: Sequence[str], standing: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """How high the heel [F], and the ball or the toes [F], of feet of the source are above where they stand.

    In lengths of its leg.
    """
    found = []
    for side in sides:
        turns = {
            f"{part}.{side}": source.turns[:, joint(f"{part}.{side}")] for part in ("thigh", "shin", "foot", "toe")
        }
        leg = Leg(source.rest, side, turns | {"pelvis": source.turns[:, _PELVIS]})
        heights = leg.sole(source.joints[:, joint(f"foot.{side}")])
        found.append(tuple((height - source.floor) / source.rest.leg for height in heights))
    above = standing * drift(np.min(found, axis=(0, 1)), source.rate)
    return [(heel - above, toes - above) for heel, toes in found]


def _inside(points: np.ndarray, placement: Placement) -> np.ndarray:
    return (points - placement.origin) @ placement.axes / placement.scale
