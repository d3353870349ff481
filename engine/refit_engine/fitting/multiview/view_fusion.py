# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-view ReFit: after every update, the views of a person agree on one body in the world.

Each view proposes a body in its own camera's frame. Betas and rotations are averaged (the root's turned into the
world first), every view as much as it deserves; then the one place is found at which the shared body lies nearest to
all sight rays of all views. The shared body goes back into each view as the state that its next update starts from.

Letters in shapes: B rows (a row is one person in one view), K points of the body, P people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import roma
import torch
from torch import Tensor

from ...device import exact
from ...network import Estimate
from ...network.geometry import cam_from_translation, project, rotmats_to_6d, translation
from ...network.refit import Merge, PosePoints
from ...robust import robust_weight
from .rays import Rays, find_consensus
from .rows import ObservedPoints, Rows, SharedBodies


@dataclass(frozen=True)
class FusionNumbers:
    """Numbers of view fusion: how far one view is off, set by hand. What comes out is measured on the scenes of
    docs/multi-view-accuracy.md (`python -m refit_training.evaluation.measure_rig RIG`).
    """

    rotation_scale: float = 0.6
    """Radians from the mean at which a view's rotation of a joint counts a quarter."""
    rotation_rounds: int = 4
    place_scale: float = 0.10
    """Metres beside its ray at which a point counts a quarter in placing the body."""
    place_rounds: int = 4


NUMBERS = FusionNumbers()

RestPelvis = Callable[[Tensor], Tensor]
"""The pelvis [P,3] of the body at rest, about which the root turns, from betas [P,10]."""


class ViewFusion:
    """The network's `merge`: turns the rows' estimates into those of the people's shared bodies.

    After each call `shared` holds the bodies, `weight` [B] how much each row counts (0 to 1), and `seen` what the rows
    saw.
    """

    def __init__(
        self,
        rows: Rows,
        points: PosePoints,
        rest_pelvis: RestPelvis,
        seen: ObservedPoints | None = None,
        betas: Tensor | None = None,
    ) -> None:
        """
        points: the body's points that are compared with sight rays.
        seen: where the rows see these points; None to take every view's own proposal for what it sees.
        betas: [P,10] the people's known shapes.
        """
        self.rows, self._points, self._rest_pelvis, self._betas = rows, points, rest_pelvis, betas
        self._fixed = seen is not None
        self._shared: SharedBodies | None = None
        self._seen: ObservedPoints | None = None
        self.weight = torch.ones_like(rows.focal)
        if seen is not None:
            self._judge_views(seen)

    @property
    def shared(self) -> SharedBodies:
        """The bodies after the last update. Raises ValueError before the first."""
        if self._shared is None:
            raise ValueError("No views have been fused yet.")
        return self._shared

    @property
    def seen(self) -> ObservedPoints:
        """What the rows saw. Raises ValueError where that takes an update that has not been."""
        if self._seen is None:
            raise ValueError("No views have been fused yet.")
        return self._seen

    def __call__(self, estimate: Estimate) -> Estimate:
        rows = self.rows
        if not self._fixed:
            self._judge_views(self.proposal(estimate))
        rotmats = exact(estimate.rotmats())
        rotmats[:, 0] = rows.rotation.mT @ rotmats[:, 0]
        rotmats = mean_rotations(rotmats, self.weight, rows)
        if self._betas is not None:
            betas = exact(self._betas)
        else:
            betas = rows.sum(self.weight[:, None] * exact(estimate.betas)) / rows.sum(self.weight)[:, None]
        points = exact(self._points(betas.to(estimate.cam), rotmats.to(estimate.cam)))
        transl = place(points, self.rays, self.weight, rows)
        self._shared = SharedBodies(betas, rotmats, transl)
        return in_views(self._shared, rows, self._rest_pelvis, like=estimate)

    def proposal(self, estimate: Estimate) -> ObservedPoints:
        """Where every row believes its own body's points to be."""
        points = self._points(estimate.betas, estimate.rotmats())
        pixels = exact(project(points, estimate.cam, self.rows.camera))
        return ObservedPoints(pixels, torch.ones_like(pixels[..., 0]))

    def _judge_views(self, seen: ObservedPoints) -> None:
        """Judge views and single rays by what all views of a person agree on."""
        rows, rays = self.rows, self.rows.rays(seen)
        self.weight, trust = torch.empty_like(rows.focal), torch.empty_like(rays.confidence)
        for own in rows.of_each_person():
            consensus = find_consensus(rays.select(own))
            self.weight[own], trust[own] = consensus.weight, consensus.trust
        self._seen, self.rays = seen, rays._replace(confidence=rays.confidence * trust)


