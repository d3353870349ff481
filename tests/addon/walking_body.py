# SPDX-License-Identifier: GPL-3.0-or-later
"""A body in SMPL's order that walks, for tests: its step rises and falls as captured ones do."""

from pathlib import Path

import bpy
import numpy as np
from synthetic_body import PARENTS, make_body, posed_joints

from refit_blender.motion_keys import MotionKeys, continuous, quaternions_of
from refit_blender.results import JOINT_NAMES, read_body
from refit_blender.scene.animation import write_motion
from refit_blender.scene.body import Pose, build_body
from refit_blender.scene.rigs import REST_TO_WORLD, RigKind, RigStyle

SOLE = -0.98
"""Height of the lowest corner of the body's skin at rest, below its pelvis."""
_HEEL, _TIP = (0.0, 0.0, -0.05), (0.0, 0.0, 0.06)


def turn(axis: int, degrees: np.ndarray | float) -> np.ndarray:
    """Rotations [...,3,3] about an axis."""
    angle = np.radians(degrees)
    matrix = np.zeros((*np.shape(angle), 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first], matrix[..., first, second] = np.sin(angle), -np.sin(angle)
    return matrix


def walk(frames: int) -> np.ndarray:
    """Rotations [F,24,3,3] of a walk with a step in half a second, Y up; heels strike and rise."""
    phase = np.arange(frames) / 30 * 2 * np.pi
    poses = np.tile(np.eye(3), (frames, 24, 1, 1))

    def put(name: str, *turns: np.ndarray) -> None:
        poses[:, JOINT_NAMES.index(name)] = _product(turns)

    for side, offset, sign in (("left", 0.0, 1.0), ("right", np.pi, -1.0)):
        own = (phase + offset) % (2 * np.pi)
        thigh = -24 * np.cos(own) - 6
        knee = 8 + 55 * np.maximum(0, np.sin(np.clip(1.15 * own - 0.3 * np.pi, 0, None) - 0.85 * np.pi))
        knee = np.where(own > 0.9 * np.pi, knee, 8)
        pitch = np.interp(own / np.pi, [0, 0.2, 0.55, 1.0, 1.5, 2.0], [-16, 0, 0, 40, 5, -16])
        put(f"{side}_hip", turn(0, thigh), turn(2, 3 * sign))
        put(f"{side}_knee", turn(0, knee))
        put(f"{side}_ankle", turn(0, pitch - thigh - knee))
        put(f"{side}_foot", turn(0, -0.7 * np.clip(pitch, 0, None)))
        swing = 22 * np.cos(own)
        put(f"{side}_shoulder", turn(0, swing), turn(2, -68.0 * sign))
        put(f"{side}_elbow", turn(1, -sign * (25 + 10 * np.cos(own))), turn(0, 20.0))
        put(f"{side}_wrist", turn(0, 15 * np.sin(own)), turn(2, 10.0))
        put(f"{side}_collar", turn(1, 4 * sign * np.cos(own)))
    for number, name in enumerate(("spine1", "spine2", "spine3", "neck", "head")):
        put(name, turn(1, 3 * np.cos(phase + number)), turn(0, 2.0 + number))
    return poses


def _product(turns: tuple[np.ndarray, ...]) -> np.ndarray:
    result = np.eye(3)
    for one in turns:
        result = result @ one
    return result


def sole_points(poses: np.ndarray, places: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Heights [F,2,3] of heels, balls and toe tips, of global rotations [F,24,3,3] and joints [F,24,3], Y up."""
    found = []
    for side in ("left", "right"):
        ankle, ball = (JOINT_NAMES.index(f"{side}_{name}") for name in ("ankle", "foot"))
        points = ((ankle, ankle, _HEEL), (ankle, ball, (0, 0, 0)), (ball, ball, _TIP))
        heights = []
        for joint, over, along in points:
            offset = rest[over] + along - rest[joint]
            offset[1] = SOLE - rest[joint][1]
            heights.append((places[:, joint] + poses[:, joint] @ offset)[:, 1])
        found.append(np.stack(heights, axis=1))
    return np.stack(found, axis=1)


def make_walker(
    folder: Path,
    *,
    kind: RigKind = "animation",
    frames: int = 45,
    first: int = 1,
    hover: float = 0.015,
    turned: float = 0.0,
) -> bpy.types.Object:
    """The rig of a body with a walk as its action, on the floor at the world's origin.

    hover: metres by which the whole walk rises and falls, as captured ones do; turned: degrees of its heading.
    """
    body = make_body(correctives=False)
    path = folder / "walker.npz"
    np.savez(path, **body)
    poses = walk(frames)
    rest = body["joint_template"].astype(float)
    turns = poses.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            turns[:, joint] = turns[:, parent] @ poses[:, joint]
    betas = np.zeros(10)
    places = np.stack([posed_joints(body, betas, pose, np.zeros(3)) for pose in poses])
    lowest = sole_points(turns, places, rest).min(axis=(1, 2))
    pelvis = np.stack([np.zeros(frames), -lowest, 0.045 * np.arange(frames)], axis=1)
    pelvis[:, 1] += hover * np.sin(np.arange(frames) / 9)
    world = turn(2, turned) @ REST_TO_WORLD
    camera = np.eye(4)
    camera[:3, :3] = world
    start = Pose(betas, poses[0], pelvis[0], camera, np.zeros(3))
    made = build_body("walker", read_body(path), start, bpy.context.scene.collection, RigStyle(kind))
    made.rig["refit_betas"], made.rig["refit_body_file"] = betas.tolist(), str(path)
    rotations = poses.copy()
    rotations[:, 0] = world @ poses[:, 0]
    numbers = np.arange(first, first + frames)
    zeros = np.zeros((frames, 24))
    keys = MotionKeys(
        numbers, continuous(quaternions_of(rotations)), pelvis @ world.T, np.ones(frames, int), zeros, zeros
    )
    made.rig["refit_joint_std_mm"], made.rig["refit_joint_std_deg"] = [0.0] * 24, [0.0] * 24
    bpy.context.scene.render.fps = 30
    write_motion(made.rig, None, keys, numbers, 1.0)
    bpy.context.scene.frame_set(first)
    return made.rig
