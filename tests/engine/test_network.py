# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loop promises, on a small backbone and a stick of a body."""

from __future__ import annotations

import copy

import pytest
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.network import CropCamera, ReFit, ReFitConfig, refit
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.inference import prepare_for_inference
from refit_engine.network.keypoints import KEYPOINT_COUNTS
from refit_engine.network.landmark_feedback import landmark_residual
from refit_engine.network.update import HIDDEN, STREAMS, SingleUpdateBlock, UpdateBlock
from torch import Tensor, nn

BATCH = 3


class TinyBackbone(nn.Module):
    """8 channels at stride 4, and landmarks in the middle of the crop."""

    channels, vector_size = 8, 16

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 4, stride=4, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 16)

    def forward(self, crop: Tensor) -> BackboneOutput:
        features = self.bn1(self.conv1(crop)).relu()
        landmarks = torch.full((len(crop), 33, 3), 128.0)
        landmarks[..., 2] = 0.9
        return BackboneOutput(features, self.linear(features.mean(dim=(2, 3))), landmarks)


class Stick:
    """K points on a slanted line that turns with the root and stretches with the first beta."""

    def __init__(self, count: int) -> None:
        self.line = torch.linspace(-0.8, 0.8, count)
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, betas: Tensor, rotmats: Tensor) -> Tensor:
        self.calls.append((betas, rotmats))
        direction = rotmats[:, 0, :, 1] + rotmats[:, 0, :, 2]
        return direction[:, None] * self.line[:, None] * (1 + 0.1 * betas[:, :1, None])


def build(seed: int = 0, **changes) -> ReFit:
    torch.manual_seed(seed)
    return ReFit(ReFitConfig(**{"map_head": "conv1x1", **changes}), TinyBackbone()).eval()


def camera(batch: int = BATCH) -> CropCamera:
    return CropCamera(
        center=torch.tensor([[400.0, 300.0]]).repeat(batch, 1),
        side=torch.full((batch,), 250.0),
        focal=torch.full((batch,), 1000.0),
        principal=torch.tensor([[640.0, 360.0]]).repeat(batch, 1),
    )


def crops(batch: int = BATCH) -> Tensor:
    return torch.rand(batch, 3, 256, 256, generator=torch.Generator().manual_seed(1))


def points(model: ReFit) -> Stick:
    return Stick(KEYPOINT_COUNTS[model.config.keypoints])


@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_initial_estimate_and_one_per_iteration(iterations):
    model = build()
    stick = points(model)
    estimates = model(crops(), camera(), stick, iterations=iterations)
    assert len(estimates) == iterations + 1
    assert len(stick.calls) == iterations
    final = estimates[-1]
    assert (final.pose6d.shape, final.betas.shape, final.cam.shape) == ((BATCH, 144), (BATCH, 10), (BATCH, 3))
    assert final.rotmats().shape == (BATCH, 24, 3, 3)
    assert final.translation(camera()).shape == (BATCH, 3)


def test_untrained_network_starts_with_a_person_who_stands_in_front_of_the_camera():
    first = build()(crops(), camera(), Stick(67), iterations=0)[0]
    up = first.rotmats()[:, 0, :, 1]
    torch.testing.assert_close(up, torch.tensor([0.0, -1, 0]).expand(BATCH, 3), atol=0.1, rtol=0)
    assert (first.translation(camera())[:, 2] > 1).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoints": "semantic24"},
        {"keypoints": "dense231"},
        {"update": "single"},
        {"radius": 1},
        {"radius": 0},
        {"feedback_camera": "crop"},
        {"map_head": "conv3x3"},
    ],
)
def test_ablations_run_and_learn(changes):
    model = build(**changes).train()
    estimates = model(crops(), camera(), points(model))
    sum(e.pose6d.sum() + e.betas.sum() + e.cam.sum() for e in estimates).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing


def test_people_in_a_batch_do_not_see_each_other():
    model = build()
    together = model(crops(), camera(), Stick(67))[-1]
    alone = model(crops()[1:2], camera(1), Stick(67))[-1]
    torch.testing.assert_close(together.pose6d[1:2], alone.pose6d, atol=1e-5, rtol=0)


def test_gradients_flow_through_the_update_only():
    model = build()
    stick = points(model)
    model(crops(), camera(), stick)
    assert not any(tensor.requires_grad for call in stick.calls for tensor in call)


def test_given_shape_is_kept_and_seen_in_every_iteration():
    model = build()
    stick = points(model)
    betas = torch.randn(BATCH, 10)
    estimates = model(crops(), camera(), stick, betas=betas)
    assert all(torch.equal(e.betas, betas) for e in estimates)
    assert all(torch.equal(call[0], betas) for call in stick.calls)
    free = model(crops(), camera(), Stick(67))[-1]
    assert not torch.equal(free.pose6d, estimates[-1].pose6d)


def _fed_back(model: ReFit) -> Tensor:
    """What `local_layer` reads in each iteration: [T,B,K,5]."""
    seen: list[Tensor] = []
    hook = model.local_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(crops(), camera(), points(model))
    hook.remove()
    return torch.stack(seen).unflatten(2, (-1, 5))