def mean_rotations(rotmats: Tensor, weight: Tensor, rows: Rows) -> Tensor:
    """The people's mean rotations [P,J,3,3] of the rows' [B,J,3,3] with weights [B], little moved by outliers.

    The chordal mean: the rotation nearest to the weighted sum, by SVD with its determinant kept positive.
    """
    trust = weight[:, None].expand(rotmats.shape[:2])
    mean = roma.special_procrustes(rows.sum(trust[..., None, None] * rotmats))
    for _ in range(NUMBERS.rotation_rounds - 1):
        angle = roma.rotmat_geodesic_distance(rotmats, mean[rows.person])
        trust = weight[:, None] * robust_weight(angle, NUMBERS.rotation_scale)
        mean = roma.special_procrustes(rows.sum(trust[..., None, None] * rotmats))
    return mean


def place(points: Tensor, rays: Rays, weight: Tensor, rows: Rows) -> Tensor:
    """The translations [P,3] with which bodies' points [P,K,3] lie nearest to the rows' rays.

    Many rays to points that are far apart hold both the direction and, through the body's apparent size, the depth.
    """
    across = rays.across()
    points = points[rows.person]
    miss = (across @ (rays.origin[:, None] - points)[..., None])[..., 0]

    def nearest(trust: Tensor) -> Tensor:
        pull = rows.sum((trust[..., None, None] * across).sum(1))
        return _solve(pull, rows.sum((trust[..., None] * miss).sum(1)))

    transl = nearest(weight[:, None] * rays.confidence)
    for _ in range(NUMBERS.place_rounds - 1):
        beside = rays.beside(points + transl[rows.person, None])
        transl = nearest(weight[:, None] * rays.confidence * robust_weight(beside, NUMBERS.place_scale))
    return transl


def in_views(shared: SharedBodies, rows: Rows, rest_pelvis: RestPelvis, like: Estimate) -> Estimate:
    """The shared bodies [P] as every row's [B] estimate, of the kind and on the device of `like`."""
    betas, rotmats, transl = (value[rows.person] for value in shared)
    rotmats = torch.cat([(rows.rotation @ rotmats[:, 0])[:, None], rotmats[:, 1:]], dim=1)
    pelvis = exact(rest_pelvis(shared.betas))[rows.person]
    place = (rows.rotation @ (pelvis + transl)[..., None])[..., 0] + rows.translation
    place[:, 2] *= rows.working_depth()
    pose6d, betas, transl = (value.to(like.cam) for value in (rotmats_to_6d(rotmats), betas, place - pelvis))
    return Estimate(pose6d, betas, cam_from_translation(transl, rows.camera))


def bodies_in_world(estimate: Estimate, rows: Rows, rest_pelvis: RestPelvis) -> SharedBodies:
    """Every row's own body [B], unfused: the inverse of `in_views`."""
    rotmats, betas = exact(estimate.rotmats()), exact(estimate.betas)
    rotmats[:, 0] = rows.rotation.mT @ rotmats[:, 0]
    pelvis = exact(rest_pelvis(betas))
    place = pelvis + exact(translation(estimate.cam, rows.camera))
    place[:, 2] /= rows.working_depth()
    transl = (rows.rotation.mT @ (place - rows.translation)[..., None])[..., 0] - pelvis
    return SharedBodies(betas, rotmats, transl)


def average_bodies(bodies: SharedBodies, rows: Rows, rest_pelvis: RestPelvis) -> SharedBodies:
    """The plain mean [P] of the rows' own bodies [B]: the paper's baseline that averages once, at the end."""
    betas, rotmats = _plain_means(bodies.betas, bodies.rotmats, rows)
    place = _plain_mean(exact(rest_pelvis(bodies.betas)) + bodies.transl, rows)
    return SharedBodies(betas, rotmats, place - exact(rest_pelvis(betas)))


def published_fusion(rows: Rows) -> Merge:
    """The network's `merge` as in the paper's multi-view ReFit: plain means of betas and of rotations in the world.

    All views count the same, and each keeps its own camera: the views need not agree on where the body is.
    """

    def merge(estimate: Estimate) -> Estimate:
        rotmats = exact(estimate.rotmats())
        rotmats[:, 0] = rows.rotation.mT @ rotmats[:, 0]
        betas, rotmats = (mean[rows.person] for mean in _plain_means(exact(estimate.betas), rotmats, rows))
        rotmats[:, 0] = rows.rotation @ rotmats[:, 0]
        return Estimate(rotmats_to_6d(rotmats).to(estimate.cam), betas.to(estimate.cam), estimate.cam)

    return merge


def _plain_means(betas: Tensor, rotmats: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Betas [P,10] and rotations [P,J,3,3] of people, from those of their rows [B,…]: means, on SO(3) by SVD."""
    return _plain_mean(betas, rows), roma.special_procrustes(rows.sum(rotmats))


def _plain_mean(values: Tensor, rows: Rows) -> Tensor:
    """[P,N] means of the rows' values [B,N]."""
    return rows.sum(values) / rows.sum(torch.ones_like(rows.focal))[:, None]


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """x [...,3] of A x = b; parallel rays leave a direction open, where the smallest x is taken."""
    return cast("Tensor", torch.linalg.lstsq(matrix, right[..., None], driver="gelsd").solution)[..., 0]
