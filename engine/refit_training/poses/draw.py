# SPDX-License-Identifier: GPL-3.0-or-later
"""Stick figures for looking at poses: left limbs blue, right limbs red, the hinges' free side as short ticks."""

import cv2
import numpy as np

from refit_training.poses.skeleton import PARENTS, forward_kinematics, to_global

__all__ = ["contact_sheet", "draw_figure", "figure_of_pose"]

_LEFT, _RIGHT, _MIDDLE, _TICK = (220, 120, 30), (50, 50, 220), (60, 60, 60), (60, 170, 60)
_LEFT_JOINTS = {1, 4, 7, 10, 13, 16, 18, 20, 22}
_RIGHT_JOINTS = {2, 5, 8, 11, 14, 17, 19, 21, 23}
# Ticks point where the knee cap, the toes' top, the face and the thumb point in the rest pose.
_TICKS = {0: (0, 0, 1), 4: (0, 0, 1), 5: (0, 0, 1), 9: (0, 0, 1), 15: (0, 0, 1), 20: (0, 0, 1), 21: (0, 0, 1)}

Segments = tuple[np.ndarray, list[tuple[int, int, int]]]


def figure_of_pose(rotmats: np.ndarray) -> Segments:
    """Segments to draw for one pose. rotmats: [24,3,3]. Returns ends [S,2,3] metres, Y up, and colours (BGR)."""
    joints = forward_kinematics(rotmats[None].astype(np.float64))[0]
    world = to_global(rotmats[None].astype(np.float64))[0]
    ends, colours = [], []
    for joint in range(1, len(PARENTS)):
        ends.append((joints[PARENTS[joint]], joints[joint]))
        colours.append(_LEFT if joint in _LEFT_JOINTS else _RIGHT if joint in _RIGHT_JOINTS else _MIDDLE)
    for joint, axis in _TICKS.items():
        ends.append((joints[joint], joints[joint] + world[joint] @ np.multiply(axis, 0.1)))
        colours.append(_TICK)
    top = joints[15] + world[15] @ np.array([0, 0.18, 0.0])
    ends.append((joints[15], top))
    colours.append(_MIDDLE)
    return np.array(ends), colours


def draw_figure(
    ends: np.ndarray, colours: list[tuple[int, int, int]], size: int, yaw: float, scale: float
) -> np.ndarray:
    """One tile [size,size,3] uint8: orthographic, turned by `yaw` radians about the vertical, `scale` pixels a unit."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turned = ends @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]).T
    low, high = turned.min((0, 1)), turned.max((0, 1))
    flat = (turned[..., :2] - (low + high)[:2] / 2) * (scale, -scale) + size / 2
    tile = np.full((size, size, 3), 250, np.uint8)
    for index in np.argsort(turned[..., 2].mean(1)):
        start, end = np.rint(flat[index] * 8).astype(int)
        cv2.line(tile, start.tolist(), end.tolist(), colours[index], 2, cv2.LINE_AA, shift=3)
    return tile


def contact_sheet(poses: np.ndarray, columns: int = 12, size: int = 150) -> np.ndarray:
    """Every pose from the front and, below it, from its side. poses: [n,24,3,3]. Returns a BGR image."""
    rows = []
    for start in range(0, len(poses), columns):
        figures = [figure_of_pose(pose) for pose in poses[start : start + columns]]
        for yaw in (0.0, -np.pi / 2):
            tiles = [draw_figure(*figure, size, yaw, size / 2.1) for figure in figures]
            tiles += [np.full_like(tiles[0], 250)] * (columns - len(tiles))
            rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)
