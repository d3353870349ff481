# SPDX-License-Identifier: GPL-3.0-or-later
"""A small body in SMPL format, and SMPL's posing formula in numpy, to compare Blender with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_JOINT_PLACES = np.array(
    [
        [0, 0, 0], [0.07, -0.09, 0], [-0.07, -0.09, 0], [0, 0.11, -0.02], [0.1, -0.47, 0], [-0.1, -0.47, 0],
        [0, 0.25, 0], [0.09, -0.87, -0.03], [-0.09, -0.87, -0.03], [0, 0.3, 0.02], [0.12, -0.93, 0.09], [-0.12, -0.93, 0.09],
        [0, 0.52, -0.02], [0.08, 0.42, -0.01], [-0.08, 0.42, -0.01], [0, 0.6, 0.03], [0.19, 0.45, -0.02], [-0.19, 0.45, -0.02],
        [0.45, 0.44, -0.04], [-0.45, 0.44, -0.04], [0.7, 0.45, -0.05], [-0.7, 0.45, -0.05], [0.79, 0.44, -0.06], [-0.79, 0.44, -0.06],
    ]
)  # fmt: skip


def make_body(*, correctives: bool, regressor: bool = False) -> dict[str, np.ndarray]:
    """Arrays of a body whose skin is a small octahedron around each joint, with blended weights."""
    rng = np.random.default_rng(3)
    corners = 0.05 * np.concatenate([np.eye(3), -np.eye(3)])
    v_template = (_JOINT_PLACES[:, None] + corners).reshape(-1, 3)
    octahedron = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]])
    count = len(v_template)
    own = np.repeat(np.arange(24), 6)
    weights = np.zeros((count, 24))
    share = rng.uniform(0.5, 1.0, count)
    weights[np.arange(count), own] = share
    weights[np.arange(count), np.maximum(np.array(PARENTS)[own], 0)] += 1 - share
    faces = (octahedron + 6 * np.arange(24)[:, None, None]).reshape(-1, 3)
    shapedirs = rng.normal(size=(count, 3, 10)) * 0.01
    body = {
        "name": np.array("test body"),
        "v_template": v_template,
        "shapedirs": shapedirs,
        "weights": weights,
        "J_regressor": (own == np.arange(24)[:, None]) / 6.0,
        "parents": np.array(PARENTS),
        "faces": faces,
        "uv": rng.uniform(size=(50, 2)),
        "uv_faces": rng.integers(0, 50, faces.shape),
    }
    if correctives:
        body["posedirs"] = rng.normal(size=(count, 3, 207)) * 0.005
    if not regressor:
        body["joint_template"] = _JOINT_PLACES
        body["joint_shapedirs"] = rng.normal(size=(24, 3, 10)) * 0.005
    return {name: value.astype(np.float32) if value.dtype == np.float64 else value for name, value in body.items()}


def rest_joints(body: dict[str, np.ndarray], betas: np.ndarray) -> np.ndarray:
    if "joint_template" in body:
        return body["joint_template"] + body["joint_shapedirs"].astype(float) @ betas
    return body["J_regressor"] @ (body["v_template"] + body["shapedirs"].astype(float) @ betas)


def pose_body(body: dict[str, np.ndarray], betas: np.ndarray, rotmats: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """SMPL's formula: shape, pose correctives, linear blend skinning; vertices [V,3]."""
    vertices = body["v_template"] + body["shapedirs"].astype(float) @ betas
    if "posedirs" in body:
        vertices = vertices + body["posedirs"].astype(float) @ (rotmats[1:] - np.eye(3)).ravel()
    joints = rest_joints(body, betas)
    chain = []
    for index, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotmats[index]
        local[:3, 3] = joints[index] - (joints[parent] if parent >= 0 else 0)
        chain.append(local if parent < 0 else chain[parent] @ local)
    moves = np.array(chain)
    moves[:, :3, 3] -= np.einsum("jab,jb->ja", moves[:, :3, :3], joints)
    blended = np.einsum("vj,jab->vab", body["weights"].astype(float), moves)
    return np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3] + transl


def random_rotations(rng: np.random.Generator, count: int, largest: float) -> np.ndarray:
    """Rotation matrices [count,3,3] about random axes by up to `largest` radians."""
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = rng.uniform(0, largest, count)[:, None, None]
    cross = np.zeros((count, 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]] = axes
    cross[:, [1, 2, 0], [2, 0, 1]] = -axes
    return np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * cross @ cross


def _box_around(projected: np.ndarray) -> np.ndarray:
    """The box [4] around homogeneous pixels [V,3]."""
    pixels = projected[:, :2] / projected[:, 2:]
    return np.round(np.concatenate([pixels.min(axis=0), np.ptp(pixels, axis=0)]), 2)


