# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape spaces: principal components of many bodies, their joints, and two spaces whose betas mean alike."""

from dataclasses import dataclass, replace

import numpy as np
from refit_engine.body.joints import SMPL_JOINT_NAMES, mirrored_name

BETAS = 10
REGRESSOR_VERTICES = 800
REGRESSOR_RIDGE = 1e-7


@dataclass(frozen=True)
class ShapeSpace:
    """Mean bodies and joints, and how they change per beta; symmetric about X = 0, metres.

    Attributes:
        v_template: ``[V, 3]``.
        shapedirs: ``[V, 3, 10]``.
        joint_template: ``[24, 3]``.
        joint_shapedirs: ``[24, 3, 10]``.
    """

    v_template: np.ndarray
    shapedirs: np.ndarray
    joint_template: np.ndarray
    joint_shapedirs: np.ndarray


def linear_space(vertices: np.ndarray, joints: np.ndarray, betas: np.ndarray, mirror: np.ndarray) -> ShapeSpace:
    """The space in which bodies ``[N, V, 3]`` with joints ``[N, 24, 3]`` have given betas ``[N, 10]``.

    mirror: the vertex ``[V]`` on each one's other side.
    """
    joint_mirror = mirrored_joints()
    return ShapeSpace(
        symmetric(vertices.mean(axis=0, dtype=np.float64), mirror),
        symmetric(linear_in_betas(vertices, betas), mirror),
        symmetric(joints.mean(axis=0), joint_mirror),
        symmetric(linear_in_betas(joints, betas), joint_mirror),
    )


def aligned(space: ShapeSpace, to: ShapeSpace, areas: np.ndarray) -> ShapeSpace:
    """The same space with its betas turned so that each means as nearly as possible what it means in another.

    The turn is orthogonal (Procrustes), so betas stay uncorrelated and of unit variance.
    """
    common = np.einsum("vci,vcj,v->ij", space.shapedirs, to.shapedirs, areas, optimize=True)
    left, _, right = np.linalg.svd(common)
    turn = left @ right
    return replace(space, shapedirs=space.shapedirs @ turn, joint_shapedirs=space.joint_shapedirs @ turn)


def as_tall_as(space: ShapeSpace, other: ShapeSpace) -> ShapeSpace:
    """The same space with its zero moved along the first beta, height, to where it is as tall as another's zero.

    The network's betas say how tall somebody is; a sex that the user chooses must not say it once more.
    """
    top, bottom = (pick(space.v_template[:, 1]) for pick in (np.argmax, np.argmin))
    growth = space.shapedirs[top, 1, 0] - space.shapedirs[bottom, 1, 0]
    amount = (np.ptp(other.v_template[:, 1]) - np.ptp(space.v_template[:, 1])) / growth
    return replace(
        space,
        v_template=space.v_template + amount * space.shapedirs[..., 0],
        joint_template=space.joint_template + amount * space.joint_shapedirs[..., 0],
    )


def packed_difference(space: ShapeSpace, neutral: ShapeSpace) -> tuple[np.ndarray, np.ndarray]:
    """What a sex differs by from the neutral space, in whole steps ``[11, 3, V]`` int8, and the steps ``[11]`` in metres.

    The template comes first, then the directions.
    """
    difference = np.concatenate(
        [
            (space.v_template - neutral.v_template)[..., None],
            space.shapedirs - neutral.shapedirs.astype(np.float16),
        ],
        axis=2,
    )
    steps = np.abs(difference).max(axis=(0, 1)) / 127
    return np.round(difference / steps).astype(np.int8).T.copy(), steps.astype(np.float32)


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A third of the area of the triangles around each vertex, ``[V]``, square metres."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.bincount(faces.ravel(), np.repeat(area / 6, 3), minlength=len(vertices))


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


def joint_regressor(spaces: list[ShapeSpace], usable: np.ndarray) -> np.ndarray:
    """Rows that give each joint from the shaped template, for every betas and all spaces alike, ``[24, V]``.

    Ridge regression on the nearest vertices, pulled towards their mean. Non-negative rows, as in
    SMPL, cannot follow joints that move against the skin (3.5 mm mean error, 44 mm worst).
    """
    shapes = np.concatenate([np.dstack([space.v_template, space.shapedirs]) for space in spaces], axis=2)
    targets = np.concatenate([np.dstack([space.joint_template, space.joint_shapedirs]) for space in spaces], axis=2)
    vertices, joints = spaces[0].v_template, spaces[0].joint_template
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


def mirrored_joints() -> np.ndarray:
    """For each of the 24 joints the one on the other side."""
    return np.array([SMPL_JOINT_NAMES.index(mirrored_name(name)) for name in SMPL_JOINT_NAMES])


def symmetric(values: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mean of points or directions ``[P, 3, ...]`` and their mirror image about X = 0."""
    flip = np.array([-1.0, 1.0, 1.0]).reshape(3, *([1] * (values.ndim - 2)))
    return (values + values[mirror] * flip) / 2
