# SPDX-License-Identifier: GPL-3.0-or-later
"""From what eyes saw of a recording to where the joints were, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .alignment import trunk_lengths
from .eye_agreement import eye_offsets, shifts
from .recording import Sightings
from .rig_correction import corrected_rig
from .smoothing import SMOOTHING, Trajectories, fit_trajectories
from .triangulation import Rig, filled, project, triangulate

__all__ = ["Fitted", "believable", "determined", "fit_pictures", "fit_world", "smoothed"]


@dataclass(frozen=True)
class YardstickSettings:
    """least_score: of an eye, from which it has a say. believed: `Trajectories.belief` of an observation that agrees. cameras: that have to
    agree on a joint, since two cannot tell which of them is wrong. metres, trunks: largest standard error of a joint that counts as
    determined, in the world and in a picture."""

    least_score: float = 0.2
    believed: float = 0.5
    cameras: int = 3
    metres: float = 0.03
    trunks: float = 0.1


SETTINGS = YardstickSettings()


@dataclass(frozen=True)
class Fitted:
    """P people of a recording. rig: the corrected cameras. observed: [T,C,E,17,2] each, moved to where both eyes mean the same;
    found: their trajectories; offsets: [E,17,3] metres that were taken from the eyes."""

    rig: Rig
    observed: list[np.ndarray]
    found: list[Trajectories]
    offsets: np.ndarray


def believable(sightings: Sightings) -> list[np.ndarray]:
    """What is seen of each person, [T,C,E,17,2], NaN where the eye itself is in doubt."""
    return [
        np.where((score > SETTINGS.least_score)[..., None], points, np.nan)
        for points, score in zip(sightings.points, sightings.scores, strict=True)
    ]


def fit_world(sightings: Sightings, rig: Rig) -> Fitted:
    """People whom three cameras or more have seen, by the pictures of all."""
    observed, fps = believable(sightings), sightings.fps
    rig = corrected_rig(observed, rig, fps)
    eyes = range(observed[0].shape[2])
    by_eye = [
        [_where_seen(triangulate(one[:, :, [eye]], rig, fps), one[:, :, [eye]]) for one in observed] for eye in eyes
    ]
    offsets = eye_offsets(by_eye)
    together = []
    for number, person in enumerate(observed):
        middle = np.mean([points[number] for points in by_eye], axis=0)
        _, slopes, _ = project(middle, rig)
        moved = np.einsum("tcjai,teji->tceja", slopes, shifts(offsets, middle))
        together.append(person - np.nan_to_num(moved))
    rig = corrected_rig(together, rig, fps)
    return Fitted(rig, together, [triangulate(one, rig, fps) for one in together], offsets)


def fit_pictures(sightings: Sightings) -> tuple[list[np.ndarray], list[Trajectories]]:
    """People of a single video: observed [T,E,17,2] pixels, moved to where both eyes mean the same, and their trajectories."""
    observed = [person[:, 0] for person in believable(sightings)]
    eyes = range(observed[0].shape[1])
    by_eye = [[_where_seen(smoothed(one[:, [eye]], sightings.fps), one[:, [eye]]) for one in observed] for eye in eyes]
    together = []
    for number, person in enumerate(observed):
        middle = np.mean([points[number] for points in by_eye], axis=0)
        scale = np.nanmedian(trunk_lengths(middle))
        offsets = eye_offsets([[points[number] / scale] for points in by_eye]) * scale
        together.append(person - shifts(offsets, middle))
    return together, [smoothed(person, sightings.fps) for person in together]


def _where_seen(found: Trajectories, observed: np.ndarray) -> np.ndarray:
    """Points [T,17,D] of the frames in which an eye saw the joint, from observed [T,…,17,2]; NaN elsewhere."""
    seen = np.any(np.isfinite(observed[..., 0]).reshape(len(observed), -1, observed.shape[-2]), axis=1)
    return np.where(seen[..., None], found.points, np.nan)


def smoothed(observed: np.ndarray, fps: float) -> Trajectories:
    """Trajectories in the picture of one person's joints, observed at pixels [T,E,17,2]."""
    eyes = observed.shape[1]
    seen = np.all(np.isfinite(observed), axis=-1)
    ever = np.any(seen, axis=(0, 1))
    first = np.array([_first_seen(frame) for frame in observed])
    # In lengths of the trunk, for which what is unknown before the first frame is about as wide as in metres.
    trunk = np.nanmedian(trunk_lengths(first))

    def linearize(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slopes = np.broadcast_to(trunk * np.eye(2), (len(points), eyes, points.shape[1], 2, 2))
        return np.repeat(trunk * points[:, None], eyes, axis=1), slopes

    settings = replace(SMOOTHING, alike=True)
    found = fit_trajectories(observed[:, :, ever], linearize, filled(first[:, ever]) / trunk, fps, settings)
    found = replace(found, points=trunk * found.points, covariance=trunk**2 * found.covariance)
    return found.spread(ever)


def _first_seen(eyes: np.ndarray) -> np.ndarray:
    """What the first eye that sees a joint says, [17,2] of [E,17,2]."""
    joints = eyes[0]
    for others in eyes[1:]:
        joints = np.where(np.isfinite(joints), joints, others)
    return joints


def determined(found: Trajectories, cameras: int, limit: float) -> np.ndarray:
    """Whether joints [T,17] are worth comparing with, by how many cameras agree and the largest standard error."""
    frames, _, joints = found.belief.shape
    agreeing = (found.belief.reshape(frames, cameras, -1, joints) > SETTINGS.believed).any(axis=2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (agreeing >= min(SETTINGS.cameras, cameras)) & (found.error < limit)
