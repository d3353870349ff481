# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joints a picture shows, and which rotations it leaves open.

Whether a limb lies in the picture follows from the body. Whether something stands in front of it, the network tells: what
it thinks of the limb's landmarks, how far the body is from them, and how its keypoint maps answer there. A limb is taken
for hidden from a joint on, so that everything from there to its end is asked together.

A network that looks for a limb which the border cuts off often finds it inside, on something else. So it is believed the
less, the farther the limb would reach over the border if it pointed there.

B people, 24 joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from scipy.special import expit

from ..body import SMPL_JOINT_NAMES, SMPL_PARENTS
from ..body.points import LANDMARK_NAMES
from ..crop import CROP_SIZE, Crop, crop_matrix, invert, transform
from ..device import exact
from ..network import CropCamera, Encoding, Estimate
from ..network.geometry import project_to_crop
from ..network.refit import PosePoints
from ..network.vector_head import flat_landmarks
from .crops.refinement import CropSource, present
from .subject import Subject

__all__ = ["FEET", "LIMBS", "LIMB_ENDS", "SHOWN", "TELLING", "Evidence", "Shown", "ShownModel", "evidence", "guessed_feet",
           "guessed_joints", "hidden_bones", "in_any_part_from", "limb_evidence", "open_rotations", "over_border",
           "shown_from"]  # fmt: skip


@dataclass(frozen=True)
class CoverModel:
    """Log odds that nothing covers a limb from a joint on: `weights` times what the network tells (`Evidence.told`, the
    mean from that joint on), plus the joint's constant. Fitted on 294 pictures of rendered people whom the picture's border
    cuts or something covers.

    bias: added, since to take a limb for hidden that is seen is worse than the contrary; chosen where few are (one of
    twenty joints on rendered people) and no marked joint of photos gets worse.
    cut: taken off where the limb may reach over the picture's border, times how far (`Evidence.over`). Chosen on 32 photos
    with marked joints, each cut at up to nine places: half as many cut joints are missed, and of those that are seen and
    found one in twenty is taken for hidden.
    """

    weights: tuple[float, float, float, float]
    constants: tuple[float, float, float]
    bias: float
    cut: float


@dataclass(frozen=True)
class ShownModel:
    """How likely it is that a limb is shown.

    arm, leg: constants for the limb from the elbow (knee), the wrist (ankle) and the hand (foot) on.
    border: crop pixels beside the picture's border over which the probability falls. along: where between its ends a
    bone must be in the picture for its direction to be held by it. sharpness: what the log odds are multiplied with, so
    that few limbs are half open. closed, opened: how likely nothing is shown up to which a rotation stays, and from which on it is
    wholly open.
    """

    arm: CoverModel = CoverModel((0.11, 0.35, -0.68, 4.23), (0.59, -0.79, -1.21), 2.0, 4.0)
    leg: CoverModel = CoverModel((0.36, 0.52, -0.70, 4.46), (-0.04, -1.46, -1.45), 1.5, 1.0)
    border: float = 1.5
    along: float = 0.65
    sharpness: float = 2.0
    closed: float = 0.5
    opened: float = 1.0


SHOWN = ShownModel()
GUESSED = 0.5
"""How far nothing of a limb may be shown before its joints are called guessed."""
_LARGEST_ODDS = 8.0
_PARENTS = np.maximum(SMPL_PARENTS, 0)
_JOINT = SMPL_JOINT_NAMES.index
_LANDMARK = LANDMARK_NAMES.index
_SIDES = ("left", "right")
_ARM = {"elbow": ("elbow",), "wrist": ("wrist",), "hand": ("index", "pinky", "thumb")}
_LEG = {"knee": ("knee",), "ankle": ("ankle", "heel"), "foot": ("foot_index",)}
LIMBS = tuple(tuple(_JOINT(f"{side}_{part}") for part in parts) for parts in (_ARM, _LEG) for side in _SIDES)
"""The joints that the bones of an arm or leg end at, from the trunk outwards: left and right arm, left and right leg."""
LIMB_ENDS = tuple(joint for limb in LIMBS for joint in limb)
TELLING = {
    _JOINT(f"{side}_{joint}"): [_LANDMARK(f"{side}_{name}") for name in names]
    for parts in (_ARM, _LEG)
    for joint, names in parts.items()
    for side in _SIDES
}
"""The landmarks that tell whether a limb's joint is seen."""
FEET = np.array([[_JOINT(f"{side}_{part}") for part in ("ankle", "foot")] for side in _SIDES])
"""Joints [2,2] of the left and the right foot."""