def write_result(
    path: Path,
    body_file: Path,
    body: dict[str, np.ndarray],
    image: Path,
    *,
    people: int = 1,
    K=None,
    size=(640, 480),
    seed: int = 7,
    shapes=None,
):
    """A result.npz for `people` bodies in random poses in front of the camera; shapes: their betas [people,10]."""
    rng = np.random.default_rng(seed)
    facing_camera = np.diag([1.0, -1.0, -1.0])
    betas = rng.normal(size=(people, 10))
    betas = betas if shapes is None else np.asarray(shapes)
    rotmats = np.stack([random_rotations(rng, 24, 1.2) for _ in range(people)])
    rotmats[:, 0] = random_rotations(rng, people, 0.4) @ facing_camera
    transl = np.array([[0.8 * index, 0.1, 4.0 + index] for index in range(people)])
    vertices = np.stack([pose_body(body, betas[index], rotmats[index], transl[index]) for index in range(people)])
    if K is None:
        K = np.array([[700.0, 0, 330], [0, 700, 230], [0, 0, 1]])
    arrays = {
        "format": np.array("refit-result"),
        "version": np.array(3),
        "image": np.array(str(image)),
        "image_size": np.array(size),
        "K": K,
        "focal_source": np.array("default"),
        "boxes_xywh": np.array([_box_around(one @ K.T) for one in vertices]),
        "scores": np.full(people, 0.9),
        "betas": betas,
        "rotmats": rotmats,
        "transl": transl,
        "joints_cam": np.zeros((people, 24, 3)),
        "joints2d": np.zeros((people, 24, 2)),
        "vertices_cam": vertices.astype(np.float32),
        "joint_std_mm": np.concatenate([np.zeros((people, 1)), rng.uniform(15, 250, (people, 23))], axis=1),
        "joint_std_deg": rng.uniform(3, 50, (people, 24)),
        "guessed": np.zeros((people, 24), dtype=bool),
        "confidence": np.array("calibrated"),
        "up_cam": np.array([0.0, -1, 0]),
        "up_source": np.array("level"),
        "up_std_deg": np.array(20.0),
        "up_sure": np.array(False),
        "camera_height": np.array(float(vertices[..., 1].max())),
        "on_floor": vertices[..., 1].max(axis=1) > vertices[..., 1].max() - 0.05,
        "joint_names": np.array(["pelvis"]),
        "body_name": np.array("test body"),
        "body_kind": np.array("bundled"),
        "body_file": np.array(str(body_file)),
        "weights_name": np.array("untrained"),
        "engine_version": np.array("0.1.0"),
        "iterations": np.array(5),
    }
    np.savez(path, **arrays)
    return arrays


def write_views_result(
    path: Path,
    body_file: Path,
    body: dict[str, np.ndarray],
    names: Sequence[str],
    *,
    people: int = 1,
    left_out=(),
    seed: int = 11,
    shapes=None,
) -> dict[str, np.ndarray]:
    """A multi-view result for `people` bodies in random poses around the world's origin, Z up.

    left_out: names of cameras that have no part in any body; shapes: betas [people,10].
    """
    rng = np.random.default_rng(seed)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    betas = rng.normal(size=(people, 10))
    betas = betas if shapes is None else np.asarray(shapes)
    rotmats = np.stack([random_rotations(rng, 24, 1.2) for _ in range(people)])
    rotmats[:, 0] = random_rotations(rng, people, 0.4) @ upright
    transl = np.array([[1.5 * index, 0.3, 1.1] for index in range(people)])
    vertices = np.stack([pose_body(body, betas[index], rotmats[index], transl[index]) for index in range(people)])
    count = len(names)
    used = np.tile([name not in left_out for name in names], (people, 1))
    arrays = {
        "format": np.array("refit-multiview-result"),
        "version": np.array(2),
        "view_names": np.array(names),
        "images": np.array([f"{name}.png" for name in names]),
        "image_sizes": np.tile([640, 480], (count, 1)),
        "K": np.tile(np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]]), (count, 1, 1)),
        "R_world2cam": np.tile(np.eye(3), (count, 1, 1)),
        "t_world2cam": np.tile([0.0, 0, 4], (count, 1)),
        "betas": betas,
        "rotmats": rotmats,
        "transl": transl,
        "joints_world": np.zeros((people, 24, 3)),
        "vertices_world": vertices.astype(np.float32),
        "joints2d": np.zeros((people, count, 24, 2)),
        "used": used,
        "weights": np.where(used, 1.0, 0.0),
        "reasons": np.where(used, "", "disagrees with the other cameras"),
        "reprojection_errors": np.where(used, 2.5, 31.25),
        "boxes_xywh": np.tile([10.0, 20, 100, 200], (people, count, 1)),
        "guessed": np.zeros((people, 24), dtype=bool),
        "joint_names": np.array(["pelvis"]),
        "body_name": np.array("test body"),
        "body_kind": np.array("bundled"),
        "body_file": np.array(str(body_file)),
        "weights_name": np.array("untrained"),
        "engine_version": np.array("0.1.0"),
        "iterations": np.array(10),
    }
    np.savez(path, **arrays)
    return arrays


