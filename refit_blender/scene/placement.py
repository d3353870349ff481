# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things stand: the level frame of a photo's camera, its pitch and roll, and turns that keep the overlay.

Camera frames have OpenCV's axes. The level frame has X to the right, Y ahead and Z up. Arrays only.
"""

from __future__ import annotations

import math

import numpy as np


def level_axes(up_cam: np.ndarray) -> np.ndarray:
    """R [3,3], camera to level frame, of a camera in whose frame the world's up is `up_cam` [3]."""
    up = up_cam / np.linalg.norm(up_cam)
    ahead = np.array([0.0, 0, 1]) - up * up[2]
    if np.linalg.norm(ahead) < 1e-3:  # straight up or down: the picture's top decides
        ahead = np.array([0.0, -1, 0]) + up * up[1]
    ahead /= np.linalg.norm(ahead)
    return np.stack([np.cross(ahead, up), ahead, up])


def angles_of(up_cam: np.ndarray) -> tuple[float, float]:
    """(pitch, roll) in radians: how far the camera looks up, and how far it is turned counter-clockwise."""
    x, y, z = up_cam / np.linalg.norm(up_cam)
    return math.asin(min(max(z, -1.0), 1.0)), math.atan2(x, -y)


def up_of(pitch: float, roll: float) -> np.ndarray:
    """The world's up [3] in the camera frame; the inverse of `angles_of`."""
    return np.array([math.cos(pitch) * math.sin(roll), -math.cos(pitch) * math.cos(roll), math.sin(pitch)])


def standing_camera(
    up_cam: np.ndarray, camera_height: float, first_cam: np.ndarray, anchor: np.ndarray, heading: float = 0.0
) -> np.ndarray:
    """camera_to_world [4,4] of a camera whose first person, seen at `first_cam` [3], stands above `anchor` [3].

    The floor is at the anchor's height and the camera `camera_height` above it. heading: radians, counter-clockwise
    from above; 0 looks along +Y. Metres.
    """
    c, s = math.cos(heading), math.sin(heading)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ level_axes(up_cam)
    first = R @ first_cam
    matrix = np.eye(4)
    matrix[:3, :3] = R
    matrix[:3, 3] = anchor - [first[0], first[1], -camera_height]
    return matrix


def heading_of(camera_to_world: np.ndarray, up_cam: np.ndarray) -> float:
    """The `heading` of a camera that stands [4,4] in whose frame up is `up_cam` [3]."""
    level = camera_to_world[:3, :3] @ level_axes(up_cam).T
    return math.atan2(level[1, 0], level[0, 0])


def turn_between(camera_axes: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The turn of the world [3,3] that takes a camera from one up [3] to another without a change of its heading.

    camera_axes: [3,3] camera to world before the turn. Turns by hand since the camera was placed are kept.
    """
    return camera_axes @ level_axes(before).T @ level_axes(after) @ camera_axes.T


def about(turn: np.ndarray, pivot: np.ndarray, lift: float = 0.0) -> np.ndarray:
    """The motion [4,4] that turns by `turn` [3,3] about a point [3], then lifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = pivot - turn @ pivot + [0.0, 0.0, lift]
    return matrix


def ground_under(pelvis: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The place [3] under the pelvis [3] at the height of the lowest of the body's vertices [V,3], Z up."""
    return np.array([pelvis[0], pelvis[1], vertices[:, 2].min()])
