# SPDX-License-Identifier: GPL-3.0-or-later
"""On a graphics card everything comes out as on the processor. It is a pretended card: what it cannot show says `pretended_card`."""

from dataclasses import fields

import cv2
import numpy as np
import pytest
import torch
from engine_doubles import SAMPLES, sample_views
from parity_rules import fake_smpl
from pretended_card import pretended_card
from refit_engine.fitting import FitOptions, Fitter, ImageRequest, Models, ViewFitter
from refit_engine.fitting.job import MAX_BATCH
from refit_engine.fitting.motion import MotionFitter, MotionRequest, VideoRequest
from refit_engine.network import ReFit, ReFitConfig
from refit_engine.network.checkpoint import save_refit


@pytest.fixture
def card(monkeypatch):
    with pretended_card(monkeypatch) as device:
        yield device


def test_pretended_card_is_as_strict_as_real_ones(card):
    here, there = torch.ones(3), torch.tensor([1.0, 2.0, 3.0], device=card)
    assert there.device == card and (there + 1).tolist() == [2, 3, 4] and there[[2, 0]].cpu().numpy().tolist() == [3, 1]
    there[1:] *= here.to(card)[1:] * 2
    assert there.cpu().tolist() == [1, 4, 6]
    for wrong in (
        lambda: there + here,
        lambda: here + there,
        lambda: torch.cat([here, there]),
        lambda: here.index_select(0, there.int()),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            wrong()
    for wrong in (
        there.numpy,
        there.double,
        lambda: there.to("cpu", torch.float64),
        lambda: torch.zeros(1, dtype=torch.float64, device=card),
    ):
        with pytest.raises(TypeError):
            wrong()


def assert_same_on_card(monkeypatch, kind, options, request, method="reconstruct", near=2e-3):
    """Whether a fitter of some kind gives the same result on both: `near`, or relative half as near."""

    def result(device):
        fitter = kind(Models(), options, "cpu")
        fitter.device = device
        return getattr(fitter, method)(request)[0]

    expected = result(torch.device("cpu"))
    with pretended_card(monkeypatch) as card:
        monkeypatch.setitem(MAX_BATCH, card.type, 2)
        found = result(card)
    for name in (field.name for field in fields(expected)):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if np.asarray(theirs).dtype.kind == "f":
            # Spreads of rotations that are the same but for rounding are roots of rounding, in degrees.
            tolerance = 0.05 if name == "joint_std_deg" else near
            np.testing.assert_allclose(ours, theirs, rtol=near / 2, atol=tolerance, err_msg=name)
        else:
            assert np.array_equal(ours, theirs), name


@pytest.fixture(params=["bundled", "known shape", "SMPL", "published"])
def options(request, tmp_path):
    """What people fit with. The network of the published kind is untrained."""
    smpl, weights = tmp_path / "SMPL_NEUTRAL.npz", tmp_path / "published.safetensors"
    if request.param == "known shape":
        return FitOptions(betas=np.full(10, 0.5))
    if request.param == "bundled":
        return FitOptions()
    np.savez(smpl, **fake_smpl())
    if request.param == "SMPL":
        return FitOptions(body=smpl)
    torch.manual_seed(0)
    save_refit(ReFit(ReFitConfig(backbone="hrnet_w32")), weights, body="smpl")
    return FitOptions(body=smpl, weights=weights)


def test_photo(monkeypatch, options):
    assert_same_on_card(monkeypatch, Fitter, options, ImageRequest(SAMPLES / "balance.jpg"))


def test_calibrated_photos(monkeypatch):
    assert_same_on_card(monkeypatch, ViewFitter, FitOptions(people="largest"), sample_views()[:2])


def test_video(monkeypatch, tmp_path):
    picture = cv2.resize(cv2.imread(str(SAMPLES / "balance.jpg")), (540, 960), interpolation=cv2.INTER_AREA)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.roll(picture, 6 * number, axis=1))
    request = MotionRequest((VideoRequest(tmp_path, rate=25.0, focal=800.0),))
    assert_same_on_card(monkeypatch, MotionFitter, FitOptions(people="largest"), request, "track", near=0.01)
