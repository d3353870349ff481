# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: gradients are right, losses vanish at the truth, a run goes on where it stopped."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pretended_card import pretended_card
from stored_people import SHARD, landmarks_of
from torch import nn

pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_engine.body import LandmarkBody, load_body
from refit_engine.crop import rotation_2d
from refit_engine.fitting.boxes import overlap
from refit_engine.fitting.crops.upright import UprightCrop
from refit_engine.movenet import COCO_JOINT_NAMES
from refit_engine.network.backbones import BackboneOutput, blazepose
from refit_engine.network.backbones.blazepose import LANDMARK_NAMES, load_blazepose
from refit_engine.network.checkpoint import BUNDLED_WEIGHTS, load_refit
from refit_engine.network.geometry import cam_from_translation, rotmats_to_6d
from refit_engine.network.lookup import lookup, window_offsets
from refit_engine.network.low_rank import adapt, adapters_of
from refit_engine.network.refit import COMPACT, Estimate
from refit_engine.network.vector_head import LANDMARK_VALUES
from refit_training import shards
from refit_training.evaluation.measure_synthetic import Judge, change, landmark_errors, measure, summary
from refit_training.render.synthetic import RenderStore
from refit_training.train import features, stages
from refit_training.train.backbone_losses import SPOT, BackboneLosses, BackbonePass, true_circle
from refit_training.train.batches import clearer, feature_batches, lifted_batches, posed_views, render_batches
from refit_training.train.features import FeatureStore, observed, write_features
from refit_training.train.landmarks import LandmarkNoise, locate, simulate_encoding
from refit_training.train.losses import Labels, estimate_losses
from refit_training.train.sparse_lookup import SparseLookup
from refit_training.train.trainer import Trainer, last_state
from refit_training.train.weight_averaging import average_weights
from refit_training.train.weight_interpolation import interpolate_weights


def test_sparse_lookup_has_the_values_and_the_gradient_of_lookup():
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    points, offsets = torch.rand(3, 5, 2) * 90 - 12, window_offsets(3)
    windows = lookup(maps.contiguous(), points, offsets)
    pull = torch.randn_like(windows)
    (expected,) = torch.autograd.grad((windows * pull).sum() + (2 * windows * pull).sum(), maps)

    sparse = SparseLookup()
    seen = sparse.begin(maps * 1.0)
    first, second = (sparse(seen, points, offsets) for _ in range(2))
    torch.testing.assert_close(first, windows)
    ((first * pull).sum() + (2 * second * pull).sum()).backward()
    sparse.finish()
    torch.testing.assert_close(maps.grad, expected)


def test_losses_vanish_at_the_truth_and_only_there(views):
    points = landmarks_of(views) - views.transl[:, None]
    labels = Labels(views.rotmats, views.betas, views.transl, points)
    truth = Estimate(rotmats_to_6d(views.rotmats), views.betas, cam_from_translation(views.transl, views.camera))
    for value in estimate_losses(truth, points, labels, views.camera, views.camera).values():
        assert value < 1e-4
    moved = truth._replace(cam=truth.cam * 1.2, betas=truth.betas + 1)
    terms = estimate_losses(moved, points + 0.1 * torch.rand_like(points), labels, views.camera, views.camera)
    assert all(terms[name] > 0.01 for name in ("keypoints2d", "keypoints3d", "betas", "depth"))


def test_borrowed_noise_is_that_of_people_who_look_alike(folder, views):
    noise = LandmarkNoise(FeatureStore(folder))
    assert len(noise.understood()) == 2 * SHARD
    assert len(noise.understood(within=2.0)) == 0
    torch.manual_seed(0)
    encoding = simulate_encoding(landmarks_of(views), views, 67, noise)
    shift = encoding.landmarks[..., :2] - locate(landmarks_of(views), views)[..., :2]
    assert 0.5 < shift[..., 0].mean() < 2.5  # a random share of three pixels
    assert shift[..., 1].mean().abs() < 0.5


def test_clearer_landmarks_are_nearer_to_the_truth_but_for_people_who_were_mistaken(folder):
    seen, views = next(FeatureStore(folder).batches(SHARD, maps=False))
    mistaken = seen.landmarks.clone()
    mistaken[0, :, 0] += 30
    torch.manual_seed(0)
    found = clearer(seen._replace(landmarks=mistaken), views, LandmarkBody(load_body()), 0.25)
    off = found.landmarks[..., 0] - locate(landmarks_of(views), views)[..., 0]
    assert off[0].mean() == pytest.approx(33, abs=0.5)
    assert (off[1:] > 0.7).all() and off[1:].mean() < 2.6


