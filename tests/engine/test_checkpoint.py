# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight files: what is written comes back, public checkpoints load, and nothing else does."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from parity_rules import fake_smpl, published_tensors
from refit_engine.errors import WeightsFileError
from refit_engine.network import COMPACT, ReFit, ReFitConfig
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import load_refit, save_refit
from refit_engine.network.low_rank import adapt

SMALL = ReFitConfig(backbone="hrnet_w32")


@pytest.fixture(scope="module")
def small() -> ReFit:
    torch.manual_seed(0)
    return ReFit(SMALL)


@pytest.fixture(scope="module")
def public_checkpoint(tmp_path_factory):
    """A file as the published training code writes them, with a model that no one trained."""
    torch.manual_seed(0)
    model = {
        name: torch.zeros(shape, dtype=torch.long) if name.endswith("num_batches_tracked") else torch.rand(shape)
        for name, shape in published_tensors().items()
    }
    content = {
        "epoch": 3,
        "model": model,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "best": np.float64(51.2),
        "errors": {"pa": np.float32(40.1), "count": np.int64(7)},
    }
    path = tmp_path_factory.mktemp("weights") / "refit_all.pt"
    torch.save(content, path)
    return path, model


def assert_same_tensors(ours, theirs) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_saved_weights_come_back(small, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_refit(small, path, body="smpl")
    model, info = load_refit(path)
    assert (info.name, info.config, info.body) == ("mine", SMALL, "smpl")
    assert not model.training
    assert_same_tensors(model.state_dict(), small.state_dict())


def test_half_precision_halves_the_file_and_loads_as_float32(small, tmp_path):
    save_refit(small, tmp_path / "full.safetensors", body="smpl")
    save_refit(small, tmp_path / "half.safetensors", body="smpl", half=True)
    sizes = [os.path.getsize(tmp_path / f"{name}.safetensors") for name in ("full", "half")]
    assert sizes[1] < 0.51 * sizes[0]
    model, _ = load_refit(tmp_path / "half.safetensors")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    torch.testing.assert_close(model.local_layer.weight, small.local_layer.weight, atol=1e-4, rtol=0)


def test_compact_weights_leave_the_frozen_backbone_to_its_own_file(tmp_path):
    path = tmp_path / "compact.safetensors"
    trained = ReFit(COMPACT)
    save_refit(trained, path, body="bundled")
    assert not [name for name in safetensors.torch.load_file(path) if name.startswith("backbone.")]
    model, info = load_refit(path)
    assert info.config == COMPACT
    assert model.backbone.landmark_head.weight.abs().sum() > 0
    torch.testing.assert_close(model.local_layer.weight, trained.local_layer.weight)


def test_adapters_of_an_adapted_backbone_come_back_built_in(tmp_path):
    path = tmp_path / "adapted.safetensors"
    torch.manual_seed(0)
    backbone, name = load_blazepose(), "encoder.blocks.20.expand"
    given = backbone.get_submodule(name).weight.clone()
    adapt(backbone, [name], rank=3)
    backbone.get_submodule(name).parametrizations.weight[0].up.data.normal_()
    trained = ReFit(COMPACT, backbone)
    save_refit(trained, path, body="bundled")
    kept = {name: tensor.numel() for name, tensor in safetensors.torch.load_file(path).items() if "backbone" in name}
    assert sum(kept.values()) == 3 * (given.shape[0] + given.shape[1]) + given.shape[0]
    model, _ = load_refit(path)
    found = model.backbone.get_submodule(name).weight
    torch.testing.assert_close(found, backbone.get_submodule(name).weight)
    assert (found - given).abs().max() > 0.01

    state = safetensors.torch.load_file(path)
    state["backbone_change.encoder.blocks.99.expand.bias"] = torch.zeros(3)
    with safetensors.safe_open(path, framework="pt") as file:
        safetensors.torch.save_file(state, tmp_path / "foreign.safetensors", file.metadata())
    with pytest.raises(WeightsFileError, match="foreign.safetensors does not hold the tensors"):
        load_refit(tmp_path / "foreign.safetensors")


def test_compact_weights_keep_a_backbone_that_was_trained_on(tmp_path):
    path = tmp_path / "compact.safetensors"
    trained = ReFit(COMPACT)
    trained.backbone.requires_grad_(True)
    save_refit(trained, path, body="bundled")
    model, _ = load_refit(path)
    assert_same_tensors(model.state_dict(), trained.state_dict())


def test_public_checkpoint_loads_without_its_body(public_checkpoint):
    path, tensors = public_checkpoint
    model, info = load_refit(path)
    assert (info.config, info.body) == (ReFitConfig(), "smpl")
    kept = {n: t for n, t in tensors.items() if not n.startswith(("smpl.", "backbone.downsamples."))}
    assert_same_tensors(model.state_dict(), kept)


def test_bare_state_dict_loads(small, tmp_path):
    torch.save(small.state_dict(), tmp_path / "bare.pth")
    assert load_refit(tmp_path / "bare.pth")[1].config == SMALL


def _refused(path) -> str:
    with pytest.raises(WeightsFileError) as caught:
        load_refit(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def test_missing_file_is_named(tmp_path):
    assert "no weights file" in _refused(tmp_path / "nothing.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"a letter to a friend\n" * 40, "not a weights file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(400), "not a weights file"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(400), "not a weights file"),
        (b"PK\x03\x04" + bytes(400), "damaged"),
        (b"\x80\x04\x95" + bytes(400), "more than tensors"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, suffix, content, reason):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert reason in _refused(path)


def test_random_bytes_are_refused(tmp_path):
    random = np.random.RandomState(0)
    path = tmp_path / "noise.pt"
    for start in (b"", b"\x80\x02", b"PK\x03\x04", b"\x40\0\0\0\0\0\0\0{"):
        for _ in range(20):
            path.write_bytes(start + random.bytes(200))
            _refused(path)


def test_smpl_bodies_are_recognised(tmp_path):
    body = fake_smpl()
    with (tmp_path / "SMPL_NEUTRAL.pkl").open("wb") as file:
        pickle.dump(body, file, protocol=2)
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", v_template=body["v_template"])
    assert "choose it as the body" in _refused(tmp_path / "SMPL_NEUTRAL.pkl")
    assert "choose it as the body" in _refused(tmp_path / "SMPL_NEUTRAL.npz")


def test_truncated_files_are_refused(public_checkpoint, small, tmp_path):
    path, _ = public_checkpoint
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:100_000])
    _refused(tmp_path / "cut.pt")
    save_refit(small, tmp_path / "whole.safetensors", body="smpl")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:100_000])
    assert "damaged" in _refused(tmp_path / "cut.safetensors")


