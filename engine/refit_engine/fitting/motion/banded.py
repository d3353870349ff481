# SPDX-License-Identifier: GPL-3.0-or-later
"""Least squares over time, linear in the number of frames.

The unknowns of a frame meet those of its two neighbours on either side only. Two frames together make a block, so that
blocks meet the next block alone, and the normal equations are solved by elimination from the first block to the last and
back (the filter and smoother of Rauch, Tung and Striebel, 1965). The same factors give each frame's part of the inverse,
its covariance.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor


class Banded(NamedTuple):
    """A symmetric positive matrix over F frames of U unknowns."""

    diagonal: Tensor
    """[F,U,U]."""
    next: Tensor
    """[F-1,U,U] rows of frame t + 1, columns of frame t."""
    second: Tensor
    """[F-2,U] diagonals of the blocks with rows of frame t + 2, columns of frame t."""


class Factors(NamedTuple):
    """Factors of a matrix in B blocks of two frames."""

    cholesky: Tensor
    """[B,2U,2U] lower factors of the blocks that elimination leaves."""
    across: Tensor
    """[B-1,2U,2U] the factor's block in the columns of each and the rows of the next one, transposed."""
    frames: int


def factor(matrix: Banded) -> Factors:
    """Eliminate forwards."""
    blocks, below = _in_pairs(matrix)
    cholesky, across = torch.empty_like(blocks), torch.empty_like(below)
    left = blocks[0]
    for number in range(len(blocks)):
        cholesky[number] = torch.linalg.cholesky(left)
        if number < len(below):
            torch.linalg.solve_triangular(cholesky[number], below[number].mT, upper=False, out=across[number])
            left = torch.addmm(blocks[number + 1], across[number].mT, across[number], alpha=-1)
    return Factors(cholesky, across, len(matrix.diagonal))


def solve(factors: Factors, right: Tensor) -> Tensor:
    """x [F,U] of A x = right [F,U]."""
    cholesky, across, frames = factors
    size = right.shape[1]
    x = torch.nn.functional.pad(right, (0, 0, 0, frames % 2)).reshape(len(cholesky), 2 * size, 1).clone()
    for number in range(len(cholesky)):
        if number:
            x[number] -= across[number - 1].mT @ x[number - 1]
        x[number] = torch.linalg.solve_triangular(cholesky[number], x[number], upper=False)
    for number in range(len(cholesky) - 1, -1, -1):
        if number < len(across):
            x[number] -= across[number] @ x[number + 1]
        x[number] = torch.linalg.solve_triangular(cholesky[number].mT, x[number], upper=True)
    return x.reshape(-1, size)[:frames]


def covariances(factors: Factors) -> Tensor:
    """The diagonal blocks [F,U,U] of the inverse."""
    cholesky, across, frames = factors
    own = torch.cholesky_inverse(cholesky)
    # PyTorch says no type.
    back = cast("Tensor", torch.linalg.solve_triangular(cholesky[:-1].mT, across, upper=True))
    for number in range(len(back) - 1, -1, -1):
        own[number] += back[number] @ own[number + 1] @ back[number].mT
    size = own.shape[1] // 2
    return torch.stack([own[:, :size, :size], own[:, size:, size:]], dim=1).flatten(0, 1)[:frames]


def _in_pairs(matrix: Banded) -> tuple[Tensor, Tensor]:
    """Diagonal blocks [B,2U,2U] of pairs of frames, and the blocks below them [B-1,2U,2U]; an odd last frame gets a dummy."""
    frames, size = matrix.diagonal.shape[:2]
    diagonal, after, second = matrix
    count = (frames + 1) // 2
    blocks = diagonal.new_zeros(count, 2 * size, 2 * size)
    blocks[:, :size, :size] = diagonal[::2]
    blocks[: frames // 2, size:, size:] = diagonal[1::2]
    if frames % 2:
        blocks[-1, size:, size:] = torch.eye(size, dtype=diagonal.dtype)
    inside = after[::2]
    blocks[: len(inside), size:, :size] = inside
    blocks[: len(inside), :size, size:] = inside.mT
    below = diagonal.new_zeros(count - 1, 2 * size, 2 * size)
    below[:, :size, size:] = after[1::2]
    below[:, :size, :size] = torch.diag_embed(second[::2])
    odd = second[1::2]
    below[: len(odd), size:, size:] = torch.diag_embed(odd)
    return blocks, below