def test_landmark_errors_are_pixels_and_millimetres(folder):
    seen, views = next(FeatureStore(folder).batches(SHARD, maps=False))
    errors = landmark_errors(seen, views, LandmarkBody(load_body()))
    torch.testing.assert_close(errors, torch.tensor([3.0, 3.0, 0.0]).expand(SHARD, 3), atol=0.6, rtol=0)


def test_errors_are_those_of_the_joints_and_of_their_place_in_the_picture(views):
    cam = cam_from_translation(views.transl, views.camera)
    truth = Estimate(rotmats_to_6d(views.rotmats), views.betas, cam)
    aside = truth._replace(cam=cam + torch.tensor([0, 0.01, 0]))

    class Told(SimpleNamespace):
        def encode_features(self, seen):
            return None

        def refine(self, *_):
            return [truth, aside]

    right, moved = Judge(Told(config=COMPACT)).errors(None, views, [0, 1])
    assert right.max() < 0.05
    assert moved[:, :3].max() < 0.05
    points = landmarks_of(views)
    shift = aside.translation(views.camera) - truth.translation(views.camera)
    expected = (views.crop_pixels(points + shift[:, None]) - views.crop_pixels(points)).norm(dim=-1).mean(1)
    torch.testing.assert_close(moved[:, 3], expected, rtol=0.05, atol=0.05)
    assert expected.min() > 0.5


def test_held_out_poses_are_not_trained_on(poses):
    kept, tested = poses.part(held_out=False), poses.part(held_out=True)
    assert len(kept) + len(tested) == len(poses) and len(tested) == 2
    assert not set(kept.clips) & set(tested.clips)


def test_run_that_was_stopped_goes_on(folder, poses, tmp_path):
    library = tmp_path / "library" / "poses.npz"
    library.parent.mkdir()
    poses.save(library)
    command = ["features", "--poses", str(library), "--features", str(folder), "--out", str(tmp_path / "run")]
    settings = ["--batch", "4", "--iterations", "1"]
    stages.main([*command, *settings, "--steps", "2"])
    stages.main([*command, *settings, "--steps", "3"])
    assert last_state(tmp_path / "run")["step"] == 3


def test_backbone_learns_from_renders_and_its_adapters_go_where_the_weights_go(renders, folder, tmp_path):
    learned, later = tmp_path / "learned", tmp_path / "later"
    settings = ["--batch", "2", "--iterations", "1", "--steps", "2", "--learning-rate", "1e-3"]
    stages.main(["adapters", "--renders", str(renders), "--adapt-from", "27", "--out", str(learned), *settings])
    stages.main(["features", "--features", str(folder), "--start", str(learned), "--out", str(later), *settings])

    crops, _ = next(RenderStore(renders).batches(SHARD))
    network, _ = load_refit(later / "refit_compact.safetensors")
    with torch.no_grad():
        moved = network.backbone(crops).landmarks - load_blazepose()(crops).landmarks
    assert moved.abs().max() > 0.01
    states = [last_state(run) for run in (learned, later)]
    assert states[0]["backbone"].keys() == states[1]["backbone"].keys()
    for name, value in states[0]["backbone"].items():
        torch.testing.assert_close(value, states[1]["backbone"][name])

    (errors, classes, _), *_ = measure(network, observed(network.backbone, RenderStore(renders), SHARD), [0, 1])
    assert errors.shape == (2, SHARD, 4) and errors.isfinite().all()
    assert all(len(members) == SHARD for members in classes.values())
    assert json.dumps(summary(errors[0]))
    assert change(errors[1] + 1, errors[1])["MPJPE"] == (1.0, 0.0)


def test_training_goes_on_from_the_bundled_weights(folder, tmp_path):
    settings = ["--batch", "2", "--iterations", "1", "--steps", "1", "--learning-rate", "1e-9"]
    stages.main(
        [
            "features",
            "--features",
            str(folder),
            "--start",
            str(BUNDLED_WEIGHTS),
            "--out",
            str(tmp_path / "run"),
            *settings,
        ]
    )
    ours, _ = load_refit(tmp_path / "run" / "refit_compact.safetensors")
    for name, tensor in load_refit()[0].state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, atol=1e-5, rtol=1e-3)