def posed_joints(body: dict[str, np.ndarray], betas: np.ndarray, rotmats: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """Joints [24,3] of a pose by SMPL's formula."""
    rest = rest_joints(body, betas)
    turned, places = [rotmats[0]], [rest[0] + transl]
    for index, parent in list(enumerate(PARENTS))[1:]:
        places.append(places[parent] + turned[parent] @ (rest[index] - rest[parent]))
        turned.append(turned[parent] @ rotmats[index])
    return np.array(places)


def swinging(rng: np.random.Generator, instants: int, largest: float) -> np.ndarray:
    """Rotations [F,24,3,3] that turn evenly about one axis for each joint, up to `largest` radians."""
    axes = rng.normal(size=(24, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.linspace(0, 1, instants)[:, None] * rng.uniform(0.2, largest, 24)
    cross = np.zeros((24, 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]] = axes
    cross[:, [1, 2, 0], [2, 0, 1]] = -axes
    sine, cosine = np.sin(angles)[..., None, None], np.cos(angles)[..., None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross


def write_motion(
    path: Path,
    body_file: Path,
    body: dict[str, np.ndarray],
    video: Path,
    *,
    names: Sequence[str] = ("walk",),
    instants: int = 31,
    first: int = 0,
    rate: float = 30.0,
    people: int = 1,
    world: str = "camera",
    absent: Sequence[int] = (),
    filled: Sequence[int] = (),
    seed: int = 5,
    place: float = 0.0,
    largest: float = 4.0,
    size: tuple[int, int] = (64, 48),
    turns: int = 0,
    shapes: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """A motion.npz of people who turn and swing evenly and walk along X; in the camera's frame, or in a world with Z up.

    first: number of the first frame; absent, filled: instants; place: metres by which everybody stands further along X;
    shapes: betas [people,10].
    """
    rng, count = np.random.default_rng(seed), len(names)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) if world == "scene" else np.diag([1.0, -1, -1])
    betas = rng.normal(size=(people, 10))
    betas = betas if shapes is None else np.asarray(shapes)
    rotmats = np.stack([swinging(rng, instants, largest) for _ in range(people)])
    rotmats[:, :, 0] = rotmats[:, :, 0] @ upright
    along = np.linspace(0, 1, instants)[:, None] * [1.0, 0, 0]
    start = [0.0, 0, 1.0] if world == "scene" else [0.0, 0, 4.0]
    transl = np.stack([along + start + np.array([place + 3.0 * index, 0, 0]) for index in range(people)])
    joints = np.stack(
        [
            [posed_joints(body, b, r, t) for r, t in zip(rs, ts, strict=True)]
            for b, rs, ts in zip(betas, rotmats, transl, strict=True)
        ]
    )
    state = np.ones((people, instants), dtype=np.uint8)
    state[:, list(filled)], state[:, list(absent)] = 2, 0
    std_mm = rng.uniform(10, 40, (people, instants, 24))
    std_mm[..., 0] = 0.0
    std_mm[:, instants // 2, 5] = 400.0
    for array in (rotmats, transl, joints, std_mm):
        array[state == 0] = np.nan
    arrays = {
        "format": np.array("refit-motion"),
        "version": np.array(2),
        "view_names": np.array(names),
        "videos": np.array([str(video)] * count),
        "image_sizes": np.tile(size, (count, 1)),
        "quarter_turns": np.full(count, turns),
        "frame_rate": np.array(rate),
        "times": (first + np.arange(instants)) / rate,
        "frames": np.tile(first + np.arange(instants), (count, 1)),
        "readable": np.ones((count, instants), dtype=bool),
        "K": np.tile(np.array([[70.0, 0, size[0] / 2], [0, 70, size[1] / 2], [0, 0, 1]]), (count, instants, 1, 1)),
        "R_world2cam": np.tile(np.eye(3), (count, instants, 1, 1)),
        "t_world2cam": np.zeros((count, instants, 3)),
        "focal_source": np.array("default" if world == "camera" else "scene"),
        "world": np.array(world),
        "betas": betas,
        "rotmats": rotmats,
        "transl": transl,
        "joints_world": joints,
        "state": state,
        "seen": np.repeat((state == 1)[:, None], count, axis=1),
        "boxes_xywh": np.full((people, count, instants, 4), np.nan),
        "joint_std_mm": std_mm,
        "joint_std_deg": rng.uniform(3, 9, (people, instants, 24)),
        "guessed": np.zeros((people, instants, 24), dtype=bool),
        "confidence": np.array("uncalibrated"),
        "contacts": np.tile(np.stack([np.arange(instants) % 8 < 4, np.arange(instants) % 8 >= 3], 1), (people, 1, 1))
        * 0.9,
        "up_world": np.array([0.0, 0, 1] if world == "scene" else [0.0, -1, 0]),
        "up_source": np.array("camera" if world == "scene" else "lines"),
        "up_std_deg": np.array(2.0),
        "up_sure": np.array(True),
        "floor": np.array(np.nan),
        "joint_names": np.array(["pelvis"]),
        "body_name": np.array("test body"),
        "body_kind": np.array("bundled"),
        "body_file": np.array(str(body_file)),
        "weights_name": np.array("untrained"),
        "engine_version": np.array("0.1.0"),
        "iterations": np.array(2),
    }
    np.savez(path, **arrays)
    return arrays
