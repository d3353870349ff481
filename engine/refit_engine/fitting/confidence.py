# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each joint may be off: the loop run again with keypoints left out, and what else tells.

The network was trained with whole keypoints dropped, so it is an ensemble: members that see other keypoints and still
agree are to be trusted (Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016). Only the loop runs again, all
members in one batch on one encoding. Their spread alone says little about the true error, above all because members
share the backbone's mistakes; `Calibration` therefore weighs it together with three more observations (`PREDICTORS`)
and turns them into millimetres and degrees.

The standard deviation of a joint is the root mean square of its error. In millimetres: the distance of the joint from its
true place when the pelvises coincide, in the camera's orientation (zero for the pelvis itself). In degrees: the angle
between the joint's rotation and the true one, relative to the parent (the pelvis: relative to the camera).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from ..body import BodyModel, LandmarkBody
from ..network import CropCamera, Encoding, Estimate, ReFit
from ..network.geometry import CROP_SIZE, project_to_crop
from ..network.lookup import lookup
from ..network.refit import MAP_SIZE, PosePoints
from .confidence_model import Calibration

MEMBERS = 8
"""Loops with keypoints left out; more than this change the calibrated result little."""
PREDICTORS = ("spread", "movement", "landmark_near", "landmark_all", "map_near", "map_all")
"""Per joint: disagreement of the ensemble (log mm or log degrees), how far the last two updates moved the joint
(log mm), distance of the body's landmarks from the backbone's (log crop pixels), and how strongly the keypoint maps
answer at the body's reprojection, each for the points nearest to the joint and for all."""
_NEAR_LANDMARKS, _NEAR_KEYPOINTS = 3, 5
_SMALLEST = 1.0  # added before logarithms: a millimetre, a pixel, or (below) a tenth of a degree
_SMALLEST_ANGLE = 0.1


class Confidence(NamedTuple):
    """Standard deviations of B people's 24 joints, as defined above."""

    std_mm: Tensor
    """[B,24]."""
    std_deg: Tensor
    """[B,24]."""


class Evidence(NamedTuple):
    """What was observed of B people's 24 joints."""

    spread: Confidence
    """Root mean square deviation of the ensemble's members from their mean."""
    predictors_mm: Tensor | None
    """[B,24,6] in the order of PREDICTORS, for the error in millimetres; None for networks without landmarks."""
    predictors_deg: Tensor | None
    """The same for the error in degrees: only the spread is another."""


def keypoint_masks(members: int, keypoints: int, dropout: float) -> Tensor:
    """Masks [members,keypoints,1] for `ReFit.refine`, the same ones at every call.

    Each keypoint is left out by the same number of members, and the rest weighs more as in training.
    """
    rng = np.random.default_rng(0)
    dropped = round(members * dropout)
    masks = np.ones((members, keypoints, 1), np.float32) / (1 - dropped / members)
    for keypoint in range(keypoints):
        masks[rng.permutation(members)[:dropped], keypoint] = 0
    return torch.from_numpy(masks)


