# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor that the people of one picture share: how high the camera is above it, and who stands on it.

Size and distance of a person seen once are ambiguous: scaled by s about the camera's centre, a body looks the same.
The camera is at a height H above the floor, and the estimated body's lowest point is h below the camera: with the size
s = H / h it stands on the floor. The most probable H makes the sizes of those who stand probable, and leaves few people
above the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..body import SMPL_JOINT_NAMES, BodyData
from ..gravity import Up


@dataclass(frozen=True)
class FloorPrior:
    """What is assumed of people and floors; `docs/floor-and-height.md` says what chose the numbers."""

    size_std: float = 0.06
    """Standard deviation of the logarithm of the true over the estimated size: adults differ by 0.10 m of 1.70 m."""
    largest: float = 0.2
    """Nobody is larger than estimated by more than this logarithm."""
    child_height: float = 0.8
    """Metres; nobody is smaller."""
    off_cost: float = 6.0
    """Cost (negative logarithm of probability) of a person above the floor: two sizes off by 2.5 deviations each."""
    child_cost: float = 7.5
    """Cost of a person much smaller than estimated, as children are."""
    contact: float = 0.05
    """Metres above the floor up to which somebody whose size is known stands on it."""
    fixed_std: float = 0.02
    """Metres by which the lowest point of such a person is off."""
    tilt_std_deg: float = 7.0
    """Degrees (standard deviation) that a guessed up may be off by, at most: with more, a roof would be a slope."""
    both_feet: float = 0.04
    """Metres by which the lowest points of the feet may differ for both to stand on the floor, which then lies half way.
    In the pictures of docs, feet that both stand differ by up to 3.8 cm, those of which one is lifted by 4.4 cm and more."""


PRIOR = FloorPrior()
_TILT_RANGE, _TILT_STEPS, _FINER = 2.5, 31, 10
_RUN_ENDS = 12
"""Of a crowd, only so many people begin or end a run: all runs would take too long."""
_LEVEL = 1e-6


@dataclass(frozen=True)
class Ground:
    """up_cam [3], camera_height, on_floor [N]: see `results.ImageResult`.

    moved: [N] who has to move along the ray to stand on this floor.
    """

    up_cam: np.ndarray
    camera_height: float
    on_floor: np.ndarray
    moved: np.ndarray


def find_ground(
    vertices_cam: np.ndarray,
    feet: np.ndarray,
    heights: np.ndarray,
    fixed: np.ndarray,
    up: Up,
    camera_height: float | None = None,
    guessed: np.ndarray | None = None,
    prior: FloorPrior = PRIOR,
) -> Ground:
    """The most probable floor of the bodies [N,V,3] (camera frame, metres), or the known one at `camera_height`.

    feet: see `feet_of`. heights: [N] metres that they measure standing. fixed: [N] whose size is known, so that they
    cannot move. guessed: [N] whose feet the picture does not show: they tell nothing of the floor, unless there is nobody
    else, and stay where they are.
    Where `up` is a guess and there are several people, it is tilted about the camera's horizontal axis, as far as it
    may be off, if that makes their sizes on one floor more probable: bodies at different distances tell of the pitch.
    """
    direction = up.direction / np.linalg.norm(up.direction)
    guessed = np.zeros(len(vertices_cam), dtype=bool) if guessed is None else guessed
    heard = ~guessed | guessed.all()
    witnesses = vertices_cam[heard], heights[heard], fixed[heard]
    if camera_height is None and not up.sure and len(witnesses[0]) > 1:
        std = np.radians(min(up.std_deg, prior.tilt_std_deg))
        direction = _tilted(witnesses[0], feet, *witnesses[1:], direction, std, prior)
    below = below_camera(vertices_cam, feet, direction[None])[:, 0]
    if camera_height is None:
        camera_height, _ = _most_probable(below[heard], *witnesses[1:], prior)
    on_floor = _on_floor(camera_height, below, heights, fixed, prior) & ~guessed
    return Ground(direction, camera_height, on_floor, on_floor & ~fixed)


def share_floor(
    below: np.ndarray, heights: np.ndarray, fixed: np.ndarray, prior: FloorPrior = PRIOR
) -> tuple[float, np.ndarray]:
    """How high the camera is above the most probable floor, and who of N people stands on it [N].

    below: [N] metres from the camera down to where each stands. heights, fixed: see `find_ground`.
    """
    camera_height, _ = _most_probable(below, heights, fixed, prior)
    return camera_height, _on_floor(camera_height, below, heights, fixed, prior)


def _on_floor(
    camera_height: float, below: np.ndarray, heights: np.ndarray, fixed: np.ndarray, prior: FloorPrior
) -> np.ndarray:
    """[N] who stands on the floor rather than above it."""
    stands, off = _costs(np.array([camera_height]), below, heights, fixed, prior)
    return (stands <= off)[:, 0]


