# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor the network runs on."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from .errors import DeviceError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DEVICE_NAMES: tuple[str, ...] = get_args(DeviceName)


def available_devices() -> list[str]:
    """Names that `choose_device` accepts on this machine, best first; always ends with "cpu"."""
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name, or the best one for "auto". Raises DeviceError where it is missing."""
    if name not in DEVICE_NAMES:
        raise DeviceError(f"There is no device called {name!r}; choose one of {', '.join(DEVICE_NAMES)}.")
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    if name not in devices:
        raise DeviceError(f"This machine has no {name} device that PyTorch can use; choose auto or cpu.")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """The device's name for the user, e.g. that of the graphics card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (Metal)"
    return f"CPU, {torch.get_num_threads()} threads"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure means that the device's memory is full (Metal has no error class of its own)."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
    )
