# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of samples that are too many for memory: shards of one large array and its labels each.

A shard is NAME.npy (the array, read where it lies) and NAME.npz (the labels, kept in memory). The labels are written
last and in one move, so a shard that has them is whole: writers can be stopped, repeated and run side by side, and
readers take in new shards as they are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refit_training.train.views import Views

SHARD = 256
Place = tuple[int, int]
"""Shard and row of a sample."""


class Shards:
    """The samples of a folder, with the views that are true of them.

    device: where batches of them go, as they are stored; what is made of them there costs the processor nothing.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.folder, self.device = folder, torch.device(device)
        self._shards: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
        self.names: list[str] = []
        self.refresh()

    def __len__(self) -> int:
        return SHARD * len(self._shards)

    def refresh(self) -> None:
        """Take in the shards written since the last look."""
        for path in sorted(self.folder.glob("*.npz")):
            if path.stem not in self.names:
                with np.load(path) as arrays:
                    labels = self.prepared(dict(arrays))
                self._shards.append((np.load(path.with_suffix(".npy"), mmap_mode="r"), labels))
                self.names.append(path.stem)

    def prepared(self, labels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is kept in memory of a shard's labels."""
        return labels

    def random_places(self, rng: np.random.Generator, size: int, among: np.ndarray | None = None) -> list[Place]:
        """Places drawn from all samples, or from those numbered in `among`."""
        numbers = rng.integers(len(self), size=size) if among is None else rng.choice(among, size)
        return [divmod(int(number), SHARD) for number in numbers]

    def places(self, start: int = 0, stop: int | None = None) -> list[Place]:
        """Of every sample, in order, or of those numbered from `start` up to `stop`."""
        return [divmod(number, SHARD) for number in range(start, len(self) if stop is None else stop)]

    def by_shard(self) -> Iterator[tuple[str, list[Place]]]:
        """Every shard's name and places."""
        for index, name in enumerate(self.names):
            yield name, self.places(index * SHARD, (index + 1) * SHARD)

    def array(self, places: list[Place]) -> Tensor:
        return torch.from_numpy(np.stack([self._shards[shard][0][row] for shard, row in places])).to(self.device)

    def label(self, name: str, places: list[Place]) -> Tensor:
        rows = np.stack([self._shards[shard][1][name][row] for shard, row in places])
        return torch.from_numpy(rows).to(self.device).float()

    def views(self, places: list[Place]) -> Views:
        return Views(**{field.name: self.label(field.name, places) for field in fields(Views)})


def write_shard(folder: Path, name: str, array: np.ndarray, views: Views, **labels: Any) -> None:
    """One shard of `SHARD` samples."""
    np.save(folder / f"{name}.npy", array)
    with open(folder / f"{name}.part", "wb") as file:
        # Any, since NumPy's stub takes each name for that of an option, too.
        np.savez(file, **{field.name: getattr(views, field.name).numpy() for field in fields(Views)}, **labels)
    os.replace(folder / f"{name}.part", folder / f"{name}.npz")