class ConfidenceEstimator:
    """Confidence for one network and the body that it follows.

    calibration: None where these weights have none; the plain spread is returned then, which is too small.
    """

    def __init__(
        self,
        model: ReFit,
        body: BodyModel,
        points: PosePoints,
        landmark_points: LandmarkBody | None,
        calibration: Calibration | None = None,
    ) -> None:
        self._model, self._body = model, body
        self._points, self._landmark_points = points, landmark_points
        self.calibration = calibration
        like = model.init_pose
        betas, rest = like.new_zeros(1, 10), torch.eye(3).to(like).expand(1, 24, 3, 3)
        with torch.no_grad():
            joints, keypoints = body.joints(betas, rest), points(betas, rest)
            self._near_keypoints = _nearest(joints, keypoints, _NEAR_KEYPOINTS)
            if landmark_points is not None:
                self._near_landmarks = _nearest(joints, landmark_points(betas, rest), _NEAR_LANDMARKS)
        self._masks = keypoint_masks(MEMBERS, keypoints.shape[1], model.config.keypoint_dropout).to(like)

    def __call__(
        self, encoding: Encoding, camera: CropCamera, estimates: list[Estimate], betas: Tensor | None = None
    ) -> Confidence:
        """Confidence in the last of B people's T+1 estimates; `betas` [B,10] if the loop was given them."""
        evidence = self.evidence(encoding, camera, estimates, betas)
        if self.calibration is None or evidence.predictors_mm is None or evidence.predictors_deg is None:
            return evidence.spread
        below_pelvis = self.calibration.position.std(evidence.predictors_mm[:, 1:])
        return Confidence(
            torch.nn.functional.pad(below_pelvis, (1, 0)), self.calibration.rotation.std(evidence.predictors_deg)
        )

    def evidence(
        self, encoding: Encoding, camera: CropCamera, estimates: list[Estimate], betas: Tensor | None = None
    ) -> Evidence:
        """What the calibration looks at."""
        spread = self._spread(encoding, camera, len(estimates) - 1, betas)
        if encoding.landmarks is None or self._landmark_points is None:
            return Evidence(spread, None, None)
        others = self._observations(encoding, encoding.landmarks, self._landmark_points, camera, estimates)
        log_mm = (spread.std_mm + _SMALLEST).log()[..., None]
        log_deg = (spread.std_deg + _SMALLEST_ANGLE).log()[..., None]
        return Evidence(spread, torch.cat([log_mm, others], dim=2), torch.cat([log_deg, others], dim=2))

    def _spread(self, encoding: Encoding, camera: CropCamera, iterations: int, betas: Tensor | None) -> Confidence:
        people, members = len(encoding.vector), len(self._masks)

        last = self._model.refine(
            _repeated(encoding, members),
            _repeated(camera, members),
            self._points,
            self._landmark_points,
            iterations,
            None if betas is None else betas.repeat_interleave(members, dim=0),
            self._masks.repeat(people, 1, 1),
        )[-1]
        rotmats = last.rotmats()
        joints = self._rooted_joints(last, rotmats).reshape(people, members, -1, 3)
        distance = (joints - joints.mean(dim=1, keepdim=True)).square().sum(-1).mean(dim=1).sqrt()
        return Confidence(1000 * distance, _angle_spread(rotmats.reshape(people, members, -1, 3, 3)))

    def _observations(
        self,
        encoding: Encoding,
        observed: Tensor,
        landmark_points: LandmarkBody,
        camera: CropCamera,
        estimates: list[Estimate],
    ) -> Tensor:
        """All predictors but the spread, [B,24,5]. observed: the encoding's landmarks."""
        last, before = estimates[-1], estimates[max(len(estimates) - 3, 0)]
        rotmats = last.rotmats()
        moved = self._rooted_joints(last, rotmats) - self._rooted_joints(before, before.rotmats())
        distance = cast("Tensor", moved.norm(dim=-1))  # PyTorch says no type
        movement = (1000 * distance + _SMALLEST).log()

        seen = project_to_crop(landmark_points(last.betas, rotmats), last.cam, camera)
        residual = cast("Tensor", (observed[..., :2] - seen).norm(dim=-1))
        answer = self._map_answers(encoding, camera, last)

        def near_and_all(values: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
            return values[:, near].mean(dim=2), values.mean(dim=1, keepdim=True).expand_as(movement)

        landmarks = near_and_all(residual, self._near_landmarks)
        maps = near_and_all(answer, self._near_keypoints)
        return torch.stack([movement, *((value + _SMALLEST).log() for value in landmarks), *maps], dim=2)

    def map_answers(self, encoding: Encoding, camera: CropCamera, estimate: Estimate) -> Tensor:
        """How strongly the keypoint maps answer near each joint [B,24], where the body's keypoints are projected."""
        return self._map_answers(encoding, camera, estimate)[:, self._near_keypoints].mean(dim=2)

    def _map_answers(self, encoding: Encoding, camera: CropCamera, estimate: Estimate) -> Tensor:
        """The same of each keypoint [B,K]."""
        keypoints = project_to_crop(self._points(estimate.betas, estimate.rotmats()), estimate.cam, camera)
        windows = lookup(encoding.keypoint_maps, keypoints * (MAP_SIZE / CROP_SIZE), self._model.offsets)
        return windows.amax(dim=-1)

    def _rooted_joints(self, estimate: Estimate, rotmats: Tensor) -> Tensor:
        joints = self._body.joints(estimate.betas, rotmats)
        return joints - joints[:, :1]


Parts = TypeVar("Parts", Encoding, CropCamera)


def _repeated(parts: Parts, times: int) -> Parts:
    """Each of B people `times` times in a row."""
    there = {name: part for name, part in parts._asdict().items() if part is not None}
    return parts._replace(**{name: part.repeat_interleave(times, dim=0) for name, part in there.items()})


def _angle_spread(rotmats: Tensor) -> Tensor:
    """Root mean square angle [B,J] in degrees of rotations [B,M,J,3,3] from their mean.

    Two rotations that are θ apart have the Frobenius distance 2√2 sin(θ/2); that of M rotations from their mean matrix is
    3 - |mean|² on average.
    """
    chord = (3 - rotmats.mean(dim=1).square().sum((-1, -2))).clamp(min=0)
    return torch.rad2deg(2 * (chord / 8).sqrt().clamp(max=1).asin())


def _nearest(joints: Tensor, points: Tensor, count: int) -> Tensor:
    """Indices [24,count] of the points [1,K,3] that are nearest to each of the joints [1,24,3]."""
    return torch.cdist(joints[0], points[0]).topk(count, dim=1, largest=False).indices
