# SPDX-License-Identifier: GPL-3.0-or-later
"""Rough motions, from which floor, contacts and trust in cameras are found before the motion is solved for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...body import LandmarkBody
from ...gravity import LineEvidence, Up, find_up
from ...motion_results import ABSENT
from ..height import betas_of_height, standing_height
from ..shown import FEET
from ..subject import Subject
from .contacts import FOOT_POINTS, standing
from .footing import Feet, Footing, find_footings
from .ground import sizes_on_one_floor
from .numbers import MotionNumbers
from .observations import Motion, Observations
from .people import Person
from .posed import known_betas, spread_out
from .request import CameraPath
from .solve import feet_of_motion
from .windows import SolvedTrack

UP_POSES = 60
"""Instants of a person at most from which up is found."""
UP_OF_SCENES = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Draft:
    """Somebody's rough motion. body: in float64, of shape `betas` [10]."""

    person: Person
    subject: Subject
    body: LandmarkBody
    betas: Tensor
    seen: Observations
    track: SolvedTrack
    numbers: MotionNumbers

    @property
    def motion(self) -> Motion:
        """Over all F instants, NaN where the person is not there."""
        return Motion(self.track.rotmats, self.track.pelvis)

    def height(self) -> float:
        """Metres that the body measures standing."""
        return standing_height(self.subject.loop_body.data, self.betas.numpy())

    @property
    def fixed(self) -> bool:
        """Whether the size is known."""
        return self.subject.given_betas is not None

    @cached_property
    def joints(self) -> Tensor:
        """[F,24,3] world frame, metres; NaN where the person is not there."""
        joints = self.body.pose(self.betas.expand(len(self.motion.pelvis), -1), self.motion.rotmats).joints
        return joints - joints[:, :1] + self.motion.pelvis[:, None]

    def feet(self, times: Tensor, guessed: np.ndarray | None = None) -> Feet:
        """The points of the feet over times [F], and when they stand: not where no picture shows them, by guessed joints [F,24]."""
        points = feet_of_motion(self.motion, self.body, self.betas)
        stands = standing(self.seen, times, self.numbers, points)
        if guessed is not None:
            shown = ~torch.from_numpy(guessed[:, FEET].any(axis=2)).repeat_interleave(len(FOOT_POINTS) // 2, dim=1)
            stands = stands * (shown[1:] & shown[:-1])
        return Feet(points, stands)

    def enlarged(self, size: float) -> Draft:
        """The same for a body that is `size` times as tall, and farther from the one camera, at the origin, by as much."""
        if size == 1:
            return self
        betas = torch.from_numpy(betas_of_height(self.subject.loop_body.data, self.betas.numpy(), size * self.height()))
        return replace(
            self,
            subject=replace(self.subject, loop_betas=betas[None].to(known_betas(self.subject))),
            betas=betas,
            seen=self.seen._replace(depth=size * self.seen.depth),
            track=self.track._replace(pelvis=size * self.track.pelvis),
        )


class Standing(NamedTuple):
    """People where they stand. footings: None for those of whom it is not known; on_floor: [N] who stands on the lowest one."""

    drafts: list[Draft]
    footings: list[Footing | None]
    on_floor: np.ndarray
    up: Up


def stand(
    drafts: list[Draft], times: np.ndarray, up: Up, guessed: Sequence[np.ndarray | None] | None = None
) -> Standing:
    """Floors from rough motions over times [F], and the people on one floor where they may share it.

    up: the world's. Where it is not that of a camera from a scene, the motions are in the frame of one still camera, and people of
    unknown size are moved along its rays. guessed: which joints [F,24] of each person no picture shows, where that is known.
    """
    stamps = torch.from_numpy(times)
    hidden = guessed or [None] * len(drafts)
    feet = [draft.feet(stamps, joints) for draft, joints in zip(drafts, hidden, strict=True)]
    footings, up = find_footings(feet, stamps, up)
    if up.source == "camera":
        return Standing(drafts, footings, np.ones(len(drafts), dtype=bool), up)
    heights, fixed = np.array([draft.height() for draft in drafts]), np.array([draft.fixed for draft in drafts])
    sizes, on_floor = sizes_on_one_floor(footings, heights, fixed)
    moved = [draft.enlarged(float(size)) for draft, size in zip(drafts, sizes, strict=True)]
    levels = [
        footing and footing._replace(levels=float(size) * footing.levels)
        for footing, size in zip(footings, sizes, strict=True)
    ]
    return Standing(moved, levels, on_floor, up)


def up_of(drafts: Sequence[Draft], lines: LineEvidence | None) -> Up:
    """Up by straight lines and by how people hold themselves; that of scenes where there are no lines, since cameras are placed."""
    if lines is None:
        return Up(UP_OF_SCENES, "camera", 0.0, True)
    poses: list[np.ndarray] = []
    joints: list[np.ndarray] = []
    for draft in drafts:
        rows = spread_out(draft.track.state.numpy() != ABSENT, UP_POSES)
        poses.append(draft.motion.rotmats[rows].numpy())
        joints.append(draft.joints[rows].numpy())
    return find_up(lines, np.concatenate(poses), np.concatenate(joints))


def observations(person: Person, cameras: Sequence[CameraPath], betas: Tensor, subject: Subject) -> Observations:
    """What cameras saw of a person, for a body of shape `betas` [10]: depths are those at which it has the size seen."""
    data = subject.loop_body.data
    height = standing_height(data, betas.numpy())
    parts: list[Observations] = []
    for number, record in person.tracks:
        view, frames = cameras[number], torch.tensor(record.frames)
        R, t = torch.from_numpy(view.R)[frames], torch.from_numpy(view.t)[frames]
        marks = torch.from_numpy(np.array(record.landmarks, dtype=np.float64))
        rotmats = torch.from_numpy(np.array(record.rotmats, dtype=np.float64))
        rotmats[:, 0] = R.mT @ rotmats[:, 0]
        heights = {
            used.tobytes(): standing_height(data, used) for used in {b.tobytes(): b for b in record.betas}.values()
        }
        sizes = height / np.array([heights[used.tobytes()] for used in record.betas])
        parts.append(
            Observations(
                frame=frames,
                view=torch.full_like(frames, number),
                rotation=R,
                translation=t,
                focal=torch.from_numpy(np.array([view.intrinsics[n].focal for n in record.frames])),
                principal=torch.from_numpy(np.array([view.intrinsics[n].principal for n in record.frames])),
                pixels=marks[..., :2],
                confidence=marks[..., 2],
                rotmats=rotmats,
                depth=torch.from_numpy(np.array(record.depths) * sizes),
                slant=torch.from_numpy(np.array(record.slants, dtype=np.float64)),
                lag=torch.from_numpy(view.lag)[frames],
                pose_trust=torch.ones(rotmats.shape[:2], dtype=torch.float64),
            )
        )
    together = Observations(*(torch.cat(values) for values in zip(*parts, strict=True)))
    return together.select(together.frame.argsort(stable=True))
