# SPDX-License-Identifier: GPL-3.0-or-later
"""The bone map of a rig with unknown names, by how its bones hang together and where they are at rest.

What two mirrored chains hang from is the trunk. Of all mirrored chains the two longest pairs are arms and legs; the
arms hang from a bone further along the trunk. A limb's joints are those that divide it as limbs are divided, feet are
where a leg's way turns forward, and the feet say what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .roles import NECK, SPINE, Skeleton
from .rotations import unit


@dataclass(frozen=True)
class StructureNumbers:
    """Chosen by the rigs of the tests with their names taken away."""

    mirrored: float = 0.02
    """Of the rig's size, how far a bone may be from its partner's mirror image."""
    middle: float = 0.003
    """The same, for how far from the middle a bone of the trunk may be."""
    forward: float = 35.0
    """Degrees between a leg's direction and the bone that is taken as its foot."""
    arm: float = 1.1
    """Length of an upper arm in forearms."""
    leg: float = 1.05
    """Length of a thigh in shins."""
    shorter: float = 0.5
    """What a limb that leaves out a part of its chain pays, in logarithms of lengths."""
    low_root: float = 0.4
    """Of the hips' height, below which a bone above them is the root on the floor."""


NUMBERS = StructureNumbers()


def by_structure(skeleton: Skeleton) -> dict[str, str]:
    """Role to bone name; empty where no body is recognised."""
    try:
        found = _Body(skeleton).roles()
    except _NoBody:
        return {}
    return {role: skeleton.names[bone] for role, bone in found.items()}


class _NoBody(Exception):
    """The bones do not hang together as a body's do."""


@dataclass(frozen=True)
class _Pair:
    """Two mirrored chains of bones, each from the trunk to its farthest end; base: the bone that they hang from."""

    base: int
    chains: tuple[list[int], list[int]]
    length: float


