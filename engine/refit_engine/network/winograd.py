# SPDX-License-Identifier: GPL-3.0-or-later
"""3×3 convolution with a quarter of the multiplications, for wide layers on processors.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sec. 4.3: F(4×4, 3×3). Each
4×4 tile of the output is computed from a 6×6 tile of the input as 36 products in a transformed space, where
all tiles and channels together are 36 matrix products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 4
# The transformed space is 2.25 times as large as the maps: more of it at once falls out of the cache.
_CHANNELS_AT_ONCE = 256
# fmt: off
_INPUT: list[list[float]] = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
          [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_FILTER: list[list[float]] = [[1/4, 0, 0], [-1/6, -1/6, -1/6], [-1/6, 1/6, -1/6],
           [1/24, 1/12, 1/6], [1/24, -1/12, 1/6], [0, 0, 1]]
_OUTPUT: list[list[float]] = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
# fmt: on


class WinogradConv2d(nn.Module):
    """Stands in for a 3×3 `Conv2d` of stride and padding 1, on maps whose sides are multiples of 4.

    Differs from it by about 1e-5 of the largest value.
    """

    to_products: Tensor
    from_products: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.bias = conv.bias
        filters = _both_axes(_FILTER) @ conv.weight.detach().double().flatten(2)[..., None]
        filters = filters[..., 0].permute(2, 0, 1).to(conv.weight.dtype)
        self.filters = nn.ParameterList(part.contiguous() for part in torch.split(filters, _CHANNELS_AT_ONCE, dim=2))
        self.filters.requires_grad_(False)
        self.register_buffer("to_products", _both_axes(_INPUT).float().view(36, 1, 6, 6))
        self.register_buffer("from_products", _both_axes(_OUTPUT).float())

    def forward(self, maps: Tensor) -> Tensor:
        """[B,C,H,W] to [B,O,H,W]."""
        batch, _, height, width = maps.shape
        rows, columns = height // TILE, width // TILE
        result = maps.new_empty(batch, self.filters[0].shape[1], rows, TILE, columns, TILE)
        for image, target in zip(maps, result, strict=True):
            pixels = self.from_products @ self._products(image).flatten(1)
            target.copy_(pixels.view(TILE, TILE, -1, rows, columns).permute(2, 3, 0, 4, 1))
        result = result.view(batch, -1, height, width)
        return result if self.bias is None else result.add_(self.bias[:, None, None])

    def _products(self, image: Tensor) -> Tensor:
        """[C,H,W] to the output's tiles in the transformed space, [36,O,H·W/16]."""
        first, *others = zip(self.filters, torch.split(image, _CHANNELS_AT_ONCE), strict=True)
        filters, channels = first
        total = torch.bmm(filters, self._tiles(channels))
        for filters, channels in others:
            total = total.baddbmm_(filters, self._tiles(channels))
        return total

    def _tiles(self, channels: Tensor) -> Tensor:
        """[C,H,W] to the input's tiles in the transformed space, [36,C,H·W/16]."""
        tiles = F.conv2d(channels[:, None], self.to_products, stride=TILE, padding=1)
        return tiles.flatten(2).transpose(0, 1)


def _both_axes(matrix: list[list[float]]) -> Tensor:
    """A transform of rows and columns at once, of flattened tiles."""
    one_axis = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one_axis, one_axis)
