# SPDX-License-Identifier: GPL-3.0-or-later
"""The converted pose network against recorded answers of the original (see record_references.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from record_references import DATA, feature_samples, sample_square
from refit_engine.detect import WEIGHTS as PERSON_DETECTOR
from refit_engine.errors import WeightsFileError
from refit_engine.network.backbones import BACKBONES
from refit_engine.network.backbones.blazepose import LANDMARKS, load_blazepose, relu6_


@pytest.fixture(scope="module")
def network():
    return load_blazepose()


def photo_batch(count: int = 1) -> torch.Tensor:
    crop = torch.from_numpy(sample_square(256)).permute(2, 0, 1)[None].float() / 255
    return crop.expand(count, -1, -1, -1)


def test_every_output_is_that_of_the_original(network):
    expected = np.load(DATA / "blazepose_heavy.npz")
    with torch.inference_mode():
        said = network.observe(photo_batch())
    assert expected["presence"] > 0.9, "the recorded photo must show somebody"
    # The photo's own decoding may differ by one grey level between OpenCV's builds.
    landmarks = said.landmarks[0].numpy()
    np.testing.assert_allclose(landmarks[:, :3], expected["landmarks"][:, :3], atol=0.3)
    np.testing.assert_allclose(landmarks[:, 3:], expected["landmarks"][:, 3:], atol=0.01)
    np.testing.assert_allclose(said.refined[0].numpy(), expected["refined"], atol=0.3)
    np.testing.assert_allclose(said.world[0].numpy(), expected["world"], atol=3e-3)
    np.testing.assert_allclose(said.presence[0].numpy(), expected["presence"], atol=0.01)
    np.testing.assert_allclose(said.vector[0, ::16].numpy(), expected["vector"], atol=0.03)
    np.testing.assert_allclose(feature_samples(said.features[0].numpy()), expected["features"], atol=0.1)


def test_backbone_output_has_the_promised_layout(network):
    with torch.inference_mode():
        output, seen = network(photo_batch(2)), network.observe(photo_batch(2))
    assert output.features.shape == (2, network.channels, 64, 64)
    assert output.vector.shape == (2, network.vector_size)
    landmarks = seen.landmarks[:, :LANDMARKS]
    torch.testing.assert_close(output.landmarks[..., :2], seen.refined[:, :LANDMARKS])
    torch.testing.assert_close(output.landmarks[..., 2], landmarks[..., 3])
    start = seen.vector.shape[1]
    per_landmark = output.vector[:, start : start + 5 * LANDMARKS].view(2, LANDMARKS, 5)
    torch.testing.assert_close(per_landmark[..., :2] * 128 + 128, landmarks[..., :2])
    torch.testing.assert_close(per_landmark[..., 2] * 128, landmarks[..., 2])
    torch.testing.assert_close(per_landmark[..., 3:], landmarks[..., 3:])
    torch.testing.assert_close(output.vector[:, -1], seen.presence)


def test_local_features_are_the_deep_maps_at_the_landmarks(network):
    with torch.inference_mode():
        crop = photo_batch()
        seen = network.observe(crop)
        maps, deepest, _ = network.encoder(crop)
    assert seen.local.shape == (1, LANDMARKS, network.local_size)
    start = 0
    for deep in (maps[-1], deepest):
        channels, size = deep.shape[1:3]
        for landmark in range(LANDMARKS):
            # By hand: the four cells around the place, whose centres lie at half cells.
            x, y = (seen.landmarks[0, landmark, :2] * size / 256 - 0.5).clamp(0, size - 1).tolist()
            left, top = min(int(x), size - 2), min(int(y), size - 2)
            a, b = x - left, y - top
            cells = deep[0, :, top : top + 2, left : left + 2]
            row = cells[:, 0] * (1 - b) + cells[:, 1] * b
            expected = row[:, 0] * (1 - a) + row[:, 1] * a
            torch.testing.assert_close(
                seen.local[0, landmark, start : start + channels], expected, atol=1e-4, rtol=1e-3
            )
        start += channels
    assert start == network.local_size


def test_a_crop_does_not_depend_on_the_rest_of_its_batch(network):
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = network(photo_batch()).vector
        together = network(torch.cat([noise, photo_batch()])).vector[1:]
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


def test_bfloat16_stays_close(network):
    with torch.inference_mode():
        exact = network.observe(photo_batch())
        with torch.autocast("cpu", torch.bfloat16):
            rough = network.observe(photo_batch())
    assert rough.landmarks.dtype == torch.float32
    assert (rough.landmarks[:, :LANDMARKS, :2] - exact.landmarks[:, :LANDMARKS, :2]).abs().mean() < 6
    assert (rough.features - exact.features).abs().mean() < 0.06 * exact.features.abs().mean()


def test_relu6_in_bfloat16_is_exact():
    x = torch.cat([torch.linspace(-9, 9, 1001), torch.tensor([-0.0, 0.0, 6.0, 6.03125, 1e30, -1e30, 1e-30])])
    x = x.bfloat16()
    torch.testing.assert_close(relu6_(x.clone()), x.float().clamp(0, 6).bfloat16(), atol=0, rtol=0)


def test_nothing_of_the_backbone_is_trained():
    assert not any(parameter.requires_grad for parameter in BACKBONES["blazepose_heavy"]().parameters())


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsFileError, match="heavy"):
        load_blazepose(path=PERSON_DETECTOR)


def test_missing_weights_are_one_sentence(tmp_path):
    with pytest.raises(WeightsFileError, match="missing"):
        load_blazepose(path=tmp_path / "missing.safetensors")
