# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh arithmetic of the renderer: normals, closest points, smoothing and bindings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

__all__ = [
    "Binding",
    "VertexNormals",
    "bind_to_surface",
    "cluster_mesh",
    "neighbour_matrix",
    "smoothing_matrix",
]


class VertexNormals:
    """Area-weighted vertex normals of one topology, as one sparse product per pose."""

    def __init__(self, faces: np.ndarray, vertex_count: int):
        """`faces` [F,3] int; vertices of no face get a zero normal."""
        self._faces = np.ascontiguousarray(faces, dtype=np.int64)
        rows = self._faces.ravel()
        columns = np.repeat(np.arange(len(faces)), 3)
        ones = np.ones(len(rows), np.float32)
        self._gather = sparse.csr_matrix((ones, (rows, columns)), (vertex_count, len(faces)))

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals [V,3] of `vertices` [V,3], outward for counter-clockwise faces."""
        a, b, c = (vertices[self._faces[:, corner]] for corner in range(3))
        e, f = b - a, c - a
        crossed = np.empty_like(e)
        crossed[:, 0] = e[:, 1] * f[:, 2] - e[:, 2] * f[:, 1]
        crossed[:, 1] = e[:, 2] * f[:, 0] - e[:, 0] * f[:, 2]
        crossed[:, 2] = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
        return _unit(self._gather @ crossed)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return vectors / np.maximum(lengths, 1e-12)[:, None]


@dataclass(frozen=True)
class Binding:
    """Points that ride on a body mesh: a place on a triangle plus an offset in its frame.

    `corners` [N,3] body vertex ids, `weights` [N,3] barycentric, `offsets` [N,3] metres along
    (tangent, bitangent, normal), where the tangent follows the edge from corner 0 to corner 1.
    """

    corners: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def apply(self, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Points [N,3] for the posed body `vertices` [V,3] with unit `normals` [V,3]."""
        base, frame = self.base_and_frame(vertices, normals)
        return base + np.einsum("nk,nkd->nd", self.offsets, frame)

    def base_and_frame(self, vertices, normals):
        base = np.einsum("nk,nkd->nd", self.weights, vertices[self.corners])
        normal = _unit(np.einsum("nk,nkd->nd", self.weights, normals[self.corners]))
        edge = vertices[self.corners[:, 1]] - vertices[self.corners[:, 0]]
        edge -= np.einsum("nd,nd->n", edge, normal)[:, None] * normal
        tangent = _unit(edge)
        return base, np.stack([tangent, np.cross(normal, tangent), normal], axis=1)


