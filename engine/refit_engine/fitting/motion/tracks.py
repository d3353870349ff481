# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who from frame to frame.

Every track predicts where its person's landmarks will be. What was found in a frame, in the tracks' crops and by the
detector, is given to the tracks by one assignment, so that two people who cross cannot both be given the same body. Somebody
who was lost is recognised by place and by the colours of the clothes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ...body.points import LANDMARK_NAMES
from ...detect import COCO_JOINT_NAMES


@dataclass(frozen=True)
class TrackNumbers:
    """Lengths are in sizes of a person: the square root of width times height of the box around the landmarks."""

    near: float = 0.35
    """Mean distance of joints from their prediction up to which a body can be the track's."""
    alike: float = 20.0
    """Colour distance up to which the body can be twice as far off: who turns round fast is nobody new."""
    drift: float = 1.2
    """Added to `near` a second without the person: people walk about one size a second."""
    same: float = 0.12
    """Mean distance of joints below which two bodies found in a frame are one."""
    colour: float = 40.0
    """Distance in Lab of clothes' mean colours that counts as much as a size in place; people who are lit differently
    as they walk differ by 10 to 20."""
    stranger: float = 30.0
    """Colour distance from which on nobody who was lost for long is recognised."""
    other: float = 45.0
    """Colour distance from which on it is somebody else who comes where somebody was lost: in recordings, people who were found
    again differed by up to 29."""
    patience: float = 0.3
    """Seconds without the person after which a track is lost: only the detector finds it again."""
    memory: float = 60.0
    """Seconds after which a lost person is forgotten, and would be somebody new."""
    visible: float = 0.35
    """Mean visibility of landmarks below which nobody new is seen."""
    still_visible: float = 0.25
    """The same for somebody who is followed: a man seen from behind has 0.35 to 0.53, two thirds of crops without anybody less
    than this."""
    shortest: float = 0.3
    """Seconds that a track must have been seen to count: detectors see people in coats for single frames."""
    velocity_memory: float = 0.15
    """Seconds over which a track's velocity is averaged."""


TRACKS = TrackNumbers()
_ALONE, _IMPOSSIBLE = 1e3, 1e6
_SHARED = [LANDMARK_NAMES.index(name) for name in COCO_JOINT_NAMES]


class Found(NamedTuple):
    """A body found in a frame."""

    joints: np.ndarray
    """[17,2] pixels, in the detector's order."""
    colours: np.ndarray
    """[6] mean Lab of trunk and thighs, NaN where unknown."""


@dataclass
class Track:
    """One person: what is remembered to find them in the next frame."""

    number: int
    joints: np.ndarray
    time: float
    colours: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """[2] pixels a second of the middle of the joints."""

    def predicted(self, time: float) -> np.ndarray:
        """Where the joints [17,2] are expected; who was away for a while is not expected to have gone on."""
        ahead = min(time - self.time, 3 * TRACKS.patience)
        return self.joints + self.velocity * ahead

    def lost(self, time: float) -> bool:
        return time - self.time > TRACKS.patience

    def update(self, found: Found, time: float) -> None:
        """The person was seen again."""
        elapsed = time - self.time
        if elapsed > 0:
            moved = (found.joints.mean(axis=0) - self.joints.mean(axis=0)) / elapsed
            share = 1 - np.exp(-elapsed / TRACKS.velocity_memory)
            self.velocity = np.zeros(2) if self.lost(time) else self.velocity + share * (moved - self.velocity)
        known = np.where(np.isnan(self.colours), found.colours, self.colours)
        self.colours = np.where(np.isnan(found.colours), known, 0.95 * known + 0.05 * found.colours)
        self.joints, self.time = found.joints, time


def shared_joints(landmarks: np.ndarray) -> np.ndarray:
    """The detector's joints [17,2] among the landmarks [33,2 or more]."""
    return landmarks[_SHARED, :2]


def size_of(joints: np.ndarray) -> float:
    """The size of a person with these joints [17,2], pixels; a body seen from above is not as small as its box."""
    width, height = np.ptp(joints, axis=0)
    return float(max(np.sqrt(width * height), 0.4 * max(width, height), 1.0))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of joints [17,2] from others, in sizes."""
    return float(np.linalg.norm(one - other, axis=1).mean() / max(size_of(one), size_of(other)))


def distinct(found: list[Found]) -> list[int]:
    """Numbers of bodies that are not another one before them in the list."""
    kept: list[int] = []
    for number, one in enumerate(found):
        if all(distance(one.joints, found[other].joints) > TRACKS.same for other in kept):
            kept.append(number)
    return kept


def assign(tracks: list[Track], found: list[Found], time: float) -> dict[int, int]:
    """Which of the distinct bodies each track (by its place in the list) is, if any."""
    if not tracks or not found:
        return {}
    costs = np.array([[_cost(track, one, time) for one in found] for track in tracks])
    # Tracks may also stay without a body, at a cost that any possible one beats.
    alone = np.full((len(tracks), len(tracks)), _ALONE)
    rows, columns = linear_sum_assignment(np.concatenate([costs, alone], axis=1))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if column < len(found) and costs[row, column] < _ALONE}


def _cost(track: Track, found: Found, time: float) -> float:
    away = max(time - track.time, 0.0)
    apart = distance(track.predicted(time), found.joints)
    colour = float(np.linalg.norm(track.colours - found.colours))
    colour = 0.5 * TRACKS.colour if np.isnan(colour) else colour
    reach = TRACKS.near + TRACKS.drift * away
    farthest = reach + TRACKS.near * (colour < TRACKS.alike)
    lost = track.lost(time)
    known = lost and colour < TRACKS.stranger  # may have come back anywhere
    if (apart > farthest and not known) or (lost and colour > TRACKS.other):
        return _IMPOSSIBLE
    return min(apart, farthest) / reach + colour / TRACKS.colour


def clothes(pixels: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Mean Lab colours [6] of trunk and thighs of a person with these joints [17,2] in a picture [H,W,3] RGB; NaN outside."""
    at = {name: joints[number] for number, name in enumerate(COCO_JOINT_NAMES)}
    trunk = [(at["left_shoulder"], at["right_hip"]), (at["right_shoulder"], at["left_hip"])]
    thighs = [(at[f"{side}_hip"], at[f"{side}_knee"]) for side in ("left", "right")]
    height, width = pixels.shape[:2]
    colours: list[np.ndarray] = []
    for lines in (trunk, thighs):
        shares = np.linspace(0.2, 0.8, 12)[:, None]
        places = np.concatenate([(1 - shares) * a + shares * b for a, b in lines]).astype(int)
        inside = (places >= 0).all(axis=1) & (places < (width, height)).all(axis=1)
        if inside.sum() < 8:
            colours.append(np.full(3, np.nan))
            continue
        seen = pixels[places[inside, 1], places[inside, 0]][None].astype(np.float32) / 255
        colours.append(np.median(cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)[0], axis=0))
    return np.concatenate(colours).astype(np.float64)