@dataclass(frozen=True)
class Evidence:
    """What is known of B people's joints.

    inside: [B,24] how far a joint lies in the picture, 0 to 1; along: [B,24] the same of a point of the bone that ends there.
    over: [B,24] how much of a limb up to the joint would lie beyond the nearest border if it pointed there, 0 to 1.
    told: [B,24,4] what the network tells of a limb's joints: log odds of their landmarks' visibility and presence, log of the
    body's distance from them in crop pixels, answer of the keypoint maps near the joint; None without landmarks.
    """

    inside: np.ndarray
    along: np.ndarray
    over: np.ndarray
    told: np.ndarray | None = None


def evidence(
    subject: Subject,
    encoding: Encoding,
    estimate: Estimate,
    camera: CropCamera,
    crops: Sequence[Crop],
    sources: Sequence[CropSource],
    model: ShownModel = SHOWN,
) -> Evidence:
    """What pictures tell of bodies. crops: which the encoding was made from; sources: of which pictures."""
    joints = subject.loop_body.model.joints(estimate.betas, estimate.rotmats())
    places = exact(project_to_crop(joints, estimate.cam, camera)).numpy()
    towards = places[:, _PARENTS] + model.along * (places - places[:, _PARENTS])
    margins, inner = (
        np.stack([_margins(*one) for one in zip(points, crops, sources, strict=True)]) for points in (places, towards)
    )
    inside, along = expit(margins / model.border), expit(inner / model.border)
    over = over_border(margins, exact(joints).numpy(), _pixels_a_metre(joints, places, estimate, camera))
    told = None
    if encoding.landmarks is not None and subject.landmark_points is not None:
        answers = exact(subject.confidence.map_answers(encoding, camera, estimate)).numpy()
        told = _told(encoding, estimate, camera, subject.landmark_points)
        told = np.concatenate([told, answers[..., None]], axis=2)
    return Evidence(inside, along, over, told)


def _margins(points: np.ndarray, crop: Crop, source: CropSource) -> np.ndarray:
    """How far crop pixels [K,2] are from the picture's nearest border: [K] crop pixels, negative outside."""
    pixels = transform(invert(crop_matrix(crop, source.intrinsics)), points)
    margin = np.minimum(pixels, np.array(source.pixels.shape[1::-1]) - pixels).min(axis=1)
    return cast("np.ndarray", margin * (CROP_SIZE / crop.side))


def _pixels_a_metre(
    joints: torch.Tensor, places: np.ndarray, estimate: Estimate, camera: CropCamera, step: float = 0.01
) -> np.ndarray:
    """Crop pixels [B] that a metre measures across the picture at the pelvis of the joints [B,24,3] at `places` [B,24,2]."""
    aside = joints[:, :1].clone()
    aside[..., 0] += step
    moved = exact(project_to_crop(aside, estimate.cam, camera)).numpy()[:, 0] - places[:, 0]
    return cast("np.ndarray", np.linalg.norm(moved, axis=1) / step)


