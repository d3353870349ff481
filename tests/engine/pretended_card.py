# SPDX-License-Identifier: GPL-3.0-or-later
"""A graphics card that is not there, to find without one what fails on one.

Its tensors lie in memory, but PyTorch takes them for tensors of another device: "meta", since no build needs a driver for
that. As on a real card, the processor's tensors do not mix with them and numpy cannot read them; as on Apple's, there
is no float64. Kernels that are missing or round differently on a real one do not show, nor what autocast does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CARD = torch.device("meta")
_BETWEEN_DEVICES = (
    "aten._to_copy.default",
    "aten.copy_.default",
    "aten.index.Tensor",
    "aten.index_put.default",
    "aten.index_put_.default",
)
"""Copies, and indices, which may be the processor's."""


class _OnCard(torch.Tensor):
    """Stands for `inner`, which is in memory."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> _OnCard:
        if inner.dtype == torch.float64:
            raise TypeError("Cannot convert a tensor to float64: this card does not support it.")
        layout = inner.shape, inner.stride(), inner.storage_offset()
        tensor = torch.Tensor._make_wrapper_subclass(cls, *layout, dtype=inner.dtype, device=CARD)
        tensor.inner = inner
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _compute(function, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> np.ndarray:
        raise TypeError("can't convert a tensor on a card to numpy; copy it to the processor first")

    def tolist(self) -> list:
        return self.inner.tolist()


def _compute(function, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What the function makes of the tensors behind those on the card, on the card again."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    on_card = [tensor for tensor in tensors if isinstance(tensor, _OnCard)]
    if any(tensor.device == CARD and not isinstance(tensor, _OnCard) for tensor in tensors):
        raise NotImplementedError(f"{function} got a tensor that the pretended card has not seen being made")
    if (
        on_card
        and str(function) not in _BETWEEN_DEVICES
        and any(t.dim() and not isinstance(t, _OnCard) for t in tensors)
    ):
        raise RuntimeError(f"{function}: Expected all tensors to be on the same device")
    goes_to_card = bool(on_card)
    if kwargs.get("device") is not None:
        goes_to_card = torch.device(kwargs["device"]) == CARD
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif str(function) == "aten.copy_.default":
        goes_to_card = isinstance(args[0], _OnCard)
    args, kwargs = tree_map(lambda leaf: leaf.inner if isinstance(leaf, _OnCard) else leaf, (args, kwargs))
    known = {id(tensor.inner): tensor for tensor in on_card}
    results = function(*args, **kwargs)
    if on_card and any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(results)):
        raise TypeError(f"{function}: the card converts what is copied from it, and it has no float64")

    def put(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or not goes_to_card:
            return leaf
        return known[id(leaf)] if id(leaf) in known else _OnCard(leaf)

    return tree_map(put, results)


class _Dispatch(TorchDispatchMode):
    """Also takes those functions that have no tensor among their arguments."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _compute(function, args, kwargs or {})


class _Constants(TorchFunctionMode):
    """PyTorch copies lists and arrays to "meta" unseen, and forgets their values on the way."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            tensor, index, *rest = args
            args = (tensor, tuple(map(_as_index, index)) if isinstance(index, tuple) else _as_index(index), *rest)
        return function(*args, **kwargs)


def _as_index(index: Any) -> Any:
    return torch.as_tensor(index) if isinstance(index, list | tuple | np.ndarray) else index


@contextmanager
def pretended_card(monkeypatch) -> Iterator[torch.device]:
    """The card; tensors stay on it after the end."""
    autocast = torch.autocast
    with monkeypatch.context() as patch:
        # Neither of the two knows tensors of this kind.
        patch.setattr(torch, "inference_mode", torch.no_grad)
        patch.setattr(
            torch,
            "autocast",
            lambda kind, *args, **kwargs: autocast("cpu" if kind == CARD.type else kind, *args, **kwargs),
        )
        with _Dispatch(), _Constants():
            yield CARD
