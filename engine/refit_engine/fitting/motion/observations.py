# SPDX-License-Identifier: GPL-3.0-or-later
"""What the solver knows of a person: where cameras saw landmarks, and what each picture's own fit says."""

from __future__ import annotations

from typing import NamedTuple, cast

import roma
import torch
from torch import Tensor

from ...body.points import LANDMARK_NAMES


class Observations(NamedTuple):
    """A person as cameras saw them: O rows, each one camera at one instant. float64; world frame, metres, pixels."""

    frame: Tensor
    """[O] number of the instant, rising."""
    view: Tensor
    """[O] number of the camera."""
    rotation: Tensor
    """[O,3,3] camera from world."""
    translation: Tensor
    """[O,3]."""
    focal: Tensor
    """[O,2]."""
    principal: Tensor
    """[O,2]."""
    pixels: Tensor
    """[O,33,2] landmarks."""
    confidence: Tensor
    """[O,33] 0 to 1."""
    rotmats: Tensor
    """[O,24,3,3] of the picture's own fit, the root's in the world."""
    depth: Tensor
    """[O] of the pelvis in the camera, by that fit."""
    slant: Tensor
    """[O,2] where that fit has the pelvis across the camera's axis, right and down, over its depth."""
    lag: Tensor
    """[O] seconds from the instant to the time at which the picture was taken: cameras need not be synchronised."""
    pose_trust: Tensor
    """[O,24] how much each joint's rotation by that fit counts, 0 to 1."""

    def views(self) -> list[int]:
        """Numbers of the cameras, rising."""
        return cast("list[int]", self.view.unique().tolist())  # PyTorch says no type

    def instants(self) -> Tensor:
        """[N] numbers of the instants at which the person was seen, rising."""
        return cast("Tensor", self.frame.unique())  # PyTorch says no type

    def select(self, rows: Tensor | slice) -> Observations:
        return Observations(*(value[rows] for value in self))

    def between(self, start: int, stop: int) -> Observations:
        """Rows of the instants from `start` up to `stop`, which are counted from `start` then."""
        rows = self.select((self.frame >= start) & (self.frame < stop))
        return rows._replace(frame=rows.frame - start)

    def in_camera(self, points: Tensor) -> Tensor:
        """World points [O,K,3] of the rows in their cameras' frames."""
        return points @ self.rotation.mT + self.translation[:, None]

    def project(self, points: Tensor) -> Tensor:
        """World points [O,K,3] in pixels [O,K,2]."""
        seen = self.in_camera(points)
        return seen[..., :2] / seen[..., 2:].clamp(min=NEAREST) * self.focal[:, None] + self.principal[:, None]

    def back_project(self, pixels: Tensor) -> Tensor:
        """World points [O,K,3] of pixels [O,K,2] at the pelvis' depth."""
        ahead = (pixels - self.principal[:, None]) / self.focal[:, None]
        seen = torch.cat([ahead, torch.ones_like(ahead[..., :1])], dim=-1) * self.depth[:, None, None]
        return (seen - self.translation[:, None]) @ self.rotation


_HIPS = [LANDMARK_NAMES.index("left_hip"), LANDMARK_NAMES.index("right_hip")]
NEAREST = 0.1
"""Metres; nothing is nearer to a camera."""


class Motion(NamedTuple):
    """A body over F instants, world frame, float64."""

    rotmats: Tensor
    """[F,24,3,3] relative to the parent, the root's in the world."""
    pelvis: Tensor
    """[F,3] metres."""


def when_seen(motion: Motion, seen: Observations, times: Tensor) -> Motion:
    """The motion [O] at the times at which pictures were taken, between their instants and the next known ones on that side.

    motion: over the instants `times` [F], NaN where nothing is known.
    """
    here = Motion(motion.rotmats[seen.frame], motion.pelvis[seen.frame])
    if not seen.lag.any():
        return here
    known = motion.pelvis[:, 0].isfinite()
    back, ahead = (seen.frame - 1).clamp(min=0), (seen.frame + 1).clamp(max=len(times) - 1)
    back, ahead = (torch.where(known[other], other, seen.frame) for other in (back, ahead))
    other = torch.where((seen.lag < 0) & (back < seen.frame) | (ahead == seen.frame), back, ahead)
    span = times[other] - times[seen.frame]
    share = torch.where(span == 0, 0.0, seen.lag / span)[:, None]
    turn = roma.rotmat_to_rotvec(here.rotmats.mT @ motion.rotmats[other])
    rotmats = here.rotmats @ roma.rotvec_to_rotmat(share[..., None] * turn)
    return Motion(rotmats, torch.lerp(here.pelvis, motion.pelvis[other], share))


def first_motion(seen: Observations, times: Tensor) -> Motion:
    """Where solving starts: the mean of the pictures' own fits, with straight lines and the shortest turns between them.

    times: [F] seconds, the first and the last of which are observed.
    """
    frames = len(times)
    counts = torch.zeros(frames, dtype=torch.float64).index_add_(0, seen.frame, torch.ones_like(seen.depth))
    rotmats = torch.zeros(frames, 24, 3, 3, dtype=torch.float64).index_add_(0, seen.frame, seen.rotmats)
    places = torch.zeros(frames, 3, dtype=torch.float64).index_add_(0, seen.frame, _pelvis(seen))
    known = counts.nonzero()[:, 0]
    rotmats = roma.special_procrustes(rotmats[known])
    places = places[known] / counts[known, None]
    after = torch.searchsorted(known, torch.arange(frames)).clamp(1, max(len(known) - 1, 1))
    if len(known) == 1:
        return Motion(rotmats.expand(frames, -1, -1, -1).clone(), places.expand(frames, -1).clone())
    before = after - 1
    share = (times - times[known[before]]) / (times[known[after]] - times[known[before]])
    turn = roma.rotmat_to_rotvec(rotmats[before].mT @ rotmats[after])
    between = rotmats[before] @ roma.rotvec_to_rotmat(share[:, None, None] * turn)
    return Motion(between, torch.lerp(places[before], places[after], share[:, None]))


def _pelvis(seen: Observations) -> Tensor:
    """Places [O,3] of the pelvis by the pictures' own fits: between the hips' landmarks, at the fit's depth."""
    return seen.back_project(seen.pixels[:, _HIPS].mean(dim=1, keepdim=True))[:, 0]
