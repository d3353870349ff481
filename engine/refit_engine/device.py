# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor the network runs on."""

from __future__ import annotations

import logging

import torch

from .contract import OPTIONS
from .errors import DeviceError

log = logging.getLogger(__name__)

DEVICE_NAMES = OPTIONS["device"].choices

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def available_devices() -> list[str]:
    """Names that `choose_device` accepts on this machine, best first; always ends with "cpu"."""
    found: list[str] = []
    if torch.cuda.is_available() and _cuda_works():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def _cuda_works() -> bool:
    """Old cards are found, but have no kernels in a new PyTorch: that shows with the first of them only."""
    try:
        torch.zeros(1, device="cuda").add_(1)
    except (RuntimeError, AssertionError) as error:
        log.warning("CUDA is there but cannot be used: %s", error)
        return False
    return True


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
    count = torch.get_num_threads()
    return f"CPU, {count} thread{'s' if count > 1 else ''}"


def exact(values: torch.Tensor) -> torch.Tensor:
    """The values in float64 on the processor, for small sums: not every graphics card has SVD, and Metal has no float64.

    Copied first and converted then, since Metal would convert before it copies.
    """
    return values.cpu().double()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure means that memory is full; Metal and the processor's allocator have no error class for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _OUT_OF_MEMORY)
