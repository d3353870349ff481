# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin out a mesh without inventing vertices, so that what is bound to them stays bound."""

from __future__ import annotations

import heapq

import numpy as np

__all__ = ["decimate"]


def decimate(points: np.ndarray, faces: np.ndarray, target_faces: int, longest_edge: float = 0.045) -> np.ndarray:
    """Faces [F',3] into the same `points` [N,3], F' near `target_faces` where that is possible.

    Half-edge collapses in order of quadric error (Garland and Heckbert 1997). Vertices on open borders, UV seams
    included, stay; no edge grows beyond `longest_edge`, so that limbs still bend smoothly.
    """
    if len(faces) <= target_faces:
        return np.asarray(faces)
    mesh = _Mesh(points, faces, longest_edge)
    for u in range(len(points)):
        if mesh.around[u]:
            mesh.push(u)
    count = len(faces)
    while mesh.heap and count > target_faces:
        _, u, v, stamp_u, stamp_v = heapq.heappop(mesh.heap)
        if stamp_u != mesh.stamp[u] or not mesh.around[u]:
            continue
        if stamp_v != mesh.stamp[v]:
            mesh.push(u)
            continue
        count -= mesh.collapse(u, v)
    return np.array([triangle for triangle, kept in zip(mesh.triangles, mesh.alive, strict=True) if kept], np.int32)


class _Mesh:
    """A mesh that is being thinned out, and the collapses that could come next, cheapest first."""

    def __init__(self, points: np.ndarray, faces: np.ndarray, longest_edge: float) -> None:
        self.triangles: list[tuple[int, ...]] = [tuple(int(v) for v in face) for face in faces]
        self.alive = [True] * len(self.triangles)
        self.around: list[set[int]] = [set() for _ in points]
        """The triangles at each vertex."""
        for index, triangle in enumerate(self.triangles):
            for vertex in triangle:
                self.around[vertex].add(index)
        self.heap: list[tuple[float, int, int, int, int]] = []
        """Error, the vertex that goes, the one that it falls on, and the stamps of both at that time."""
        self.stamp = [0] * len(points)
        """Counts the changes around each vertex: a collapse with an older stamp is out of date."""
        self._quadrics = _quadrics(points, faces)
        self._locked = _border(faces, len(points))
        self._points = points.astype(np.float64)
        self._longest_edge = longest_edge

    def push(self, u: int) -> None:
        """Put the best collapse of a vertex into the heap."""
        if self._locked[u]:
            return
        best = min(((self._cost(u, v), v) for v in self._neighbours(u)), default=(np.inf, -1))
        if np.isfinite(best[0]):
            heapq.heappush(self.heap, (best[0], u, best[1], self.stamp[u], self.stamp[best[1]]))

    def collapse(self, u: int, v: int) -> int:
        """Let u fall on v, unless that would spoil the surface; the number of faces that are gone."""
        shared = self.around[u] & self.around[v]
        # More common neighbours than shared faces would pinch the surface.
        if len(self._neighbours(u) & self._neighbours(v)) != len(shared):
            return 0
        triangles = self.triangles
        moved = [(index, tuple(v if w == u else w for w in triangles[index])) for index in self.around[u] - shared]
        if any(_flips(self._points, triangles[index], new, self._longest_edge) for index, new in moved):
            return 0
        for index in shared:
            self.alive[index] = False
            for w in triangles[index]:
                self.around[w].discard(index)
        for index, new in moved:
            triangles[index] = new
            self.around[v].add(index)
        self.around[u].clear()
        self._quadrics[v] += self._quadrics[u]
        self.stamp[v] += 1
        self.stamp[u] += 1
        for w in self._neighbours(v) | {v}:
            self.stamp[w] += w != v
            self.push(w)
        return len(shared)

    def _neighbours(self, u: int) -> set[int]:
        return {v for index in self.around[u] for v in self.triangles[index]} - {u}

    def _cost(self, u: int, v: int) -> float:
        edge = self._points[u] - self._points[v]
        length = float(edge @ edge)
        if length > self._longest_edge**2:
            return np.inf
        place = np.append(self._points[v], 1.0)
        return float(place @ (self._quadrics[u] + self._quadrics[v]) @ place) + 1e-4 * length


def _quadrics(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, corner]].astype(np.float64) for corner in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal / np.maximum(area, 1e-12)
    plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], axis=1)
    quadric = np.einsum("fi,fj->fij", plane, plane)
    total = np.zeros((len(points), 4, 4))
    for corner in range(3):
        np.add.at(total, faces[:, corner], quadric)
    return total


def _border(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(vertex_count, bool)
    border[unique[counts != 2].ravel()] = True
    return border


def _flips(p: np.ndarray, old: tuple[int, ...], new: tuple[int, ...], longest_edge: float) -> bool:
    def normal(t):
        return np.cross(p[t[1]] - p[t[0]], p[t[2]] - p[t[0]])

    before, after = normal(old), normal(new)
    scale = np.linalg.norm(before) * np.linalg.norm(after)
    longest = max(float(np.sum((p[new[i]] - p[new[i - 1]]) ** 2)) for i in range(3))
    return bool(before @ after < 0.3 * scale or scale < 1e-16 or longest > 4 * longest_edge**2)