def test_training_on_a_graphics_card_takes_the_same_steps(renders, folder, poses, tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext()
    )  # the pretended card has none

    def losses(device):
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        backbone = load_blazepose()
        adapt(backbone, backbone.dense_convolutions(27), rank=2)
        trainer = Trainer(tmp_path, 1e-3, 4, device=device, backbone=backbone)
        trainer.network.train()
        store, pictures = FeatureStore(folder, device=device), RenderStore(renders, device)
        noise = LandmarkNoise(store)
        views = posed_views(poses, trainer.body, 2, rng)
        batches = [
            render_batches(trainer.look, pictures, 2, rng),
            lifted_batches(views, trainer.landmarks, 67, noise),
            feature_batches(trainer.encode, store, noise, 2, rng, maps=True),
            feature_batches(trainer.encode, store, noise, 2, rng, maps=False),
        ]
        steps = [trainer.update(next(some), updates) for some, updates in zip(batches, (1, 1, 2, 0), strict=True)]
        return [{name: value.item() for name, value in terms.items()} for step in steps for terms in step]

    expected = losses("cpu")
    with pretended_card(monkeypatch) as card:
        found = losses(card)
    assert len(expected) == 8 and [terms.keys() for terms in found] == [terms.keys() for terms in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("encoder, kept", [(None, (0.25, 0.25)), (0.75, (0.75, 0.25))])
def test_interpolated_backbone_lies_on_the_way_from_the_given_one_to_the_adapted_one(tmp_path, encoder, kept):
    names = ["encoder.blocks.27.project", "landmark_head"]
    torch.manual_seed(0)
    adapted, given = load_blazepose(), load_blazepose()
    adapt(adapted, names, rank=2)
    with torch.no_grad():
        for convolution in map(adapted.get_submodule, names):
            convolution.parametrizations.weight[0].up.normal_()
            convolution.bias += 1
    (tmp_path / "run").mkdir()
    Trainer(tmp_path / "run", 1e-4, 1, backbone=adapted).save()
    interpolate_weights(tmp_path / "run", 0.25, tmp_path / "interpolated", encoder)
    interpolated = load_refit(tmp_path / "interpolated" / "refit_compact.safetensors")[0].backbone
    for name, share in zip(names, kept, strict=True):
        found, first, whole = (network.get_submodule(name) for network in (interpolated, given, adapted))
        torch.testing.assert_close(found.weight, torch.lerp(first.weight, whole.weight, share), atol=1e-3, rtol=1e-2)
        torch.testing.assert_close(found.bias, first.bias + share, atol=1e-2, rtol=1e-3)  # stored in halves
    assert last_state(tmp_path / "interpolated")["backbone"].keys() == adapters_of(adapted).keys()


def test_mean_of_runs_lies_between_them_and_needs_one_backbone(tmp_path):
    name = "encoder.blocks.27.project"
    runs = [tmp_path / run for run in ("a", "b", "other")]
    for number, run in enumerate(runs):
        torch.manual_seed(number == 2)
        backbone = load_blazepose()
        adapt(backbone, [name], rank=2)
        trainer = Trainer(run, 1e-4, 1, backbone=backbone)
        with torch.no_grad():
            trainer.network.init_layer.bias.fill_(number)
        run.mkdir()
        trainer.save()
    average_weights(runs[:2], tmp_path / "mean")
    network, _ = load_refit(tmp_path / "mean" / "refit_compact.safetensors")
    assert (network.init_layer.bias == 0.5).all()
    assert (last_state(tmp_path / "mean")["network"]["init_layer.bias"] == 0.5).all()
    with pytest.raises(ValueError):
        average_weights(runs[1:], tmp_path / "wrong")


def test_features_are_what_the_backbone_says(renders, tmp_path):
    features.main([str(renders), "--out", str(tmp_path / "features")])
    (seen, _), *_ = FeatureStore(tmp_path / "features").batches(SHARD)
    crops, _ = next(RenderStore(renders).batches(SHARD))
    with torch.no_grad():
        expected = load_blazepose()(crops)
    torch.testing.assert_close(seen.landmarks, expected.landmarks, atol=0.01, rtol=1e-3)
    assert (seen.features - expected.features).abs().max() < 0.01 * expected.features.abs().max()


def test_features_of_a_graphics_card_are_those_of_the_processor(renders, tmp_path, monkeypatch):
    features.store_features(renders, tmp_path / "here", BUNDLED_WEIGHTS)
    with pretended_card(monkeypatch) as card:
        features.store_features(renders, tmp_path / "there", BUNDLED_WEIGHTS, device=card)
    (ours, views), (theirs, same) = (next(FeatureStore(tmp_path / place).batches(SHARD)) for place in ("there", "here"))
    torch.testing.assert_close(views.betas, same.betas)
    for part, expected in zip(ours, theirs, strict=True):
        if expected is not None:
            torch.testing.assert_close(part, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_landmarks_are_fused_with_what_thunder_sees_in_a_level_crop(views, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", SHARD)
    true = locate(landmarks_of(views), views)[..., :2]
    shared = [LANDMARK_NAMES.index(name) for name in COCO_JOINT_NAMES]
    given = []

    class Backbone(nn.Linear):
        def forward(self, crops):
            away = torch.cat([true + torch.tensor([4.0, 0]), torch.ones(SHARD, 33, 1)], -1)
            return BackboneOutput(
                torch.zeros(SHARD, 1), torch.zeros(SHARD, LANDMARK_VALUES), away, peaks=torch.zeros(SHARD, 33)
            )

    def align_upright(pixels, crop, box, intrinsics, eye):
        given.append((crop, box))
        joints = np.column_stack([true[len(given) - 1, shared], np.full(17, 0.9)])
        return UprightCrop(crop, None if len(given) == 1 else joints)

    monkeypatch.setattr(features, "align_upright", align_upright)
    crops = torch.zeros(SHARD, 3, 256, 256)
    seen, joints = features.Observer(Backbone(1, 1), object()).look(crops, views)
    maps = {"features": torch.zeros(SHARD, 1, 2, 2), "local": torch.zeros(SHARD, 33, 1)}
    write_features(tmp_path, "a", seen._replace(**maps), joints, views)
    stored, _ = next(FeatureStore(tmp_path).batches(SHARD))
    moved = (stored.landmarks - seen.landmarks)[..., 0]
    assert not moved[0].any(), "nobody was seen there"
    assert (moved[1:, shared] < 0).float().mean() > 0.8
    for (crop, box), points, up in zip(
        given, true.clamp(0, 256).numpy(), views.camera_from_world[:, :2, 1].numpy(), strict=True
    ):
        assert overlap(box, np.array([[*points.min(0), *np.ptp(points, axis=0)]]))[0] > 0.4
        turned = rotation_2d(crop.roll) @ up
        assert np.linalg.norm(up) < 0.31 or np.degrees(np.arctan2(turned[0], -turned[1])) == pytest.approx(0, abs=15)


def test_gradient_through_the_backbone_is_the_plain_one(monkeypatch):
    """Gathered at its outputs, through quicker clamps and strides, it is what autograd makes of the plain network."""
    torch.manual_seed(0)
    crops, pull = torch.rand(1, 3, 256, 256), torch.randn(1, 48, 64, 64)
    network = load_blazepose()
    adapt(network, ["encoder.blocks.8.expand"], rank=2)
    change = network.get_submodule("encoder.blocks.8.expand").parametrizations.weight[0]

    seen_by = BackbonePass.of(network(crops))
    ((seen_by.leaves.features * pull).sum() + seen_by.leaves.vector.sum()).backward()
    seen_by.backward()
    found = change.up.grad

    def plain(convolution, x):
        x = nn.Conv2d.forward(convolution, x)
        return x if convolution.linear else x.clamp(0, 6)

    monkeypatch.setattr(blazepose, "relu6_", lambda x: x.clamp(0, 6))
    monkeypatch.setattr(blazepose.Conv, "forward", plain)
    seen = network(crops)
    (expected,) = torch.autograd.grad((seen.features * pull).sum() + seen.vector.sum(), change.up)
    assert expected.norm() > 1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_losses_of_the_backbone_are_least_at_the_truth(views):
    landmarks = landmarks_of(views)
    located = locate(landmarks, views)
    losses = BackboneLosses(channels=3, markers=2)
    markers = landmarks[:, :2]
    with torch.no_grad():
        losses.spots.weight.zero_()[0, 0] = losses.spots.weight[1, 1] = 1
        losses.spots.bias.zero_()

    def terms(off: float) -> dict[str, float]:
        flat = located[..., :2] + off
        sure = torch.ones(SHARD, 33, 1)
        values = torch.cat([flat / 128 - 1, located[..., 2:3] / 128 + off, sure, sure], -1)
        vector = torch.cat([values.flatten(1), (located[..., 3:] + off).flatten(1), torch.ones(SHARD, 1)], 1)
        pixels = torch.arange(64) + 0.5
        x, y = ((views.crop_pixels(markers) / 4 + off)[..., axis, None] for axis in (0, 1))
        spots = -((pixels - y).square()[..., None] + (pixels - x).square()[..., None, :]) / (2 * SPOT**2)
        maps = torch.cat([spots, torch.rand(SHARD, 1, 64, 64)], 1)
        return losses(
            BackboneOutput(maps, vector, None, true_circle(located[..., :2]) + off), views, landmarks, markers
        )

    right, wrong = terms(0.0), terms(3.0)
    entropy = 1 + np.log(2 * np.pi * SPOT**2)  # of a spot: no map can be nearer to it
    right["markers"], wrong["markers"] = right["markers"] - entropy, wrong["markers"] - entropy
    for name in right:
        assert right[name] < 0.02 and wrong[name] > 5 * right[name].clamp(min=1e-3), name
