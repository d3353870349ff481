# SPDX-License-Identifier: GPL-3.0-or-later
"""ReFit, the whole network: encode the crop once, then repeat feedback and update.

Wang and Daniilidis, "ReFit: Recurrent Fitting Network for 3D Human Recovery", ICCV 2023. Section numbers are the paper's;
the numbers of equations are this file's:

    (1)  f_k = F_k(x), |x - x_k| ≤ r     what keypoint k's map shows around the keypoint
    (2)  f = [f_1 … f_K, bbox, Θ]        the feedback: all windows, the box, and the estimate
    (3)  t = translation(s, tx, ty)      the body's place in the full image's camera, from the crop's
    (4)  x_k = crop(Π(X_k + t))          the full-frame reprojection, in the crop's pixels
    (5)  h ← GRU(h, f)                   26 of them, one for each joint, the shape and the camera
    (6)  Θ ← Θ + MLP(h, bbox)            the update

What our bundled network does beyond that is in `landmark_feedback`.
Letters in shapes: B batch, K keypoints, C and D the backbone's channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import BACKBONES, Backbone, BackboneOutput
from .estimate import Estimate
from .geometry import (
    CROP_SIZE,
    CropCamera,
    bbox_features,
    crop_only,
    project_to_crop,
)
from .keypoints import KEYPOINT_COUNTS, KeypointKind
from .landmark_feedback import INPUTS as LANDMARK_INPUTS
from .landmark_feedback import LandmarkFeedback, landmark_layers, turned_to_ray
from .lookup import lookup, window_offsets
from .update import (
    BETAS,
    CAM,
    HIDDEN,
    POSE,
    STATE,
    STREAMS,
    FusedGRU,
    FusedRegressor,
    Regressor,
    SingleUpdateBlock,
    StreamLinear,
    UpdateBlock,
    UpdateKind,
    streams,
)
from .vector_head import VectorHead

if TYPE_CHECKING:
    from ..body import LandmarkBody

MAP_SIZE = 64
_FLOW, _LOCAL, _VECTOR_HEAD, _MAP_HEAD = 5, 256, 512, 128

PosePoints = Callable[[Tensor, Tensor], Tensor]
"""Poses K points of a body: betas [B,10], rotmats [B,24,3,3] to points [B,K,3], metres, before translation."""


@dataclass(frozen=True)
class ReFitConfig:
    """Everything that decides the network's shape; the default is the published network."""

    backbone: str = "hrnet_w48"
    keypoints: KeypointKind = "markers67"
    radius: int = 3
    keypoint_dropout: float = 0.25
    update: UpdateKind = "parallel"
    feedback_camera: Literal["full", "crop"] = "full"
    map_head: Literal["conv3x3", "conv1x1"] = "conv3x3"
    landmark_feedback: bool = False
    local_features: bool = False
    """Whether the initial estimate reads the backbone's deep maps at its landmarks."""
    exact_landmarks: bool = False
    """Whether it reads the landmarks that the loop follows, too."""

    @property
    def compact(self) -> bool:
        """Whether the backbone is a landmark network, whose vector was not made for body parameters."""
        return self.backbone.startswith("blazepose")


COMPACT = ReFitConfig(
    backbone="blazepose_heavy", map_head="conv1x1", landmark_feedback=True, local_features=True, exact_landmarks=True
)
"""The bundled network as training builds it; what a weights file was built as, it says itself."""


class Encoding(NamedTuple):
    """What the loop knows of the crop."""

    keypoint_maps: Tensor
    """[B,K,64,64], one map per keypoint."""
    vector: Tensor
    """[B,D], the backbone's."""
    landmarks: Tensor | None
    """[B,33,3], see `BackboneOutput`."""
    circle: Tensor | None = None
    """[B,2,2], see `BackboneOutput`."""
    local: Tensor | None = None
    """[B,33,E], see `BackboneOutput`; None for landmarks without an image."""
    peaks: Tensor | None = None
    """[B,33], see `BackboneOutput`."""


Merge = Callable[[Estimate], Estimate]
"""What crops of the same body agree on: the estimates of a batch to those that the loop goes on with."""


