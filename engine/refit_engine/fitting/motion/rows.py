# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays of one shape that come one by one and are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

BLOCK = 256
"""Arrays that are kept together. Small ones for themselves, between large ones that come and go, would hold free memory."""


class Rows:
    """Arrays [*shape], float32, in the order in which they were added; `np.array` makes one [N,*shape] of them."""

    def __init__(self, *shape: int) -> None:
        self._shape = shape
        self._blocks: list[np.ndarray] = []
        self._count = 0

    def append(self, row: np.ndarray) -> None:
        """Add a copy."""
        place = self._count % BLOCK
        if place == 0:
            self._blocks.append(np.empty((BLOCK, *self._shape), np.float32))
        self._blocks[-1][place] = row
        self._count += 1

    def extend(self, rows: Iterable[np.ndarray]) -> None:
        """Add copies."""
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> np.ndarray:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._blocks[number // BLOCK][number % BLOCK]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(self._count))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        blocks = [np.empty((0, *self._shape), np.float32), *self._blocks]
        return np.concatenate(blocks)[: self._count].astype(dtype or np.float32)
