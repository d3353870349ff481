# SPDX-License-Identifier: GPL-3.0-or-later
"""Posing a body: SMPL's linear blend skinning, for all vertices or for a few points.

The formula is that of Loper et al., SMPL (2015), equations 2 to 4 and 9 to 10.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .data import BodyData


class BodyOutput(NamedTuple):
    """Posed bodies in the frame of the root rotation: vertices ``[B, V, 3]``, joints ``[B, 24, 3]``, metres."""

    vertices: Tensor
    joints: Tensor


class PosedPoints(NamedTuple):
    """Points ``[B, K, 3]``, the joints ``[B, 24, 3]`` and their rotations in space ``[B, 24, 3, 3]``."""

    points: Tensor
    joints: Tensor
    rotations: Tensor


class _Skeleton(nn.Module):
    """Where the joints go."""

    joint_template: Tensor
    joint_shapedirs: Tensor
    parents: Tensor
    within: Tensor

    def __init__(self, data: BodyData) -> None:
        super().__init__()
        template, directions = data.joints_linear()
        register_constants(self, joint_template=template, joint_shapedirs=directions)
        # One generation of the tree at a time: eight steps instead of twenty-three.
        self.generations, within = _generations(data.parents.tolist())
        self.register_buffer("parents", torch.tensor(data.parents[1:].tolist()), persistent=False)
        self.register_buffer("within", torch.tensor(within), persistent=False)

    def forward(self, betas: Tensor, rotmats: Tensor) -> tuple[Tensor, Tensor]:
        """Posed joints ``[B, 24, 3]``, and each joint's map of the rest pose ``[B, 24, 3, 4]``."""
        rest = self.joint_template + torch.einsum("jck,bk->bjc", self.joint_shapedirs, betas)
        bones = (rest[:, 1:] - rest[:, self.parents])[..., None]
        turn, place = rotmats[:, :1], rest[:, :1]
        turns, places = [turn], [place]
        for start, stop in self.generations:
            within = self.within[start - 1 : stop - 1]
            turn, place = turn[:, within], place[:, within]
            place = place + (turn @ bones[:, start - 1 : stop - 1])[..., 0]
            turn = turn @ rotmats[:, start:stop]
            turns.append(turn)
            places.append(place)
        turn, posed = torch.cat(turns, dim=1), torch.cat(places, dim=1)
        shift = posed - (turn @ rest[..., None])[..., 0]
        return posed, torch.cat([turn, shift[..., None]], dim=-1)


class _Skin(nn.Module):
    """Some or all vertices of a body, and how they follow betas and joints."""

    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    bent: Tensor
    weights: Tensor

    def __init__(self, data: BodyData, vertices: np.ndarray | slice) -> None:
        super().__init__()
        posedirs = None
        if data.posedirs is not None:
            posedirs = data.posedirs[vertices]
            bent = posedirs.any(axis=(0, 1))
            posedirs = _flat_directions(posedirs[..., bent])
            self.register_buffer("bent", torch.from_numpy(np.flatnonzero(bent)), persistent=False)
        register_constants(
            self,
            v_template=data.v_template[vertices],
            # Flat, so that a batch is one matrix product.
            shapedirs=_flat_directions(data.shapedirs[vertices]),
            posedirs=posedirs,
            weights=data.weights[vertices],
        )

    def forward(self, betas: Tensor, rotmats: Tensor, transforms: Tensor) -> Tensor:
        """Vertices ``[B, N, 3]``."""
        batch = len(betas)
        shaped = self.v_template + (betas @ self.shapedirs).view(batch, -1, 3)
        if self.posedirs is not None:
            bends = rotmats[:, 1:] - torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
            shaped = shaped + (bends.reshape(batch, -1)[:, self.bent] @ self.posedirs).view(batch, -1, 3)
        blended = torch.unflatten(self.weights @ transforms.flatten(2), -1, (3, 4))
        return (blended[..., :3] @ shaped[..., None])[..., 0] + blended[..., 3]


