# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin out a mesh without inventing vertices, so that what is bound to them stays bound."""

from __future__ import annotations

import heapq

import numpy as np

__all__ = ["decimate"]


def decimate(  # noqa: C901 - one loop over one heap, whose helpers share the mesh's state
    points: np.ndarray, faces: np.ndarray, target_faces: int, longest_edge: float = 0.045
) -> np.ndarray:
    """Faces [F',3] into the same `points` [N,3], F' near `target_faces` where that is possible.

    Half-edge collapses in order of quadric error (Garland and Heckbert 1997). Vertices on open borders, UV seams
    included, stay; no edge grows beyond `longest_edge`, so that limbs still bend smoothly.
    """
    if len(faces) <= target_faces:
        return np.asarray(faces)
    triangles = [tuple(int(v) for v in face) for face in faces]
    around: list[set[int]] = [set() for _ in points]
    for index, triangle in enumerate(triangles):
        for vertex in triangle:
            around[vertex].add(index)
    quadrics = _quadrics(points, faces)
    locked = _border(faces, len(points))
    p = points.astype(np.float64)
    stamp = [0] * len(points)

    def neighbours(u: int) -> set[int]:
        return {v for index in around[u] for v in triangles[index]} - {u}

    def cost(u: int, v: int) -> float:
        edge = p[u] - p[v]
        length = float(edge @ edge)
        if length > longest_edge**2:
            return np.inf
        place = np.append(p[v], 1.0)
        return float(place @ (quadrics[u] + quadrics[v]) @ place) + 1e-4 * length

    heap: list[tuple[float, int, int, int, int]] = []

    def push(u: int) -> None:
        if locked[u]:
            return
        best = min(((cost(u, v), v) for v in neighbours(u)), default=(np.inf, -1))
        if np.isfinite(best[0]):
            heapq.heappush(heap, (best[0], u, best[1], stamp[u], stamp[best[1]]))

    for u in range(len(points)):
        if around[u]:
            push(u)
    count = len(faces)
    alive = [True] * len(triangles)
    while heap and count > target_faces:
        _, u, v, stamp_u, stamp_v = heapq.heappop(heap)
        if stamp_u != stamp[u] or not around[u]:
            continue
        if stamp_v != stamp[v]:
            push(u)
            continue
        shared = around[u] & around[v]
        # More common neighbours than shared faces would pinch the surface.
        if len(neighbours(u) & neighbours(v)) != len(shared):
            continue
        moved = [(index, tuple(v if w == u else w for w in triangles[index])) for index in around[u] - shared]
        if any(_flips(p, triangles[index], new, longest_edge) for index, new in moved):
            continue
        for index in shared:
            alive[index] = False
            for w in triangles[index]:
                around[w].discard(index)
        for index, new in moved:
            triangles[index] = new
            around[v].add(index)
        around[u].clear()
        quadrics[v] += quadrics[u]
        count -= len(shared)
        stamp[v] += 1
        stamp[u] += 1
        for w in neighbours(v) | {v}:
            stamp[w] += w != v
            push(w)
    return np.array([triangle for triangle, kept in zip(triangles, alive, strict=True) if kept], np.int32)


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
    return before @ after < 0.3 * scale or scale < 1e-16 or longest > 4 * longest_edge**2