def over_border(margins: np.ndarray, joints: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """`Evidence.over` [B,24] of limbs; margins: [B,24] crop pixels, of joints [B,24,3] metres, at `scale` [B] pixels a metre."""
    bones = np.linalg.norm(joints - joints[:, _PARENTS], axis=2) * scale[:, None]
    result = np.zeros(bones.shape)
    for limb in LIMBS:
        reach = np.cumsum(bones[:, limb], axis=1)
        result[:, limb] = (1 - margins[:, _PARENTS[limb[0]], None] / reach).clip(0, 1)
    return result


def _told(encoding: Encoding, estimate: Estimate, camera: CropCamera, landmark_points: PosePoints) -> np.ndarray:
    posed = landmark_points(estimate.betas, estimate.rotmats())
    missed = present(encoding.landmarks)[..., :2] - project_to_crop(posed, estimate.cam, camera)
    away = cast("torch.Tensor", missed.norm(dim=-1))  # PyTorch says no type
    odds = flat_landmarks(encoding.vector)[..., 3:].logit(eps=1e-6).clamp(-_LARGEST_ODDS, _LARGEST_ODDS)
    values = exact(torch.cat([odds, away.log1p()[..., None]], dim=2)).numpy()
    result = np.zeros((len(values), len(SMPL_JOINT_NAMES), values.shape[2]))
    for joint, landmarks in TELLING.items():
        result[:, joint] = values[:, landmarks].mean(axis=1)
    return result


class Shown(NamedTuple):
    """How likely the picture shows anything of the body from each joint on: [B,24], 0 to 1.

    bones: the bone that ends at the joint included, which holds its direction; joints: from the joint itself on.
    """

    bones: np.ndarray
    joints: np.ndarray


def shown_from(seen: Evidence, model: ShownModel = SHOWN) -> Shown:
    """What pictures show of bodies."""
    bones, joints = seen.inside.copy(), seen.inside.copy()
    for limb, cover in zip(LIMBS, (model.arm, model.arm, model.leg, model.leg), strict=True):
        uncovered = _uncovered(seen, limb, cover, model)
        for place, joint in enumerate(limb):
            # Where a bone's end is out of the picture, its beginning tells whether something covers it.
            before = uncovered[:, place - 1] if place else 1.0
            inside = seen.inside[:, joint]
            joints[:, joint] = seen.along[:, joint] * inside * uncovered[:, place]
            bones[:, joint] = joints[:, joint] + seen.along[:, joint] * (1 - inside) * before
    # Of bodies that the network lost nothing is known, and nothing is guessed.
    return Shown(*(in_any_part_from(np.nan_to_num(one, nan=1.0)) for one in (bones, joints)))


def in_any_part_from(shown: np.ndarray) -> np.ndarray:
    """How likely something of a body is shown from each joint on: [B,24], the most of what is likely of the joints [B,24]."""
    result = shown.copy()
    for joint in range(len(SMPL_PARENTS) - 1, 0, -1):
        parent = SMPL_PARENTS[joint]
        result[:, parent] = np.maximum(result[:, parent], result[:, joint])
    return result


def _uncovered(seen: Evidence, limb: tuple[int, ...], cover: CoverModel, model: ShownModel) -> np.ndarray:
    """How likely nothing covers a limb from each of its joints on: [B,3]."""
    result = np.ones((len(seen.inside), len(limb)))
    if seen.told is None:
        return result
    for place in range(len(limb)):
        odds = limb_evidence(seen, limb, place) @ np.array(cover.weights) + cover.constants[place] + cover.bias
        result[:, place] = expit(model.sharpness * (odds - cover.cut * seen.over[:, limb[place]]))
    return result


def limb_evidence(seen: Evidence, limb: tuple[int, ...], place: int) -> np.ndarray:
    """The mean [B,4] of what is told of a limb from one of its joints on, over those in the picture.

    Raises ValueError where nothing is told.
    """
    if seen.told is None:
        raise ValueError("Nothing is told of these joints.")
    joints = list(limb[place:])
    weight = np.maximum(seen.inside[:, joints], 1e-3)[..., None]
    return (weight * seen.told[:, joints]).sum(axis=1) / weight.sum(axis=1)


def open_rotations(shown: np.ndarray, model: ShownModel = SHOWN) -> np.ndarray:
    """How far the picture leaves each joint's rotation open: [B,24], 0 to 1; shown: [B,24], see `Shown.bones`.

    A rotation is held where anything that hangs on the joint is shown: turning it would move what is seen. The last
    joints of limbs and head are held where they are shown themselves. The trunk is held always: everything hangs on it.
    """
    held = shown.copy()
    for joint in set(SMPL_PARENTS[1:]):
        held[:, joint] = shown[:, [child for child, parent in enumerate(SMPL_PARENTS) if parent == joint]].max(axis=1)
    held[:, list(_TRUNK)] = 1
    return ((1 - held - model.closed) / (model.opened - model.closed)).clip(0, 1)


_TRUNK = tuple(map(_JOINT, ("pelvis", "spine1", "spine2", "spine3")))


def guessed_joints(shown: np.ndarray) -> np.ndarray:
    """Whose place is a guess: [B,24] bool. Neither the joint nor anything that hangs on it is shown; shown: see `Shown.joints`."""
    return 1 - shown > GUESSED


def hidden_bones(
    guessed: np.ndarray, views: Iterable[tuple[np.ndarray, tuple[int, int]]], model: ShownModel = SHOWN
) -> np.ndarray:
    """Which bones end at guessed joints and lie in no picture for the most part: [B,24] bool, by their ends.

    guessed: [B,24]; views: pixels [B,24,2] of the joints in each picture, and its size (width, height).
    """
    hidden = guessed.copy()
    for places, size in views:
        towards = places[:, _PARENTS] + model.along * (places - places[:, _PARENTS])
        out, cut = (((points < 0) | (points > size)).any(axis=2) for points in (places, towards))
        hidden &= ~out | cut | guessed[:, _PARENTS]
    return hidden


def guessed_feet(guessed: np.ndarray) -> np.ndarray:
    """Of whom [N] both feet are guessed: nobody knows where they stand. guessed: [N,24]."""
    return np.asarray(guessed[:, FEET.ravel()].all(axis=1))
