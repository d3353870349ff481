# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig's bones at rest and over time as arrays, and what bones have to be keyed with to stand there. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """Bones, each after its parent.

    names: J; parents: J, -1 without one; rest [J,4,4]: at rest in the armature's space, axes as Blender's bones have
    them; lengths [J].
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Posed:
    """A skeleton at K frames.

    world [K,J,4,4]: bones in the world, without scale; placement [K,4,4]: the armature in the world, without scale.
    In metres.
    """

    world: np.ndarray
    placement: np.ndarray


def rigid(matrices: np.ndarray) -> np.ndarray:
    """Matrices [...,4,4] with columns of length 1 in place of their scale."""
    made = matrices.copy()
    made[..., :3, :3] /= np.linalg.norm(made[..., :3, :3], axis=-2, keepdims=True)
    return made


def moved(matrices: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Bones' matrices [...,4,4] without scale, moved by a similarity [4,4]: places by all of it, axes by its turn."""
    return rigid(change @ matrices)


def with_root(name: str, skeleton: Skeleton, posed: Posed, standing: np.ndarray) -> tuple[Skeleton, Posed]:
    """With a root bone of this name on the floor, the parent of all; it takes the armature's place in the world.

    standing [3,3]: turns the armature's axes to those of the world in which the rest pose stands.
    """
    turn = np.eye(4)
    turn[:3, :3] = standing.T
    root = (posed.placement @ turn)[:, None]
    grown = Skeleton(
        names=(name, *skeleton.names),
        parents=(-1, *(parent + 1 for parent in skeleton.parents)),
        rest=np.concatenate([np.eye(4)[None], skeleton.rest]),
        lengths=np.concatenate([[0.2], skeleton.lengths]),
    )
    return grown, replace(posed, world=np.concatenate([root, posed.world], axis=1))


def basis(skeleton: Skeleton, world: np.ndarray) -> np.ndarray:
    """What bones have to be keyed with [K,J,4,4] to be where `world` [K,J,4,4] has them in the armature's space."""
    at_rest, made = np.linalg.inv(skeleton.rest), np.empty_like(world)
    for index, parent in enumerate(skeleton.parents):
        if parent < 0:
            made[:, index] = at_rest[index] @ world[:, index]
        else:
            from_parent = at_rest[index] @ skeleton.rest[parent]
            made[:, index] = from_parent @ np.linalg.inv(world[:, parent]) @ world[:, index]
    return made