def test_training_drops_whole_keypoints_the_same_in_all_iterations():
    model = build(keypoint_dropout=0.25).train()
    nn.init.constant_(model.flow_layer.bias, 1.0)
    nn.init.zeros_(model.flow_layer.weight)
    fed = _fed_back(model)
    dropped = fed[..., 0] == 0
    assert (fed == fed[:1, :, :, :1]).all()
    assert 0.1 < dropped.float().mean() < 0.4
    torch.testing.assert_close(fed[~dropped], torch.full_like(fed[~dropped], 1 / 0.75))


def test_nothing_is_dropped_outside_of_training():
    model = build(keypoint_dropout=0.25)
    nn.init.constant_(model.flow_layer.bias, 1.0)
    assert (_fed_back(model) != 0).all()


def test_feedback_camera_decides_where_the_network_looks(monkeypatch):
    seen = {}

    def spy(maps, where, offsets):
        seen.setdefault(kind, where)
        return maps.new_zeros(*maps.shape[:2], offsets.shape[0] ** 2)

    monkeypatch.setattr(refit, "lookup", spy)
    for kind in ("full", "crop"):
        model = build(feedback_camera=kind)
        model(crops(), camera(), points(model), iterations=1)
    assert (seen["full"] - seen["crop"]).abs().max() > 0.1


def test_landmarks_pull_where_the_window_does_not_reach():
    torch.manual_seed(0)
    model = build(landmark_feedback=True)
    landmark_stick = LandmarkBody(load_body())
    with torch.no_grad():
        encoding = model.encode(crops())
        here = model.refine(encoding, camera(), points(model), landmark_stick)[-1]
        moved = encoding._replace(landmarks=encoding.landmarks + torch.tensor([20.0, 0, 0]))
        there = model.refine(moved, camera(), points(model), landmark_stick)[-1]
        hidden = encoding._replace(landmarks=encoding.landmarks * torch.tensor([1.0, 1, 0]))
        unseen = hidden._replace(landmarks=hidden.landmarks + torch.tensor([20.0, 0, 0]))
        a, b = (model.refine(e, camera(), points(model), landmark_stick)[-1] for e in (hidden, unseen))
    assert not torch.equal(here.pose6d, there.pose6d)
    assert torch.equal(a.pose6d, b.pose6d)  # landmarks that are not visible say nothing


def test_landmark_far_away_counts_no_more_than_the_limit():
    far = landmark_residual(torch.tensor([[[1e6, -1e6, 1.0]]]), torch.zeros(1, 1, 2))
    assert far.tolist() == [[2.0, -2.0, 1.0]]


@pytest.mark.parametrize("cam", [[-1.0, 0, 0], [0.0, 1, 1], [1e-9, 0, 0], [50.0, 1e3, -1e3], [-1e6, 0, 0]])
def test_hopeless_states_stay_finite(cam):
    model = build()
    model.init_cam[:] = torch.tensor(cam)
    estimates = model(crops(), camera(), points(model))
    for estimate in estimates:
        assert estimate.rotmats().isfinite().all()
        assert estimate.translation(camera()).isfinite().all()
    estimates[-1].translation(camera()).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_fused_streams_are_the_single_grus_of_the_paper():
    torch.manual_seed(0)
    block = UpdateBlock(inputs=7).double()
    hidden, x = torch.randn(STREAMS, BATCH, HIDDEN).double(), torch.randn(BATCH, 7).double()
    fused = block.fuse().step(hidden, x)

    groups = [(block.pose_gru, joint) for joint in range(24)] + [(block.shape_gru, None), (block.cam_gru, None)]
    for stream, (group, index) in enumerate(groups):

        def linear(layer, value, index=index):
            weight, bias = (p if index is None else p[index] for p in (layer.weight, layer.bias))
            return value @ weight.T + bias

        h = hidden[stream]
        z = torch.sigmoid(linear(group.lz, torch.cat([h, x], dim=1)))
        r = torch.sigmoid(linear(group.lr, torch.cat([h, x], dim=1)))
        q = torch.tanh(linear(group.lq, torch.cat([r * h, x], dim=1)))
        torch.testing.assert_close(fused[stream], (1 - z) * h + z * q)


def test_streams_are_separate_unless_one_gru_serves_all():
    torch.manual_seed(0)
    x = torch.randn(1, 7)
    changed = {}
    for block in (UpdateBlock(7), SingleUpdateBlock(7)):
        gru = block.fuse()
        hidden = torch.zeros_like(gru.start(x))
        other = hidden.clone()
        other.flatten()[0] = 1.0
        before, after = (refit.streams(gru.step(h, x)) for h in (hidden, other))
        changed[type(block)] = (before != after).any(dim=2).sum().item()
    assert changed == {UpdateBlock: 1, SingleUpdateBlock: STREAMS}


def test_update_follows_the_parameters_until_it_is_frozen():
    model = build()
    before = model(crops(), camera(), Stick(67))[-1].cam
    with torch.no_grad():
        model.regressor.deccam.bias += 0.1
    assert not torch.equal(model(crops(), camera(), Stick(67))[-1].cam, before)


def test_prepared_network_gives_the_same_result():
    model = build()
    nn.init.uniform_(model.backbone.bn1.running_mean)
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    theirs, ours = (m(crops(), camera(), Stick(67))[-1] for m in (model, prepared))
    torch.testing.assert_close(ours.pose6d, theirs.pose6d, atol=1e-5, rtol=0)
