# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network fits which body: the one that its loop poses, and the one that the user gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..body import LandmarkBody
from ..body.transfer import transfer_betas
from ..errors import BodyFileError
from ..network import CropCamera, Encoding, Estimate
from ..network.keypoints import keypoint_points
from ..network.refit import Merge, PosePoints
from .confidence import ConfidenceEstimator
from .height import betas_of_height
from .models import Body, FitOptions, Models, Network


@dataclass(frozen=True)
class Subject:
    """A network with the body that it follows (`loop_body`) and the body of the result (`result_body`).

    They differ where the network was trained with the bundled body and the user brings SMPL: poses carry over as they
    are, betas through the shapes' correspondence.
    """

    network: Network
    loop_body: Body
    result_body: Body
    points: PosePoints
    landmark_points: LandmarkBody | None
    given_betas: Tensor | None
    loop_betas: Tensor | None
    iterations: int
    confidence: ConfidenceEstimator

    def estimate(self, patches: Tensor, camera: CropCamera) -> Estimate:
        """The last estimate for RGB crops [B,3,256,256] in 0..1."""
        return self.follow(self.network.model.encode(patches), camera)[-1]

    def follow(self, encoding: Encoding, camera: CropCamera, merge: Merge | None = None) -> list[Estimate]:
        """All T+1 estimates for B encoded crops; `merge` reconciles those of the same body."""
        betas = self.expanded_betas(len(encoding.vector))
        return self.network.model.refine(
            encoding, camera, self.points, self.landmark_points, self.iterations, betas, merge=merge
        )

    def expanded_betas(self, count: int) -> Tensor | None:
        """The known shape of the followed body for each of B people, [B,10], or None."""
        return None if self.loop_betas is None else self.loop_betas.expand(count, -1)

    def with_betas(self, betas: Tensor) -> Subject:
        """The same for known shapes of the result's body: [B,10], or [1,10] for all."""
        same = self.loop_body is self.result_body
        loop_betas = betas if same else _transferred(betas, self.result_body, self.loop_body)
        return replace(self, given_betas=betas, loop_betas=loop_betas)

    def of_height(self, betas: Tensor, height: float) -> Subject:
        """The same for known shapes: those of that height in metres which are next to the followed body's [B,10]."""
        shapes = self._result_betas(betas).double().cpu().numpy()
        known = np.array([betas_of_height(self.result_body.data, shape, height) for shape in shapes])
        return self.with_betas(torch.from_numpy(known).to(betas))

    def pose(self, estimate: Estimate, camera: CropCamera) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The result's body in the crops' camera frame; see `place`."""
        return self.place(estimate.betas, estimate.rotmats(), estimate.translation(camera))

    def place(self, betas: Tensor, rotmats: Tensor, transl: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The result's body for parameters of the followed one, in any frame.

        Returns betas [B,10], rotmats [B,24,3,3], transl [B,3], joints [B,24,3], vertices [B,V,3]; metres.
        """
        betas, rotmats, transl, joints = self.place_joints(betas, rotmats, transl)
        return betas, rotmats, transl, joints, self.result_body.model(betas, rotmats, transl).vertices

    def place_joints(self, betas: Tensor, rotmats: Tensor, transl: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same without vertices."""
        followed = self.loop_body.model.joints(betas, rotmats) + transl[:, None]
        if self.result_body is self.loop_body:
            return betas, rotmats, transl, followed
        betas = self._result_betas(betas)
        joints = self.result_body.model.joints(betas, rotmats)
        # The bodies' rest poses have their origins elsewhere: let the joints meet on average.
        transl = (followed - joints).mean(dim=1)
        return betas, rotmats, transl, joints + transl[:, None]

    def _result_betas(self, betas: Tensor) -> Tensor:
        """The followed shapes [B,10] as betas of the result's body; a given shape is returned as it was given."""
        if self.given_betas is not None:
            return self.given_betas.expand(len(betas), -1)
        return _transferred(betas, self.loop_body, self.result_body)


def choose_subject(models: Models, options: FitOptions, device: torch.device) -> Subject:
    """Put together network and bodies. Raises WeightsFileError, BodyFileError."""
    network = models.network(options.weights, device)
    result_body = models.body(options.body, options.gender, device)
    if network.trained_on == "smpl" and result_body.data.kind != "smpl":
        raise BodyFileError(f"The weights {network.name} follow SMPL's body: choose an SMPL file as the body.")
    same = network.trained_on == result_body.data.kind
    loop_body = result_body if same else models.body(None, "neutral", device)
    config = network.model.config
    points = keypoint_points(loop_body.model, loop_body.data, config.keypoints)
    landmark_points = LandmarkBody(loop_body.data).to(device) if config.landmark_feedback else None
    subject = Subject(
        network=network,
        loop_body=loop_body,
        result_body=result_body,
        points=points,
        landmark_points=landmark_points,
        given_betas=None,
        loop_betas=None,
        iterations=options.iterations,
        confidence=ConfidenceEstimator(network.model, loop_body.model, points, landmark_points, network.calibration),
    )
    if options.betas is None:
        return subject
    return subject.with_betas(torch.as_tensor(options.betas, dtype=torch.float32, device=device).reshape(1, -1))


def _transferred(betas: Tensor, source: Body, target: Body) -> Tensor:
    moved = transfer_betas(source.data, betas.float().cpu().numpy(), target.data)
    return torch.from_numpy(moved).to(betas.device)