def bind_to_surface(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> Binding:
    """Tie `points` [N,3] to the nearest triangles of a mesh in the pose they were made for.

    The nearest triangle is searched among those around the 12 nearest vertices, which is exact
    for meshes whose triangles are of similar size.
    """
    faces = np.asarray(faces)
    used = np.unique(faces)
    near = used[cKDTree(vertices[used]).query(points, k=min(12, len(used)))[1]]
    incident = _incident_faces(faces, len(vertices))
    corners = np.empty((len(points), 3), np.int32)
    weights = np.empty((len(points), 3), np.float32)
    for begin in range(0, len(points), 2048):
        part = slice(begin, begin + 2048)
        candidates = incident[near[part]].reshape(len(points[part]), -1)
        valid = candidates >= 0
        triangles = faces[np.where(valid, candidates, 0)]
        bary = _closest_barycentric(points[part, None], vertices[triangles])
        closest = np.einsum("nck,nckd->ncd", bary, vertices[triangles])
        distance = np.linalg.norm(closest - points[part, None], axis=-1)
        best = np.argmin(np.where(valid, distance, np.inf), axis=1)
        rows = np.arange(len(best))
        corners[part], weights[part] = triangles[rows, best], bary[rows, best]
    flat = Binding(corners, weights, np.zeros_like(weights))
    base, frame = flat.base_and_frame(vertices, normals)
    offsets = np.einsum("nd,nkd->nk", points - base, frame).astype(np.float32)
    return Binding(corners, weights, offsets)


def _incident_faces(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """[V,D] ids of the faces around each vertex, padded with -1."""
    order = np.argsort(faces.ravel(), kind="stable")
    owner = faces.ravel()[order]
    counts = np.bincount(owner, minlength=vertex_count)
    slot = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((vertex_count, counts.max()), -1, np.int64)
    table[owner, slot] = order // 3
    return table


def _closest_barycentric(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the closest points of `triangles` [...,3,3] to `points` [...,3].

    The projection onto the plane where it falls inside, else the best of the three edges.
    """
    a, b, c = (triangles[..., corner, :] for corner in range(3))
    e0, e1, to = b - a, c - a, points - a
    d00, d01, d11 = (e0 * e0).sum(-1), (e0 * e1).sum(-1), (e1 * e1).sum(-1)
    d20, d21 = (to * e0).sum(-1), (to * e1).sum(-1)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    v = (d11 * d20 - d01 * d21) / determinant
    w = (d00 * d21 - d01 * d20) / determinant
    inside = np.stack([1 - v - w, v, w], axis=-1)

    best = np.zeros_like(inside)
    best_distance = np.full(inside.shape[:-1], np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, edge = triangles[..., first, :], triangles[..., second, :] - triangles[..., first, :]
        length = np.maximum((edge * edge).sum(-1), 1e-18)
        t = np.clip(((points - start) * edge).sum(-1) / length, 0, 1)
        distance = ((start + t[..., None] * edge - points) ** 2).sum(-1)
        candidate = np.zeros_like(inside)
        candidate[..., first], candidate[..., second] = 1 - t, t
        better = distance < best_distance
        best_distance = np.where(better, distance, best_distance)
        best = np.where(better[..., None], candidate, best)
    return np.where(np.all(inside >= 0, axis=-1)[..., None], inside, best)


def neighbour_matrix(faces: np.ndarray, vertex_count: int) -> sparse.csr_matrix:
    """Symmetric 0/1 adjacency [V,V] of the mesh's edges."""
    first = faces[:, [0, 1, 2]].ravel()
    second = faces[:, [1, 2, 0]].ravel()
    ones = np.ones(len(first), np.float32)
    matrix = sparse.coo_matrix((ones, (first, second)), (vertex_count, vertex_count)).tocsr()
    matrix = matrix + matrix.T
    matrix.data[:] = 1
    return matrix


def smoothing_matrix(faces: np.ndarray, vertex_count: int, steps: int, keep: int = 24) -> sparse.csr_matrix:
    """Row-stochastic matrix [V,V] that averages every vertex with its surroundings.

    `steps` half-steps of umbrella smoothing; only the `keep` largest weights of a row stay.
    """
    adjacency = neighbour_matrix(faces, vertex_count)
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    step = 0.5 * sparse.identity(vertex_count, format="csr") + 0.5 * (sparse.diags(1 / degree) @ adjacency)
    matrix = sparse.identity(vertex_count, format="csr")
    for _ in range(steps):
        matrix = (step @ matrix).tocsr()
    for row in range(vertex_count):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(values) > keep:
            values[values < np.partition(values, -keep)[-keep]] = 0
    matrix.eliminate_zeros()
    return (sparse.diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix).tocsr().astype(np.float32)


def cluster_mesh(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """A coarse stand-in for a mesh: `count` of its vertices and the faces left between them.

    Vertices are grouped by position and normal (so that facing surfaces stay apart) around
    farthest-point seeds. Returns vertex ids [count] and faces [F',3] into them.
    """
    used = np.unique(faces)
    features = np.concatenate([vertices[used], 0.03 * normals[used]], axis=1)
    seeds = [0]
    distance = np.linalg.norm(features - features[0], axis=1)
    while len(seeds) < count:
        seeds.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(features - features[seeds[-1]], axis=1))
    group = np.zeros(len(vertices), np.int64)
    group[used] = cKDTree(features[seeds]).query(features)[1]
    coarse = group[faces]
    proper = (coarse[:, 0] != coarse[:, 1]) & (coarse[:, 1] != coarse[:, 2]) & (coarse[:, 2] != coarse[:, 0])
    return used[seeds], np.unique(coarse[proper], axis=0)