def feet_of(body: BodyData) -> np.ndarray:
    """Which vertices belong to the left and to the right foot: [2,V] bool."""
    joint = body.weights.argmax(axis=1)
    parts = [[SMPL_JOINT_NAMES.index(f"{side}_{part}") for part in ("ankle", "foot")] for side in ("left", "right")]
    return np.array([np.isin(joint, part) for part in parts])


def below_camera(vertices: np.ndarray, feet: np.ndarray, ups: np.ndarray) -> np.ndarray:
    """How far the floor under every body [N,V,3] is below the camera, for M ups [M,3]: [N,M] metres.

    It lies under the lowest vertex, or half way between the feet where both take the weight.
    """
    rows: list[np.ndarray] = []
    for body in vertices.astype(np.float64):
        below = -(body @ ups.T)
        lowest, (left, right) = below.max(axis=0), (below[foot].max(axis=0) for foot in feet)
        step = np.abs(left - right)
        rows.append(lowest - np.where((step < PRIOR.both_feet) & (np.maximum(left, right) == lowest), step / 2, 0))
    return np.stack(rows)


def _tilted(
    vertices: np.ndarray,
    feet: np.ndarray,
    heights: np.ndarray,
    fixed: np.ndarray,
    up: np.ndarray,
    std: float,
    prior: FloorPrior,
) -> np.ndarray:
    """The up [3] with the most probable pitch."""
    axis = np.cross(up, [0.0, 0.0, 1.0])
    if np.linalg.norm(axis) < 1e-3:  # looking straight up or down
        axis = np.array([1.0, 0.0, 0.0])
    beside = np.cross(axis / np.linalg.norm(axis), up)
    best, reach = 0.0, _TILT_RANGE * std
    for _ in range(2):
        tilts = best + np.linspace(-reach, reach, _TILT_STEPS)
        ups = np.cos(tilts)[:, None] * up + np.sin(tilts)[:, None] * beside
        below = below_camera(vertices, feet, ups)
        costs = [_most_probable(column, heights, fixed, prior)[1] for column in below.T]
        best = float(tilts[np.argmin(np.array(costs) + 0.5 * (tilts / max(std, _LEVEL)) ** 2)])
        reach /= _FINER
    return np.cos(best) * up + np.sin(best) * beside


def _most_probable(below: np.ndarray, heights: np.ndarray, fixed: np.ndarray, prior: FloorPrior) -> tuple[float, float]:
    """The camera's height above the floor, and its cost."""
    if len(below) == 1:
        return float(below[0]), 0.0
    candidates = np.concatenate([below, _means(below)])
    stands, off = _costs(candidates, below, heights, fixed, prior)
    costs = np.minimum(stands, off).sum(axis=0)
    best = int(np.argmin(costs))
    return float(candidates[best]), float(costs[best])


def _means(below: np.ndarray) -> np.ndarray:
    """Geometric means of all runs of neighbours of the same sign: those who stand on one floor are such a run."""
    found: list[np.ndarray] = []
    for sign in (1.0, -1.0):
        logs = np.log(np.sort(sign * below[sign * below > _LEVEL]))
        sums = np.concatenate([[0.0], np.cumsum(logs)])
        ends = np.unique(np.linspace(0, len(logs), min(_RUN_ENDS, len(sums))).astype(int))
        first, last = (ends[index] for index in np.triu_indices(len(ends), 1))
        found.append(sign * np.exp((sums[last] - sums[first]) / (last - first)))
    return np.concatenate(found)


def _costs(
    camera_heights: np.ndarray, below: np.ndarray, heights: np.ndarray, fixed: np.ndarray, prior: FloorPrior
) -> tuple[np.ndarray, np.ndarray]:
    """What it costs that each of N people stands on each of M floors, and that they are above it: twice [N,M]."""
    below, heights, fixed = below[:, None], heights[:, None], fixed[:, None]
    gap = camera_heights - below  # metres above the floor, with the estimated size
    size = camera_heights / np.where(np.abs(below) < _LEVEL, np.inf, below)
    size_log = np.log(np.where(size > 0, size, np.nan))
    usual = 0.5 * (size_log / prior.size_std) ** 2
    small = np.where(heights * size >= prior.child_height, np.minimum(usual, prior.child_cost), np.inf)
    stands = np.where(size_log < 0, small, np.where(size_log <= prior.largest, usual, np.inf))
    stands_fixed = np.where(gap <= prior.contact, 0.5 * (gap / prior.fixed_std) ** 2, np.inf)
    stands = np.where(fixed, np.where(gap < -_LEVEL, np.inf, stands_fixed), stands)
    return stands, np.where(gap < -_LEVEL, np.inf, prior.off_cost)
