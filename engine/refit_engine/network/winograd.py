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
# fmt: off
_INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
          [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_FILTER = [[1/4, 0, 0], [-1/6, -1/6, -1/6], [-1/6, 1/6, -1/6],
           [1/24, 1/12, 1/6], [1/24, -1/12, 1/6], [0, 0, 1]]
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
# fmt: on


class WinogradConv2d(nn.Module):
    """Stands in for a 3×3 `Conv2d` of stride and padding 1, on maps whose sides are multiples of 4.

    Differs from it by about 1e-5 of the largest value.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.bias = conv.bias
        to_products = _both_axes(_INPUT).view(36, 1, 6, 6)
        filters = _both_axes(_FILTER) @ conv.weight.detach().double().flatten(2)[..., None]
        self.register_buffer("to_products", to_products.float())
        self.register_buffer("from_products", _both_axes(_OUTPUT).float())
        self.register_buffer("filters", filters[..., 0].permute(2, 0, 1).to(conv.weight.dtype).contiguous())

    def forward(self, maps: Tensor) -> Tensor:
        """[B,C,H,W] to [B,O,H,W]."""
        # Image by image: a wide map takes tens of megabytes in the transformed space.
        result = torch.stack([self._one(image) for image in maps])
        return result if self.bias is None else result.add_(self.bias[:, None, None])

    def _one(self, image: Tensor) -> Tensor:
        tiles = F.conv2d(image[:, None], self.to_products, stride=TILE, padding=1)
        channels, _, rows, columns = tiles.shape
        products = torch.bmm(self.filters, tiles.flatten(2).transpose(0, 1))
        pixels = (self.from_products @ products.flatten(1)).view(TILE, TILE, -1, rows, columns)
        return pixels.permute(2, 3, 0, 4, 1).reshape(-1, TILE * rows, TILE * columns)


def _both_axes(matrix: list[list[float]]) -> Tensor:
    """A transform of rows and columns at once, of flattened tiles."""
    one_axis = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one_axis, one_axis)
