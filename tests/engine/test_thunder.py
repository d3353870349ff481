# SPDX-License-Identifier: GPL-3.0-or-later
"""Thunder: against recorded answers of the original (see record_references.py), and its weights on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from record_references import DATA, thunder_crop
from refit_engine.detect import WEIGHTS as PERSON_DETECTOR
from refit_engine.errors import WeightsFileError
from refit_engine.movenet import Conv, load_weights, stored_weights
from refit_engine.thunder import Thunder, ThunderKeypoints, ThunderMaps, decode
from safetensors.torch import save_file
from torch import nn


@pytest.fixture(scope="module")
def said() -> ThunderMaps:
    crop = torch.from_numpy(thunder_crop()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return ThunderKeypoints().network(crop)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(DATA / "movenet_thunder.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", ThunderMaps._fields)
def test_every_map_is_that_of_the_original(said, expected, name):
    ours, theirs = getattr(said, name)[0, :, ::8, ::8].numpy(), expected[name]
    # Weights of 8 bits, and the photo's own decoding may differ by one grey level between OpenCV's builds.
    assert np.abs(ours - theirs).mean() < 0.02 * theirs.std()


def test_joints_are_those_of_the_original(said, expected):
    joints = decode(said)[0].numpy()
    y, x, score = expected["joints"].T
    assert score.mean() > 0.5, "the recorded photo must show somebody"
    np.testing.assert_allclose(joints[:, :2], 256 * np.stack([x, y], -1), atol=2.0)
    np.testing.assert_allclose(joints[:, 2], score, atol=0.05)


def test_joints_are_decoded_as_in_the_original():
    """By hand: somebody in the middle whose joints all lie 8 cells further up, beside a stronger joint far off."""
    maps = [torch.zeros(1, channels, 64, 64) for channels in (24, 1, 17, 34, 34)]
    maps[1][0, 0, 30, 33], maps[1][0, 0, 2, 2] = 0.5, 0.9
    maps[2][0, :, 22, 33], maps[2][0, :, 60, 5] = 0.6, 0.9
    maps[3][0, 0::2, 30, 33] = -8.0
    maps[4][0, 0::2, 22, 33], maps[4][0, 1::2, 22, 33] = 0.25, -0.5
    joints = decode(ThunderMaps(*maps))
    torch.testing.assert_close(joints, torch.tensor([4 * 32.5, 4 * 22.25, 0.6]).expand(1, 17, 3))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = Conv(256, 256), Conv(8, 8)


def test_large_weights_are_stored_in_8_bits_and_the_rest_as_it_is(tmp_path):
    torch.manual_seed(0)
    network, again = Small(), Small()
    stored = stored_weights(network)
    assert stored["wide.weight"].dtype == torch.int8
    assert stored["narrow.weight"].dtype == torch.float16
    save_file(stored, tmp_path / "small.safetensors")
    load_weights(again, tmp_path / "small.safetensors", "a small network")
    largest = network.wide.weight.abs().amax((1, 2, 3), keepdim=True)
    assert ((again.wide.weight - network.wide.weight).abs() <= 0.51 / 127 * largest + 1e-6).all()
    torch.testing.assert_close(again.narrow.weight, network.narrow.weight, atol=1e-4, rtol=1e-3, check_stride=False)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsFileError, match="Thunder"):
        ThunderKeypoints(weights=PERSON_DETECTOR)


def test_missing_weights_are_one_sentence(tmp_path):
    with pytest.raises(WeightsFileError, match="missing"):
        load_weights(Thunder(), tmp_path / "missing.safetensors", "Thunder")
