# SPDX-License-Identifier: GPL-3.0-or-later
"""MakeHuman's clothes and hair, as points on the full MakeHuman base mesh.

File format: https://static.makehumancommunity.org/makehuman/docs/development.html (mhclo).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Garment", "read_garment", "read_obj"]


@dataclass(frozen=True)
class Garment:
    """A mesh tied to the base mesh (19,158 vertices; MakeHuman axes X left, Y up, Z front, decimetres).

    references [N,3] base vertex ids, weights [N,3], offsets [N,3] to be multiplied by the scale of each axis;
    scales: per axis x, y, z two base vertex ids and the distance between them for which the offsets were made;
    hidden: base vertex ids that the garment covers entirely.
    uv [U,2], faces [F,3] (triangles), uv_faces [F,3].
    """

    references: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    scales: tuple[tuple[int, int, float], ...]
    hidden: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray

    def fit(self, base_vertices: np.ndarray) -> np.ndarray:
        """Vertices [N,3] of the garment on a base mesh [19158,3] in MakeHuman axes, decimetres."""
        scale = [
            abs(base_vertices[first, axis] - base_vertices[second, axis]) / distance
            for axis, (first, second, distance) in enumerate(self.scales)
        ]
        on_body = np.einsum("nk,nkd->nd", self.weights, base_vertices[self.references])
        return on_body + self.offsets * np.array(scale)


def read_garment(path: Path) -> Garment:
    """Read a `.mhclo` file and the `.obj` it names."""
    scales: dict[str, tuple[int, int, float]] = {}
    rows: list[list[float]] = []
    hidden: list[int] = []
    obj = path.with_suffix(".obj")
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif words[0] == "obj_file":
            obj = path.parent / words[1]
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif section == "verts" and _is_number(words[0]):
            values = [float(word) for word in words]
            rows.append(values if len(values) == 9 else [values[0]] * 3 + [1, 0, 0, 0, 0, 0])
        elif section == "delete_verts" and _is_number(words[0]):
            hidden += _ranges(words)
    table = np.array(rows)
    uv, faces, uv_faces = read_obj(obj)
    return Garment(
        table[:, :3].astype(np.int64),
        table[:, 3:6],
        table[:, 6:9],
        (scales["x"], scales["y"], scales["z"]),
        np.array(hidden, np.int64),
        uv,
        faces,
        uv_faces,
    )


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


def _ranges(words: list[str]) -> list[int]:
    """Vertex ids of a list such as `3 7 - 9 12`."""
    ids: list[int] = []
    position = 0
    while position < len(words):
        if words[position] == "-":
            ids += range(ids[-1] + 1, int(words[position + 1]) + 1)
            position += 2
        else:
            ids.append(int(words[position]))
            position += 1
    return ids


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UVs [U,2], triangles [F,3] and their UV ids [F,3] of a Wavefront file; polygons become fans."""
    uv, faces, uv_faces = [], [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "vt":
            uv.append([float(words[1]), float(words[2])])
        elif words[0] == "f":
            corners = [[int(part) - 1 for part in word.split("/")[:2]] for word in words[1:]]
            for second in range(1, len(corners) - 1):
                triangle = (corners[0], corners[second], corners[second + 1])
                faces.append([corner[0] for corner in triangle])
                uv_faces.append([corner[1] for corner in triangle])
    return np.array(uv, np.float32), np.array(faces, np.int32), np.array(uv_faces, np.int32)
