# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing a processor: what is there, what works, what the user asked for."""

import pytest
import torch
from refit_engine import device
from refit_engine.errors import DeviceError


@pytest.fixture
def has(monkeypatch):
    """Pretend that the machine has these devices."""

    def pretend(cuda: bool = False, mps: bool = False, works: bool = True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        if works:
            monkeypatch.setattr(device, "_cuda_works", lambda: True)

    return pretend


def test_best_device_is_taken_by_itself(has):
    has()
    assert device.choose_device().type == "cpu"
    has(mps=True)
    assert device.choose_device().type == "mps"
    has(cuda=True)
    assert device.choose_device().type == "cuda" and device.available_devices() == ["cuda", "cpu"]


def test_user_can_choose_the_processor_all_the_same(has):
    has(cuda=True)
    assert device.choose_device("cpu").type == "cpu"


def test_missing_device_is_an_error_that_says_what_to_do(has):
    has()
    with pytest.raises(DeviceError, match="no mps device.*auto or cpu"):
        device.choose_device("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would work")
def test_card_that_is_found_but_cannot_compute_is_not_offered(has):
    has(cuda=True, works=False)
    assert device.available_devices() == ["cpu"]


@pytest.mark.parametrize(
    "error, full",
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 900 bytes."), True),
        (RuntimeError("shape mismatch"), False),
    ],
    ids=["cuda", "mps", "python", "cpu", "other"],
)
def test_lack_of_memory_is_told_from_other_failures(error, full):
    assert device.is_out_of_memory(error) is full