class _Touch:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("as_zip", [True, False])
def test_code_in_a_checkpoint_never_runs(tmp_path, as_zip):
    path, trace = tmp_path / "evil.pt", tmp_path / "ran"
    torch.save({"model": _Touch(trace)}, path, _use_new_zipfile_serialization=as_zip)
    _refused(path)
    assert not trace.exists()


def test_other_networks_are_refused(tmp_path, small):
    path = tmp_path / "resnet.pt"
    torch.save({"fc.weight": torch.zeros(3, 4)}, path)
    assert "another network" in _refused(path)
    torch.save({"init_layer.weight": torch.tensor(1.0), "flow_layer.weight": torch.tensor(1.0)}, path)
    assert "another network" in _refused(path)
    torch.save({1: torch.zeros(3, 4)}, path)
    assert "not a ReFit checkpoint" in _refused(path)
    torch.save([1, 2], path)
    assert "not a ReFit checkpoint" in _refused(path)
    safetensors.torch.save_file({"fc.weight": torch.zeros(3, 4)}, tmp_path / "resnet.safetensors")
    assert "not of ReFit" in _refused(tmp_path / "resnet.safetensors")


def test_missing_and_reshaped_tensors_are_refused(tmp_path, small):
    state = small.state_dict()
    torch.save({"model": {n: t for n, t in state.items() if n != "local_layer.bias"}}, tmp_path / "less.pt")
    assert "does not hold the tensors" in _refused(tmp_path / "less.pt")
    torch.save({"model": state | {"local_layer.bias": torch.zeros(3)}}, tmp_path / "bent.pt")
    assert "does not hold the tensors" in _refused(tmp_path / "bent.pt")


def test_values_that_are_not_numbers_are_refused(tmp_path, small):
    state = small.state_dict() | {"local_layer.bias": torch.full((256,), torch.nan)}
    torch.save({"model": state}, tmp_path / "nan.pt")
    assert "not finite" in _refused(tmp_path / "nan.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"config": "{"},
        {"config": '{"backbone": "vgg"}'},
        {"config": '{"layers": 3}'},
        {"body": "giraffe"},
        {"version": "9"},
    ],
)
def test_metadata_of_an_unknown_network_is_refused(tmp_path, small, change):
    metadata = {"format": "refit-weights", "version": "1", "body": "smpl", "config": "{}"} | change
    path = tmp_path / "odd.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata)
    _refused(path)
