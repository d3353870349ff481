# SPDX-License-Identifier: GPL-3.0-or-later
"""Relaxed hands: MakeHuman's spread, flat fingers are drawn together and curled as those of SMPL's mean hand."""

from dataclasses import dataclass

import numpy as np

from .body_rest import BoneEnds, unit

_PHALANGES = 3
# Degrees by which each phalanx of the index to the little finger turns towards the palm, beyond MakeHuman's rest pose.
_CURL = {2: (1.0, 10.0, 6.0), 3: (3.0, 12.0, 7.0), 4: (5.0, 13.0, 8.0), 5: (6.0, 13.0, 8.0)}
_TOGETHER = 0.65  # how much of the fingers' spread about the middle finger is taken back
_THUMB_CURL = (4.0, 10.0, 14.0)
_THUMB_TOWARDS_FINGERS = 14.0  # degrees in the plane of the palm


@dataclass(frozen=True)
class FingerBones:
    """MakeHuman's rig as the fingers need it.

    Attributes:
        labels: B bone names.
        vertices: ``[K]`` the vertices that follow a finger.
        weights: ``[K, B]`` their skin weights.
    """

    labels: tuple[str, ...]
    vertices: np.ndarray
    weights: np.ndarray


def finger_bones(labels: tuple[str, ...], weights: np.ndarray, indices: np.ndarray) -> FingerBones:
    """From skin weights ``[V, n]`` and the bones ``[V, n]`` that they belong to."""
    dense = np.zeros((len(weights), len(labels)))
    np.add.at(dense, (np.arange(len(weights))[:, None], indices), weights)
    fingers = [label.startswith("finger") for label in labels]
    vertices = np.flatnonzero(dense[:, fingers].sum(axis=1) > 0)
    return FingerBones(labels, vertices, dense[vertices])


def relax_hands(vertices: np.ndarray, ends: BoneEnds, bones: FingerBones) -> tuple[np.ndarray, BoneEnds]:
    """Bodies ``[N, V, 3]`` and bone ends in MakeHuman's rest pose, with relaxed fingers."""
    count = len(vertices)
    turns = np.tile(np.eye(3), (count, len(bones.labels), 1, 1))
    heads, tails = ends.heads.copy(), ends.tails.copy()
    for side in "LR":
        knuckle = {i: ends.at(f"metacarpal{i}.{side}", "tail") for i in (1, 2, 4)}
        wrist = ends.at(f"wrist.{side}", "head")
        palm = unit(np.cross(knuckle[4] - wrist, knuckle[1] - wrist)) * (1 if side == "L" else -1)
        middle = _flat(ends.at(f"finger3-1.{side}", "tail") - knuckle[2], palm)
        for finger in range(1, 6):
            names = [f"finger{finger}-{phalanx + 1}.{side}" for phalanx in range(_PHALANGES)]
            numbers = [bones.labels.index(name) for name in names]
            direction = _flat(ends.tails[:, numbers[0]] - ends.heads[:, numbers[0]], palm)
            spread = np.arctan2((np.cross(direction, middle) * palm).sum(-1), (direction * middle).sum(-1))
            if finger == 1:
                inwards, curl = np.sign(spread) * np.deg2rad(_THUMB_TOWARDS_FINGERS), _THUMB_CURL
            else:
                inwards, curl = _TOGETHER * spread, _CURL[finger]
            sideways = _rotation(palm, inwards)
            hinge = unit(np.cross(np.einsum("nij,nj->ni", sideways, direction), palm))
            for number, angle in zip(numbers, np.cumsum(np.deg2rad(curl)), strict=True):
                turns[:, number] = _rotation(hinge, np.full(count, angle)) @ sideways
            for before, number in zip([None, *numbers], numbers, strict=False):
                if before is not None:
                    heads[:, number] = tails[:, before]
                bone = ends.tails[:, number] - ends.heads[:, number]
                tails[:, number] = heads[:, number] + np.einsum("nij,nj->ni", turns[:, number], bone)
    shifts = heads - np.einsum("nbij,nbj->nbi", turns, ends.heads)
    transforms = np.concatenate([turns, shifts[..., None]], axis=-1).reshape(count, len(bones.labels), 12)
    blended = np.einsum("kb,nbc->nkc", bones.weights, transforms, optimize=True).reshape(count, -1, 3, 4)
    relaxed = vertices.copy()
    moving = vertices[:, bones.vertices]
    relaxed[:, bones.vertices] = np.einsum("nkij,nkj->nki", blended[..., :3], moving) + blended[..., 3]
    return relaxed, BoneEnds(ends.labels, heads, tails)


def _flat(vectors: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Unit directions ``[N, 3]`` in the plane across unit normals ``[N, 3]``."""
    return unit(vectors - (vectors * normal).sum(-1, keepdims=True) * normal)


def _rotation(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotations ``[N, 3, 3]`` about unit axes ``[N, 3]`` by angles ``[N]``."""
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