class FusedUpdate(NamedTuple):
    """The update's weights, ready to run."""

    gru: FusedGRU
    regressor: FusedRegressor


class ReFit(nn.Module):
    """The network without a body: the caller brings the points to follow."""

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor
    offsets: Tensor

    def __init__(self, config: ReFitConfig | None = None, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config = config or ReFitConfig()
        self.backbone = backbone if backbone is not None else BACKBONES[config.backbone]()
        count = KEYPOINT_COUNTS[config.keypoints]
        inputs = _LOCAL + 3 + STATE
        vector_size = self.backbone.vector_size

        self.corr_layer = _map_head(config.map_head, self.backbone.channels, count)
        if config.compact:
            local_size = self.backbone.local_size if config.local_features else 0
            self.vector_head = VectorHead(vector_size, local_size, _VECTOR_HEAD, config.exact_landmarks)
            vector_size = _VECTOR_HEAD
        self.init_layer = nn.Linear(vector_size, STREAMS * HIDDEN)
        self.flow_layer = StreamLinear(count, (2 * config.radius + 1) ** 2, _FLOW)
        self.local_layer = nn.Linear(count * _FLOW, _LOCAL)
        if config.landmark_feedback:
            self.landmark_layer, self.step_gate = landmark_layers()
            inputs += LANDMARK_INPUTS
        self.update_block = UpdateBlock(inputs) if config.update == "parallel" else SingleUpdateBlock(inputs)
        self.regressor = Regressor()
        self._frozen_update: FusedUpdate | None = None
        self.lookup = lookup  # training brings one with a cheaper gradient

        level = torch.tensor([1.0, 0, 0, 1, 0, 0])
        upright = torch.tensor([1.0, 0, 0, -1, 0, 0])  # the body's Y is up, the camera's is down
        self.register_buffer("init_pose", torch.cat([upright, level.repeat(23)])[None])
        self.register_buffer("init_shape", torch.zeros(1, BETAS))
        self.register_buffer("init_cam", torch.tensor([[0.9, 0, 0]]))
        self.register_buffer("offsets", window_offsets(config.radius), persistent=False)

    def forward(
        self,
        crop: Tensor,
        camera: CropCamera,
        points: PosePoints,
        landmark_points: LandmarkBody | None = None,
        iterations: int = 5,
        betas: Tensor | None = None,
    ) -> list[Estimate]:
        """RGB crops [B,3,256,256] in 0…1 to T+1 estimates; see `refine`."""
        return self.refine(self.encode(crop), camera, points, landmark_points, iterations, betas)

    def encode(self, crop: Tensor) -> Encoding:
        """Sec. 3.1: one feature map per keypoint, from RGB crops [B,3,256,256] in 0…1."""
        return self.encode_features(self.backbone(crop))

    def encode_features(self, output: BackboneOutput) -> Encoding:
        """The part of `encode` after the backbone, for training on a frozen backbone's stored outputs."""
        return Encoding(self.corr_layer(output.features), *output[1:])

    def refine(
        self,
        encoding: Encoding,
        camera: CropCamera,
        points: PosePoints,
        landmark_points: LandmarkBody | None = None,
        iterations: int = 5,
        betas: Tensor | None = None,
        keypoint_mask: Tensor | None = None,
        merge: Merge | None = None,
    ) -> list[Estimate]:
        """The feedback-update loop: T+1 estimates, the initial one first.

        `points` poses the configured keypoints, `landmark_points` the landmarks (needed for landmark
        feedback). `betas` [B,10] fixes the shape: every update is then computed for that body.
        `keypoint_mask` [B,K,1] weighs each keypoint's feedback, where training draws a mask by itself.
        `merge` (multi-view ReFit) reconciles the crops after the initial estimate and after every update.
        """
        gru, regressor = self._frozen_update or self._fuse_update()
        bbox = bbox_features(camera)
        box_term = regressor.box_term(bbox)
        feedback_camera = camera if self.config.feedback_camera == "full" else crop_only(camera)
        mask = self._keypoint_mask(encoding.keypoint_maps) if keypoint_mask is None else keypoint_mask
        landmarks = self._landmark_feedback(encoding, landmark_points, feedback_camera)

        def settle(state: Tensor) -> Tensor:
            if merge is not None:
                state = torch.cat(merge(_estimate(state)), dim=1)
            return _with_betas(state, betas)

        def update(hidden: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
            hidden = gru.step(hidden, feedback)  # (5)
            return hidden, regressor(streams(hidden), box_term)  # the change in (6)

        # Sec. 3.1, the initial estimate: read off the whole crop, by the same regressor as every update.
        vector = encoding.vector
        if self.config.compact:
            vector = self.vector_head(vector, encoding.local, encoding.landmarks)
        hidden = self.init_layer(vector).tanh()
        mean = torch.cat([self.init_pose, self.init_shape, self.init_cam], dim=1)
        state = mean + regressor(streams(hidden), box_term)
        if self.config.compact:  # beyond the paper
            state = turned_to_ray(state, camera)
        states = [settle(state)]
        hidden = gru.start(hidden)
        for _ in range(iterations):
            state = states[-1].detach()  # gradients flow through the update only
            estimate = _estimate(state)
            rotmats = estimate.rotmats()

            # Sec. 3.2, feedback: what each keypoint's map shows around the keypoint's reprojection.
            x2d = project_to_crop(points(estimate.betas, rotmats), estimate.cam, feedback_camera)  # (3), (4)
            windows = self.lookup(encoding.keypoint_maps, x2d * (MAP_SIZE / CROP_SIZE), self.offsets)  # (1)
            flow = torch.einsum("bkw,kow->bko", windows, self.flow_layer.weight) + self.flow_layer.bias
            feedback = torch.cat([self.local_layer((mask * flow).flatten(1)), bbox, state], dim=1)  # (2)

            # Sec. 3.3, update: every stream reads all the feedback and changes its own parameters.
            if landmarks is not None:  # beyond the paper
                hidden, change = landmarks.update(update, hidden, feedback, estimate, rotmats)
            else:
                hidden, change = update(hidden, feedback)
            states.append(settle(state + change))  # (6)
        return [_estimate(state) for state in states]

    def _landmark_feedback(
        self, encoding: Encoding, body: LandmarkBody | None, camera: CropCamera
    ) -> LandmarkFeedback | None:
        if not self.config.landmark_feedback:
            return None
        if body is None or encoding.landmarks is None:
            raise ValueError("This network follows landmarks: it needs a body's and the backbone's.")
        return LandmarkFeedback(self.landmark_layer, self.step_gate, body, camera, encoding.landmarks)

    def freeze_update(self) -> None:
        """Keeps the packed weights of the update from now on: later changes of the parameters have no effect."""
        self._frozen_update = self._fuse_update()

    def _fuse_update(self) -> FusedUpdate:
        return FusedUpdate(self.update_block.fuse(), self.regressor.fuse())

    def _keypoint_mask(self, maps: Tensor) -> Tensor:
        """Drops whole keypoints' feedback in training, the same ones in all iterations: [B,K,1]."""
        return F.dropout(maps.new_ones(*maps.shape[:2], 1), self.config.keypoint_dropout, self.training)


def _estimate(state: Tensor) -> Estimate:
    return Estimate(*state.split([POSE, BETAS, CAM], dim=1))


def _with_betas(state: Tensor, betas: Tensor | None) -> Tensor:
    if betas is None:
        return state
    return torch.cat([state[:, :POSE], betas, state[:, POSE + BETAS :]], dim=1)


def _map_head(kind: str, channels: int, keypoints: int) -> nn.Sequential:
    if kind == "conv1x1":
        hidden = nn.Conv2d(channels, _MAP_HEAD, 1)
        return nn.Sequential(hidden, nn.ReLU(inplace=True), nn.Conv2d(_MAP_HEAD, keypoints, 1))
    return nn.Sequential(
        nn.Conv2d(channels, 256, 3, padding=1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, keypoints, 1, bias=False),
    )
