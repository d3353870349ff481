# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet flat on the floor, and bodies moved along their rays until they stand there, with the size that keeps the picture as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..device import exact
from ..gravity import Up
from .bounds import moved
from .feet import laid_flat
from .ground import Ground, below_camera, feet_of
from .height import betas_of_height, standing_height
from .models import Body
from .people import CameraPeople
from .shown import FEET

_ROUNDS = 6
"""At most. Each leaves about a tenth of what the one before was off."""
_EXACT = 1e-5
"""Share of the camera's height by which a body may be off when no further round is made; it is then moved by the rest."""
_FITTING_ROUNDS = 5


def stand_on_floor(people: CameraPeople, body: Body, ground: Ground) -> CameraPeople:
    """The people whom `ground` moves, on its floor; the others as they are.

    Their betas take up the size, their rotations stay, and their joints are seen in the same directions as before, as
    far as the betas allow.
    """
    who = np.flatnonzero(ground.moved)
    if not len(who):
        return people
    before = people[who]
    heights = [standing_height(body.data, betas) for betas in before.betas]
    after, size, feet = before, np.ones(len(who)), feet_of(body.data)
    for _ in range(_ROUNDS):
        change = ground.camera_height / below_camera(after.vertices, feet, ground.up_cam[None])[:, 0]
        if (np.abs(change - 1) < _EXACT).all():
            break
        size = size * change
        wanted = zip(before.betas, size * np.array(heights), strict=True)
        betas = np.array([betas_of_height(body.data, shape, height) for shape, height in wanted])
        after = _resized(before, betas, size, body)
    left = ground.camera_height - below_camera(after.vertices, feet, ground.up_cam[None])[:, 0]  # tiny
    after = moved(after, -left[:, None] * ground.up_cam)
    values = {name: getattr(people, name).copy() for name in ("betas", "transl", "joints", "vertices")}
    for name, array in values.items():
        array[who] = getattr(after, name)
    return replace(people, **values)


def with_feet_flat(people: CameraPeople, body: Body, ground: Ground, up: Up) -> CameraPeople:
    """The people with their feet laid flat, as far as they probably are: those of who stands on the floor, where they are seen.

    Nothing but the feet moves.
    """
    heights = people.vertices.astype(np.float64) @ ground.up_cam
    low = np.stack([heights[:, foot].min(axis=1) for foot in feet_of(body.data)], axis=1)
    may = ground.on_floor[:, None] & ~people.guessed[:, FEET].any(axis=2)
    if not may.any():
        return people
    std = float(np.radians(up.std_deg))
    rotmats = laid_flat(people.rotmats, low - heights.min(axis=1, keepdims=True), ground.up_cam, std, may)
    joints, vertices = _posed(body, people.betas, rotmats)
    return replace(
        people,
        rotmats=rotmats,
        joints=joints + people.transl[:, None],
        vertices=vertices + people.transl[:, None].astype(np.float32),
    )


def _posed(body: Body, betas: np.ndarray, rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N,24,3] in double precision and vertices [N,V,3], before translation."""
    like = body.model.skin.v_template
    with torch.inference_mode():
        posed = body.model(torch.from_numpy(betas).to(like), torch.from_numpy(rotmats).to(like))
    return exact(posed.joints).numpy(), posed.vertices.cpu().numpy()


def _resized(people: CameraPeople, betas: np.ndarray, size: np.ndarray, body: Body) -> CameraPeople:
    """The people with other betas [N,10], where their joints are seen as those of bodies scaled by `size` [N]."""
    joints, vertices = _posed(body, betas, people.rotmats)
    transl = _seen_alike(joints, size[:, None, None] * people.joints.astype(np.float64))
    return replace(
        people,
        betas=betas,
        transl=transl,
        joints=joints + transl[:, None],
        vertices=vertices + transl[:, None].astype(np.float32),
    )


def _seen_alike(joints: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Translations [N,3] with which joints [N,J,3] are seen where the wanted ones [N,J,3] are (Gauss-Newton)."""
    transl: np.ndarray = (wanted - joints).mean(axis=1)
    seen = wanted[..., :2] / wanted[..., 2:]
    for _ in range(_FITTING_ROUNDS):
        placed: np.ndarray = joints + transl[:, None]
        depth = placed[..., 2:]
        slope = placed[..., :2] / depth
        across = np.broadcast_to(np.eye(2), (*slope.shape, 2))
        slopes: np.ndarray = np.concatenate([across, -slope[..., None]], axis=-1) / depth[..., None]
        jacobian, missing = slopes.reshape(len(joints), -1, 3), (seen - slope).reshape(len(joints), -1, 1)
        step = np.linalg.solve(jacobian.swapaxes(1, 2) @ jacobian, jacobian.swapaxes(1, 2) @ missing)
        transl = transl + step[..., 0]
    return transl
