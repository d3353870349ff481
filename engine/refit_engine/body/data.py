# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays of a body in SMPL's format, apart from any computation with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .joints import SMPL_PARENTS

BUNDLED_BODY = Path(__file__).parent.parent / "data" / "body.npz"


@dataclass(frozen=True)
class BodyData:
    """A body in SMPL's format. Rest frame: Y up, facing +Z, +X the body's left, metres.

    Attributes:
        name: "bundled", "bundled_male", "bundled_female", or the stem of the file that it was read from.
        kind: whose shape space and markers it has.
        file: the npz with these arrays, under these names.
        v_template: ``[V, 3]`` mean body in the T-pose.
        shapedirs: ``[V, 3, 10]`` per unit of betas.
        posedirs: ``[V, 3, 207]`` per unit of (rotation matrix - identity) of joints 1 to 23,
            row-major; None where the body has no pose correctives. The bundled file has them as shapes of
            single joints, see `posedirs_of_shapes`.
        weights: ``[V, 24]`` skin weights, rows sum to one.
        J_regressor: ``[24, V]`` joints from the shaped template.
        parents: ``[24]``, -1 for the pelvis.
        faces: ``[F, 3]`` triangles, counter-clockwise from outside.
        joint_template, joint_shapedirs: ``[24, 3]`` and ``[24, 3, 10]``, joints linear in betas;
            they take the place of ``J_regressor`` where present.
        uv, uv_faces: ``[U, 2]`` texture coordinates and each triangle's corners in them ``[F, 3]``.
        marker_ids: ``[67]`` vertices that the network follows.
        landmark_ids: ``[33, 4]`` vertices whose means are BlazePose's landmarks; bundled body only.
    """

    name: str
    kind: Literal["bundled", "smpl"]
    file: Path
    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
    weights: np.ndarray
    J_regressor: np.ndarray
    parents: np.ndarray
    faces: np.ndarray
    marker_ids: np.ndarray
    joint_template: np.ndarray | None = None
    joint_shapedirs: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None
    landmark_ids: np.ndarray | None = None

    @property
    def shape_space(self) -> str:
        """Whose betas these are: "smpl", or the name of one of the bundled bodies."""
        return self.name if self.kind == "bundled" else self.kind

    def landmark_vertices(self) -> np.ndarray:
        """`landmark_ids` of a body that has them. Raises ValueError."""
        if self.landmark_ids is None:
            raise ValueError(f"The body {self.name} has no landmarks.")
        return self.landmark_ids

    def joints_linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Rest joints of the mean body ``[24, 3]`` and their directions per beta ``[24, 3, 10]``."""
        if self.joint_template is not None and self.joint_shapedirs is not None:
            return self.joint_template, self.joint_shapedirs
        regressor = self.J_regressor.astype(np.float64)
        template = regressor @ self.v_template
        directions = np.einsum("jv,vck->jck", regressor, self.shapedirs, optimize=True)
        return template.astype(np.float32), directions.astype(np.float32)


def posedirs_of_shapes(
    vertices: int, joints: np.ndarray, mix: np.ndarray, entries: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Pose correctives in SMPL's form ``[V, 3, 207]`` from K shapes, each of one joint and few vertices.

    Args:
        vertices: V.
        joints: ``[K]``, 1 to 23.
        mix: ``[K, 9]``; the amount of a shape is its row times the joint's (rotation matrix - identity), row-major.
        entries: ``[N, 2]`` shape and vertex.
        offsets: ``[N, 3]`` of that vertex per unit of that shape, metres.
    """
    features = mix.shape[1]
    posedirs = np.zeros((vertices, 3, len(SMPL_PARENTS) - 1, features), np.float32)
    shape, vertex = entries.T
    for number, (joint, amounts) in enumerate(zip(joints, mix, strict=True)):
        own = shape == number
        posedirs[vertex[own], :, joint - 1] += offsets[own, :, None] * amounts
    return posedirs.reshape(vertices, 3, -1)
