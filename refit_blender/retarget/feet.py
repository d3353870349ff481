# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet on the floor, although feet and legs have other proportions.

A foot whose heel is raised is pitched until its toes are as high as the source's. Then the pelvis is raised or lowered.
What both feet still miss, knees make up for, within a degree; a sole below the floor lifts the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .rest import RestBody
from .rotations import about, between, unit


@dataclass(frozen=True)
class FloorNumbers:
    """Lengths in lengths of a leg, about 0.9 m; chosen on the sample video's walk, which is up to 5 cm above its floor."""

    settled: float = 0.015
    """A sole of the source that is no higher than this stands."""
    lifted: float = 0.06
    """A sole that is higher than this is as high as it is; between the two its height goes over."""
    near: float = 0.06
    """How high a sole is for its say to fall to 1/e."""
    drift: float = 0.08
    """How far a walk may be above or below its floor; soles that stay further away are meant to."""
    stance: float = 0.2
    """Seconds before and after, within which a foot stands in any walk or run."""
    hop: float = 0.03
    """How high the lower foot may be, after that, to be taken as standing."""
    spare: float = 0.004
    """What a sole may be off before a knee is bent."""
    sitting: float = 0.25
    """How high the hips of somebody are who sits on the floor or lies, whose feet are left alone."""
    pitch: float = 25.0
    """Degrees by which a foot with a raised heel may be pitched."""
    bend: float = 0.8
    """Degrees by which thighs and shins may turn: directions shall agree to 1."""


NUMBERS = FloorNumbers()


