# SPDX-License-Identifier: GPL-3.0-or-later
"""`lookup` for training: the same windows, with a gradient that does not fill a map in every iteration.

Autograd would make a map full of zeros for the few values that each iteration reads, and add it to the last one. Here
all iterations of a step add to one buffer, which goes through the map head once, at the end.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SparseLookup:
    """Stands in for `lookup` in a network that is being trained. Use: `begin`, forward, backward, `finish`."""

    def __init__(self) -> None:
        self._maps: Tensor | None = None
        self._gradient: Tensor | None = None

    def begin(self, maps: Tensor) -> Tensor:
        """Maps [B,K,N,N], channels last, of any type: the ones to look up in."""
        self._maps = maps
        self._gradient = torch.zeros(maps.shape[0], maps[0].numel(), device=maps.device) if maps.requires_grad else None
        return maps.detach()

    def finish(self) -> None:
        """After the backward pass: on to whatever made the maps."""
        maps, gradient = self._maps, self._gradient
        if maps is not None and gradient is not None:
            batch, count, size, _ = maps.shape
            maps.backward(gradient.view(batch, size, size, count).permute(0, 3, 1, 2).to(maps.dtype))
        self._maps = self._gradient = None

    def __call__(self, maps: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
        return _Windows.apply(_touch(points), maps, offsets.shape[0], self._gradient)


def _touch(points: Tensor) -> Tensor:
    """Autograd skips functions none of whose inputs need a gradient."""
    return points.detach().requires_grad_()


class _Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, maps: Tensor, side: int, buffer: Tensor | None) -> Tensor:
        batch, count, size, _ = maps.shape
        points = points.clamp(-size, 2 * size)
        first = points.floor()
        share = points - first
        # A window between pixels mixes a patch that is one pixel larger, everywhere in the same proportion.
        steps = torch.arange(side + 1, device=maps.device) - side // 2
        x, y = (first[..., axis, None].long() + steps for axis in (0, 1))
        inside = ((x >= 0) & (x < size))[..., :, None] & ((y >= 0) & (y < size))[..., None, :]
        pixel = y.clamp(0, size - 1)[..., None, :] * size + x.clamp(0, size - 1)[..., :, None]
        index = (pixel * count + torch.arange(count, device=maps.device)[:, None, None]).flatten(1)
        flat = maps.permute(0, 2, 3, 1).reshape(batch, -1)
        patch = flat.gather(1, index).float().view(inside.shape) * inside
        ctx.save_for_backward(share, inside, index)
        ctx.buffer = buffer
        right, down = share[..., 0, None, None], share[..., 1, None, None]
        patch = patch[..., :-1, :] * (1 - right) + patch[..., 1:, :] * right
        patch = patch[..., :-1] * (1 - down) + patch[..., 1:] * down
        return patch.flatten(2)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[None, ...]:
        (gradient,) = grad_outputs
        if ctx.buffer is not None:
            share, inside, index = ctx.saved_tensors
            right, down = share[..., 0, None, None], share[..., 1, None, None]
            side = inside.shape[-1] - 1
            gradient = gradient.unflatten(2, (side, side))
            patch = gradient.new_zeros(inside.shape)
            for x, across in ((0, 1 - right), (1, right)):
                for y, along in ((0, 1 - down), (1, down)):
                    patch[..., x : x + side, y : y + side] += gradient * (across * along)
            ctx.buffer.scatter_add_(1, index, (patch * inside).flatten(1))
        return None, None, None, None