class _Body:
    """One armature, and what is known about its sides."""

    def __init__(self, skeleton: Skeleton) -> None:
        if len(skeleton.names) < 10:
            raise _NoBody
        self._skeleton = skeleton
        self._below: list[list[int]] = [[] for _ in skeleton.names]
        for bone, parent in enumerate(skeleton.parents):
            if parent >= 0:
                self._below[parent].append(bone)
        self._size = float(np.ptp(np.concatenate([skeleton.heads, skeleton.tails]), axis=0).max()) or 1.0
        self._sideways, self._partners = self._mirror()

    def roles(self) -> dict[str, int]:
        """Role to bone. Raises _NoBody."""
        arms, legs = self._limbs()
        chest, hips = arms.base, self._hips(arms, legs)
        up = self._up(arms, legs)
        found = {"pelvis": hips} | self._trunk(hips, chest) | self._neck(chest, up)
        leg_parts = [self._leg(chain, up) for chain in legs.chains]
        forward = np.sum([self._ahead(parts, up) for parts in leg_parts], axis=0)
        left = np.cross(up, forward)
        for pair, parts in ((arms, [self._arm(chain) for chain in arms.chains]), (legs, leg_parts)):
            ends = [self._head(chain[-1]) for chain in pair.chains]
            sides = ("L", "R") if (ends[0] - ends[1]) @ left > 0 else ("R", "L")
            for side, one in zip(sides, parts, strict=True):
                found |= {f"{part}.{side}": bone for part, bone in one.items()}
        return found | self._root(hips, legs, up)

    # ------------------------------------------------------------------------------------------------------ limbs

    def _mirror(self) -> tuple[int, dict[int, int]]:
        """The axis across the body, and each mirrored bone's partner."""
        heads = self._skeleton.heads
        best: tuple[int, dict[int, int]] = (0, {})
        for axis in range(3):
            places = heads.copy()
            places[:, axis] -= heads[np.flatnonzero(self._skeleton.parents < 0)[0], axis]
            image = places * np.where(np.arange(3) == axis, -1, 1)
            away = np.linalg.norm(places[:, None] - image[None], axis=2)
            depth = np.array([len(self._skeleton.ancestors(bone)) for bone in range(len(places))])
            away += np.where(depth[:, None] == depth[None], 0, np.inf)
            nearest = away.argmin(axis=1)
            close = away.min(axis=1) < NUMBERS.mirrored * self._size
            outside = np.abs(places[:, axis]) > NUMBERS.middle * self._size
            partners = {
                int(bone): int(nearest[bone])
                for bone in np.flatnonzero(close & outside)
                if nearest[nearest[bone]] == bone
            }
            best = max(best, (axis, partners), key=lambda one: len(one[1]))
        return best

    def _limbs(self) -> tuple[_Pair, _Pair]:
        """Arms and legs."""
        pairs = []
        for bone, partner in self._partners.items():
            base = self._first_common(bone, partner)
            if (
                bone < partner
                and base >= 0
                and self._partners.get(self._child_towards(base, bone))
                in {
                    self._child_towards(base, partner),
                    None,
                }
            ):
                pairs.append((base, self._child_towards(base, bone), self._child_towards(base, partner)))
        limbs = [self._pair(*one) for one in dict.fromkeys(pairs)]
        limbs.sort(key=lambda pair: -pair.length)
        for first, second in combinations(limbs[:4], 2):
            for arms, legs in ((first, second), (second, first)):
                if arms.base != legs.base and self._arms_are_further(arms, legs):
                    return arms, legs
        raise _NoBody

    def _pair(self, base: int, first: int, second: int) -> _Pair:
        chains = self._longest(first), self._longest(second)
        return _Pair(base, chains, min(self._length(chain) for chain in chains))

    def _arms_are_further(self, arms: _Pair, legs: _Pair) -> bool:
        """Whether the trunk goes from the legs to the arms, rather than the other way."""
        above = self._skeleton.ancestors(arms.base)
        if legs.base in above:
            return True
        if arms.base in self._skeleton.ancestors(legs.base):
            return False
        shared = self._first_common(arms.base, legs.base)  # a pelvis and a spine beside each other
        return shared >= 0 and len(above) > len(self._skeleton.ancestors(legs.base))

    def _arm(self, chain: list[int]) -> dict[str, int]:
        wrist = next((bone for bone in chain if len(self._below[bone]) > 2), None)
        wrists = [wrist] if wrist in chain[2:] else chain[2:]
        upper, fore, hand = self._divided(chain, wrists, NUMBERS.arm)
        found = {"upper_arm": upper, "forearm": fore, "hand": hand}
        return ({"clavicle": chain[0]} if chain.index(upper) > 0 else {}) | found

    def _leg(self, chain: list[int], up: np.ndarray) -> dict[str, int]:
        down = unit(self._head(chain[-1]) - self._head(chain[0]))
        down = -up if down @ -up > 0 else down
        limit = np.cos(np.radians(NUMBERS.forward))
        turned = [bone for bone in chain[2:] if unit(self._end(bone, chain) - self._head(bone)) @ down < limit]
        thigh, shin, foot = self._divided(chain, turned[:1] or chain[2:], NUMBERS.leg)
        found = {"thigh": thigh, "shin": shin, "foot": foot}
        beyond = chain[chain.index(foot) + 1 :]
        several = len([bone for bone in self._below[foot] if self._below[bone]]) > 2  # a chain for each toe
        return found | ({"toe": beyond[0]} if beyond and not several else {})

    def _divided(self, chain: list[int], ends: Sequence[int], ratio: float) -> tuple[int, int, int]:
        """Where a limb begins, bends and ends: most of the chain, divided by the ratio of its two parts."""
        best, cost = None, np.inf
        for last in ends:
            for first, middle in combinations(chain[: chain.index(last)], 2):
                upper, lower, whole = (
                    float(np.linalg.norm(self._head(b) - self._head(a)))
                    for a, b in ((first, middle), (middle, last), (chain[0], ends[-1]))
                )
                if min(upper, lower) < 0.02 * self._size:
                    continue
                price = abs(np.log(upper / lower / ratio)) + NUMBERS.shorter * abs(np.log((upper + lower) / whole))
                sideways = abs(self._head(first) - self._head(middle))[self._sideways] / (upper + lower)
                if price + self._leaning(ratio, sideways) < cost:
                    best, cost = (first, middle, last), price + self._leaning(ratio, sideways)
        if best is None:
            raise _NoBody
        return best

    def _leaning(self, ratio: float, sideways: float) -> float:
        """What a thigh that comes from the middle of the body pays: a helper bone beside the hips begins there."""
        return 2 * sideways if ratio == NUMBERS.leg else 0.0

    def _ahead(self, parts: dict[str, int], up: np.ndarray) -> np.ndarray:
        """Where a foot points, along the floor."""
        foot = parts["foot"]
        end = self._head(parts["toe"]) if "toe" in parts else self._skeleton.tails[foot]
        way = end - self._head(foot)
        return way - up * (way @ up)

    # ------------------------------------------------------------------------------------------------------ trunk

    def _hips(self, arms: _Pair, legs: _Pair) -> int:
        """The bone that moves both the legs and the spine."""
        return self._first_common(arms.base, legs.chains[0][0])

    def _up(self, arms: _Pair, legs: _Pair) -> np.ndarray:
        ends = np.mean([self._head(chain[-1]) for chain in legs.chains], axis=0)
        shoulders = np.mean([self._head(chain[0]) for chain in arms.chains], axis=0)
        up = shoulders - ends
        up[self._sideways] = 0
        axis = int(np.argmax(np.abs(up)))
        return np.eye(3)[axis] * np.sign(up[axis])

    def _trunk(self, hips: int, chest: int) -> dict[str, int]:
        way = [chest, *self._skeleton.ancestors(chest)]
        if hips not in way:
            raise _NoBody
        spine = way[: way.index(hips)][::-1]
        if len(spine) > len(SPINE):
            spine = [spine[round(place)] for place in np.linspace(0, len(spine) - 1, len(SPINE))]
        return dict(zip(SPINE, spine, strict=False))

    def _neck(self, chest: int, up: np.ndarray) -> dict[str, int]:
        """Neck and head: the way up in the body's middle; the head is its longest bone, or the one that branches."""
        middle = [bone for bone in self._below[chest] if bone not in self._partners]
        middle = [bone for bone in middle if (self._end(bone, self._longest(bone)) - self._head(chest)) @ up > 0]
        if not middle:
            return {}
        longest = max((self._longest(bone) for bone in middle), key=self._length)
        chain = [bone for bone in longest if bone not in self._partners]
        branch = next((place for place, bone in enumerate(chain) if len(self._below[bone]) > 1), None)
        ends = [(self._end(bone, chain), self._skeleton.tails[bone]) for bone in chain]
        lengths = [
            max(np.linalg.norm(end - self._head(bone)) for end in both) for bone, both in zip(chain, ends, strict=True)
        ]
        last = branch or max(range(min(1, len(chain) - 1), len(chain)), key=lambda one: lengths[one])
        while last and np.linalg.norm(self._head(chain[last]) - self._head(chain[last - 1])) < 0.005 * self._size:
            last -= 1  # a bone for the face, which begins where the head does
        return {"head": chain[last]} | dict(zip(NECK, chain[:last], strict=False))

    def _root(self, hips: int, legs: _Pair, up: np.ndarray) -> dict[str, int]:
        above = self._skeleton.ancestors(hips)
        if not above:
            return {}
        floor = min(self._head(chain[-1]) @ up for chain in legs.chains)
        height = self._head(hips) @ up - floor
        low = self._head(above[-1]) @ up - floor < NUMBERS.low_root * height
        return {"root": above[-1]} if low else {}

    # ------------------------------------------------------------------------------------------------------- tree

    def _head(self, bone: int) -> np.ndarray:
        return self._skeleton.heads[bone]

    def _end(self, bone: int, chain: list[int]) -> np.ndarray:
        """The next joint of a chain, or the bone's end."""
        after = chain[chain.index(bone) + 1 :]
        return self._head(after[0]) if after else self._skeleton.tails[bone]

    def _longest(self, bone: int) -> list[int]:
        """The way from a bone to the end of its branch that is farthest along the bones."""
        ways = [self._longest(below) for below in self._below[bone]]
        lengths = [self._length([bone, *way]) for way in ways]
        return [bone, *(ways[int(np.argmax(lengths))] if ways else [])]

    def _length(self, chain: list[int]) -> float:
        heads = self._skeleton.heads[chain]
        last = np.linalg.norm(self._skeleton.tails[chain[-1]] - heads[-1])
        return float(np.linalg.norm(np.diff(heads, axis=0), axis=1).sum() + last)

    def _first_common(self, first: int, second: int) -> int:
        """The nearest bone that two hang from, or one of them; -1 for none."""
        way = [first, *self._skeleton.ancestors(first)]
        return next((bone for bone in [second, *self._skeleton.ancestors(second)] if bone in way), -1)

    def _child_towards(self, base: int, bone: int) -> int:
        """The child of a bone that another one is, or hangs from."""
        way = [bone, *self._skeleton.ancestors(bone)]
        return way[way.index(base) - 1]
