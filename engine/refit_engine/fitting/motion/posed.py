# SPDX-License-Identifier: GPL-3.0-or-later
"""Solved motions on the result's body, and the points on which it stands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...device import exact
from ...gravity import Up
from ...motion_results import ABSENT
from ..ground import feet_of
from ..multiview.fit import rest_pelvis
from ..shown import FEET
from ..subject import Subject
from .ground import FLOOR
from .windows import SolvedTrack

FLOOR_POSES = 80
"""Instants at most from which the floor's level is found."""
_CHUNK = 128


class Posed(NamedTuple):
    """The result's body over F instants: betas [10], rotmats [F,24,3,3], transl [F,3], joints [F,24,3]; NaN where absent."""

    betas: np.ndarray
    rotmats: np.ndarray
    transl: np.ndarray
    joints: np.ndarray


def known_betas(subject: Subject) -> Tensor:
    """The shape [1,10] of the followed body, which a solved motion has. Raises ValueError where it is missing."""
    if subject.loop_betas is None:
        raise ValueError("The shape of this person is not known yet.")
    return subject.loop_betas


def posed_track(track: SolvedTrack, subject: Subject) -> Posed:
    """A solved track on the result's body."""
    count = len(track.state)
    own = known_betas(subject)
    like = torch.zeros((), dtype=torch.float32, device=own.device)
    rest = rest_pelvis(subject.loop_body)(own)
    posed = Posed(np.zeros(10), *(np.full((count, *shape), np.nan) for shape in ((24, 3, 3), (3,), (24, 3))))
    betas = posed.betas[None]
    with torch.inference_mode():
        there = np.flatnonzero(track.state.numpy() != ABSENT)
        for rows in np.split(there, range(_CHUNK, len(there), _CHUNK)):
            shapes = own.expand(len(rows), -1)
            # Posed with the pelvis at the origin: far from the world's, single precision would round to millimetres.
            placed = subject.place_joints(shapes, track.rotmats[rows].to(like), -rest.expand(len(rows), -1).to(like))
            betas, rotmats, transl, joints = (exact(value).numpy() for value in placed)
            pelvis = track.pelvis[rows].numpy()
            posed.rotmats[rows], posed.transl[rows] = rotmats, transl + pelvis
            posed.joints[rows] = joints + pelvis[:, None]
    return posed._replace(betas=betas[0])


def spread_out(chosen: np.ndarray, count: int) -> np.ndarray:
    """At most `count` numbers of those chosen [F], evenly spread."""
    rows = np.flatnonzero(chosen)
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)] if len(rows) else rows


def low_sole(body: Posed, up: Up) -> float:
    """The height along up of somebody's lower sole, metres, in those frames in which it is low."""
    feet = body.joints[np.isfinite(body.joints[:, 0, 0])][:, FEET] @ up.direction
    return float(np.quantile(feet.min(axis=(1, 2)), FLOOR.low)) - FLOOR.sole


def standing_points(
    track: SolvedTrack, body: Posed, subject: Subject, up: np.ndarray, guessed: np.ndarray
) -> np.ndarray:
    """The lowest points [M,3] of feet that stand, but for those of guessed joints [F,24]."""
    model, like = subject.result_body.model, torch.zeros((), dtype=torch.float32, device=known_betas(subject).device)
    points = [np.zeros((0, 3))]
    for side, foot in enumerate(feet_of(subject.result_body.data)):
        stands = track.contacts[:, side].numpy() > FLOOR.stands
        rows = spread_out(stands & ~guessed[:, FEET[side]].any(axis=1), FLOOR_POSES)
        if not len(rows):
            continue
        shapes, rotmats = (torch.from_numpy(array).to(like) for array in (body.betas[None], body.rotmats[rows]))
        skin = exact(model.subset(np.flatnonzero(foot))(shapes.expand(len(rows), -1), rotmats)).numpy()
        placed = skin + body.transl[rows, None]
        points.append(placed[np.arange(len(rows)), (placed @ up).argmin(axis=1)])
    return np.concatenate(points)