class BodyModel(nn.Module):
    """A body that can be posed; it learns nothing and adds nothing to a state dict."""

    def __init__(self, data: BodyData) -> None:
        super().__init__()
        self.data = data
        self.skeleton = _Skeleton(data)
        self.skin = _Skin(data, slice(None))

    def forward(self, betas: Tensor, rotmats: Tensor, transl: Tensor | None = None) -> BodyOutput:
        """Pose B bodies.

        Args:
            betas: ``[B, 10]``.
            rotmats: ``[B, 24, 3, 3]`` relative to the parent; the first turns the body about its
                pelvis joint.
            transl: ``[B, 3]`` added at the end.
        """
        joints, transforms = self.skeleton(betas, rotmats)
        vertices = self.skin(betas, rotmats, transforms)
        if transl is not None:
            vertices, joints = vertices + transl[:, None], joints + transl[:, None]
        return BodyOutput(vertices, joints)

    def joints(self, betas: Tensor, rotmats: Tensor) -> Tensor:
        """The posed joints ``[B, 24, 3]`` alone."""
        return self.skeleton(betas, rotmats)[0]

    def subset(self, points: np.ndarray) -> PointBody:
        """Poses only some points, given as vertex ids ``[K]``, or ``[K, n]`` for means of n vertices."""
        return PointBody(self.data, points).to(self.skin.v_template.device, self.skin.v_template.dtype)


class PointBody(nn.Module):
    """K points of a body: exactly what posing all vertices would give, at a fraction of the cost.

    `influence` ``[K, 24]``, 0 to 1, says how much a turn of each joint, with all that hangs on it, moves each point.
    """

    influence: Tensor

    def __init__(self, data: BodyData, points: np.ndarray) -> None:
        super().__init__()
        points = np.asarray(points)
        self.per_point = 1 if points.ndim == 1 else points.shape[1]
        self.skeleton = _Skeleton(data)
        self.skin = _Skin(data, points.reshape(-1))
        register_constants(self, influence=_influence(data, points))

    def forward(self, betas: Tensor, rotmats: Tensor) -> Tensor:
        """Points ``[B, K, 3]`` for betas ``[B, 10]`` and rotmats ``[B, 24, 3, 3]``, metres."""
        return self.pose(betas, rotmats).points

    def pose(self, betas: Tensor, rotmats: Tensor) -> PosedPoints:
        """The points, with the skeleton that carries them."""
        joints, transforms = self.skeleton(betas, rotmats)
        vertices = self.skin(betas, rotmats, transforms)
        return PosedPoints(vertices.unflatten(1, (-1, self.per_point)).mean(dim=2), joints, transforms[..., :3])


def _influence(data: BodyData, points: np.ndarray) -> np.ndarray:
    share = data.weights[points] if points.ndim == 1 else data.weights[points].mean(axis=1)
    share = share.astype(np.float64)
    for joint in range(len(data.parents) - 1, 0, -1):
        share[:, data.parents[joint]] += share[:, joint]
    return share


def register_constants(module: nn.Module, **arrays: np.ndarray | None) -> None:
    """Buffers that move with the module but stay out of its state dict: weights files carry no body."""
    for name, array in arrays.items():
        tensor = None if array is None else torch.from_numpy(np.array(array, np.float32))
        module.register_buffer(name, tensor, persistent=False)


def _flat_directions(directions: np.ndarray) -> np.ndarray:
    """``[N, 3, K]`` to ``[K, 3 N]``."""
    points, axes, count = directions.shape
    return directions.reshape(points * axes, count).T


def _generations(parents: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Ranges of joints that are equally far from the root, and each joint's parent's place in its range.

    SMPL numbers its joints in that order, so that the ranges are contiguous.
    """
    ranges: list[tuple[int, int]] = [(0, 1)]
    within: list[int] = []
    for joint, parent in enumerate(parents[1:], start=1):
        start, _ = ranges[-1]
        if parent >= start:  # the first child of the last generation opens the next
            ranges.append((joint, joint))
            start, _ = ranges[-1]
        ranges[-1] = (start, joint + 1)
        within.append(parent - ranges[-2][0])
    return ranges[1:], within
