# SPDX-License-Identifier: GPL-3.0-or-later
"""A body of the scene over time as SMPL's parameters."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ..engine_job import BUNDLED_KINDS
from ..results import read_body
from ..scene.body import body_file, current_betas
from ..scene.rigs import axes_of, bone_names, kind_of
from ..scene.timeline import rate_of
from .amass import SmplMotion
from .stage import Stage, sample


def read_motion_of(place: Stage, rig: bpy.types.Object, frames: Sequence[int], unit: float) -> SmplMotion:
    """A body at frames [K]; unit: metres of a scene's. Raises SourceError, and ResultFileError without its body file."""
    betas = current_betas(rig)
    body = read_body(body_file(rig))
    skeleton, posed = sample(place, rig, frames, unit)
    order = [skeleton.names.index(name) for name in bone_names(rig)]
    at_rest, world = skeleton.rest[order, :3, :3], posed.world[:, order]
    # From the body file's axes to the world, for each joint.
    turns = world[..., :3, :3] @ np.swapaxes(at_rest, -1, -2) @ axes_of(kind_of(rig))
    rotmats = turns.copy()
    for joint, parent in list(enumerate(body.parents))[1:]:
        rotmats[:, joint] = np.swapaxes(turns[:, parent], -1, -2) @ turns[:, joint]
    kind = rig.get("refit_body_kind", "bundled")
    return SmplMotion(
        rotmats=rotmats,
        transl=world[:, 0, :3, 3] - body.joints(betas)[0],
        betas=betas,
        kind=kind,
        gender=BUNDLED_KINDS.get(kind, "neutral"),
        rate=rate_of(place.scene),
    )