class Leg:
    """One leg of a body in motion. turns: the rotations [F,3,3] of its parts and the pelvis, from rest to the world."""

    def __init__(self, rest: RestBody, side: str, turns: Mapping[str, np.ndarray]) -> None:
        self._rest = rest
        self.turns = {part: turns[f"{part}.{side}"] for part in ("thigh", "shin", "foot")}
        self._pelvis, self._toe = turns["pelvis"], turns.get(f"toe.{side}")
        self._thigh, self._shin, self._ankle = (rest.heads[f"{part}.{side}"] for part in ("thigh", "shin", "foot"))
        self._ball = rest.end(f"foot.{side}")
        self._heel, self._under, self._tip = rest.sole_points(side)

    def joints(self, center: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hip, knee and ankle, each [F,3], where the middle between the hips is at `center` [F,3]."""
        hip = center + self._pelvis @ (self._thigh - self._rest.center)
        knee = hip + self.turns["thigh"] @ (self._shin - self._thigh)
        return hip, knee, knee + self.turns["shin"] @ (self._ankle - self._shin)

    def sole(self, ankle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How high the heel is [F], and the lower one of ball and toe tip [F], with the ankle at places [F,3]."""
        foot, ball = self.turns["foot"], self.turns["foot"] @ (self._ball - self._ankle)
        heel = foot @ (self._heel - self._ankle)
        under = foot @ (self._under - self._ankle)
        tip = ball + (foot if self._toe is None else self._toe) @ (self._tip - self._ball)
        return ankle[:, 2] + heel[:, 2], ankle[:, 2] + np.minimum(under[:, 2], tip[:, 2])

    def pitch_to(self, center: np.ndarray, height: np.ndarray, share: np.ndarray) -> None:
        """Pitch the foot about its ankle until ball or toe tip is at a height [F], by a share [F] of the way."""
        ankle, given = self.joints(center)[2], self.turns["foot"]
        axis = given @ self._rest.axes[:, 0]
        limit, angle = np.radians(NUMBERS.pitch) * share, np.zeros(len(center))
        for _ in range(4):  # Newton's method
            self.turns["foot"] = about(axis, angle) @ given
            slope = np.cross(axis, self.turns["foot"] @ (self._ball - self._ankle))[:, 2]
            length = np.linalg.norm(self._ball - self._ankle)
            slope = np.where(np.abs(slope) < 0.3 * length, -0.3 * length, slope)
            angle = np.clip(angle + (height - self.sole(ankle)[1]) / slope, -limit, limit)
        self.turns["foot"] = about(axis, angle) @ given

    def raise_ankle(self, center: np.ndarray, rise: np.ndarray) -> None:
        """Bend or stretch the knee so that the ankle is higher by `rise` [F], as far as leg and `NUMBERS.bend` allow."""
        hip, knee, ankle = self.joints(center)
        upper, lower = np.linalg.norm(knee - hip, axis=1), np.linalg.norm(ankle - knee, axis=1)
        goal = ankle - hip + rise[:, None] * [0, 0, 1]
        reach = np.clip(np.linalg.norm(goal, axis=1), np.abs(upper - lower) * 1.001, (upper + lower) * 0.9999)

        def inner(distance: np.ndarray) -> np.ndarray:
            cosine = (upper**2 + lower**2 - distance**2) / (2 * upper * lower)
            return np.arccos(np.clip(cosine, -1.0, 1.0))

        pole = np.cross(knee - hip, ankle - knee)
        straight = np.linalg.norm(pole, axis=1, keepdims=True) < 1e-3 * (upper * lower)[:, None]
        hinge = unit(np.where(straight, self.turns["thigh"] @ self._rest.axes[:, 0], pole))
        angle = inner(np.linalg.norm(ankle - hip, axis=1)) - inner(reach)
        bend = about(hinge, angle)
        swing = between(knee - hip + (bend @ (ankle - knee)[..., None])[..., 0], goal)
        part = self._allowed(swing, swing @ bend)
        self.turns["thigh"] = _part_of(swing, part) @ self.turns["thigh"]
        self.turns["shin"] = _part_of(swing @ bend, part) @ self.turns["shin"]

    @staticmethod
    def _allowed(*turns: np.ndarray) -> np.ndarray:
        """The share [F] of rotations that keeps all of them within `NUMBERS.bend`."""
        largest = np.max([_angle(turn) for turn in turns], axis=0)
        return np.minimum(1.0, np.radians(NUMBERS.bend) / np.maximum(largest, 1e-9))


def keep_on_floor(
    center: np.ndarray,
    legs: Sequence[Leg],
    heights: Sequence[tuple[np.ndarray, np.ndarray]],
    standing: np.ndarray,
    leg: float,
    floor: float,
) -> np.ndarray:
    """The middle between the target's hips [F,3] with its soles as high as the source's, and at the floor where those
    stand. `legs` are turned a little.

    heights: of the heel and of ball or toes of each leg of the source above the floor, in lengths of a leg; standing
    [F]: how much feet count, by `standing_share`; leg: the length of the target's; floor: its height.
    """
    lowest = [np.minimum(*pair) for pair in heights]
    near = [standing * np.exp(-((np.maximum(low, 0) / NUMBERS.near) ** 2)) for low in lowest]
    goals = [settled(low) * leg + floor for low in lowest]
    for one, (heel, toes), goal, weight in zip(legs, heights, goals, near, strict=True):
        one.pitch_to(center, goal, weight * _smooth((heel - toes) / NUMBERS.lifted))

    def missing() -> list[np.ndarray]:
        return [goal - np.minimum(*one.sole(one.joints(center)[2])) for goal, one in zip(goals, legs, strict=True)]

    lift = (np.array(near) * missing()).sum(axis=0) / (np.sum(near, axis=0) + 0.02)
    center = center + lift[:, None] * [0, 0, 1]
    for one, left, weight in zip(legs, missing(), near, strict=True):
        one.raise_ankle(center, np.sign(left) * np.maximum(np.abs(left) - NUMBERS.spare * leg, 0) * weight)
    soles = [np.minimum(*one.sole(one.joints(center)[2])) for one in legs]
    below = np.maximum(floor - NUMBERS.spare * leg - np.min(soles, axis=0), 0)
    return center + (standing * below)[:, None] * [0, 0, 1]


def standing_share(hips: np.ndarray) -> np.ndarray:
    """How much a body stands [F], from 0 to 1, by its hips' heights [F] in lengths of a leg."""
    return _smooth(hips / NUMBERS.sitting - 1)


def drift(lowest: np.ndarray, rate: float) -> np.ndarray:
    """How far above its floor a body stands [F], by its lowest sole's heights [F] in lengths of a leg.

    rate: frames a second. Jumps, and what is far from the floor, stay out of it.
    """
    reach = int(round(NUMBERS.stance * rate))
    rows = np.arange(len(lowest))
    stands = np.array([lowest[max(row - reach, 0) : row + reach + 1].min() for row in rows])
    smooth = np.array([stands[max(row - reach, 0) : row + reach + 1].mean() for row in rows])
    slow = smooth * (1 - _smooth(np.abs(smooth) / NUMBERS.drift - 1))
    left = lowest - slow
    return slow + left * (1 - _smooth((left - NUMBERS.hop) / (NUMBERS.drift - NUMBERS.hop)))


def settled(heights: np.ndarray) -> np.ndarray:
    """Heights of soles in lengths of a leg, with those of standing feet at the floor."""
    return heights * _smooth((heights - NUMBERS.settled) / (NUMBERS.lifted - NUMBERS.settled))


def _smooth(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share**2 * (3 - 2 * share)


def _angle(turns: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip((np.trace(turns, axis1=-2, axis2=-1) - 1) / 2, -1.0, 1.0))


def _part_of(turns: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Small rotations [F,3,3] by a share [F] of their angles."""
    skew = (turns - np.swapaxes(turns, -1, -2)) / 2
    axis = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=-1)
    return about(unit(axis), _angle(turns) * share)
