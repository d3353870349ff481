# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays of one of the engine's files, taken out with their kinds, shapes and ranges checked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from .errors import ResultFileError
from .npz import NpzError, read_npz

MAX_TEXT = 4096
FAR = 1e9
"""Metres or pixels from the origin: no scene is larger, and squares of it are still numbers."""


class CheckedArrays:
    """Each method raises a ResultFileError that names the file and what is wrong in it."""

    def __init__(self, path: Path, names: Collection[str] | None = None) -> None:
        self._file = path.name
        try:
            self._arrays = read_npz(path, names)
        except NpzError as error:
            raise ResultFileError(f"{path.name} cannot be read: {error}.") from error
        except MemoryError as error:
            raise ResultFileError(f"There is not enough memory to read {path.name}.") from error

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def numbers(self, name: str, *shape: int | None, limit: float | None = FAR) -> np.ndarray:
        """An array of the shape, float64; None in it stands for any length. Its numbers are finite, up to ±limit.

        limit: None where numbers may be missing (NaN).
        """
        array = self._array(name, "fiu", shape).astype(np.float64)
        if limit is not None and not (np.abs(array) <= limit).all():
            raise self.damaged(name, "holds values that are no sensible numbers")
        return array

    def integers(self, name: str, *shape: int | None, low: int, high: int) -> np.ndarray:
        """An array of the shape, int64, of values from `low` to `high`."""
        array = self._array(name, "iu", shape)
        if array.size and not (array.min() >= low and array.max() <= high):
            raise self.damaged(name, f"holds values that are not from {low} to {high}")
        return array.astype(np.int64)

    def flags(self, name: str, *shape: int | None) -> np.ndarray:
        return self._array(name, "b", shape)

    def texts(self, name: str, *shape: int | None) -> np.ndarray:
        """An array of the shape, of strings that fit a property of Blender's."""
        array = self._array(name, "U", shape)
        try:
            strings = [str(text) for text in array.ravel()]
        except ValueError:  # no characters
            strings = ["\0"]
        if any("\0" in text or len(text) > MAX_TEXT for text in strings):
            raise self.damaged(name, "holds no proper text")
        return array

    def text(self, name: str) -> str:
        return str(self.texts(name)[()])

    def number(self, name: str, limit: float = FAR) -> float:
        return float(self.numbers(name, limit=limit))

    def integer(self, name: str, low: int, high: int) -> int:
        return int(self.integers(name, low=low, high=high))

    def flag(self, name: str) -> bool:
        return bool(self.flags(name))

    def rotations(self, name: str, *shape: int | None) -> np.ndarray:
        """Rotation matrices [*shape,3,3]."""
        matrices = self.numbers(name, *shape, 3, 3, limit=2.0)
        if not are_rotations(matrices):
            raise self.damaged(name, "holds matrices that are no rotations")
        return matrices

    def cameras(self, name: str, *shape: int | None) -> np.ndarray:
        """Camera matrices [*shape,3,3] in pixels."""
        matrices = self.numbers(name, *shape, 3, 3)
        if not (matrices[..., (0, 1), (0, 1)] > 1e-3).all():
            raise self.damaged(name, "holds a camera without a focal length")
        return matrices

    def damaged(self, name: str, what: str) -> ResultFileError:
        return ResultFileError(f"{self._file} is damaged: {name} {what}.")

    def _array(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
        array = self._arrays.get(name)
        if array is None:
            raise self.damaged(name, "is missing")
        if array.dtype.kind not in kinds:
            raise self.damaged(name, "holds the wrong kind of values")
        fits = len(shape) == array.ndim
        if not fits or any(side not in (None, found) for side, found in zip(shape, array.shape, strict=True)):
            raise self.damaged(name, f"has the shape {array.shape}")
        return array


def are_rotations(matrices: np.ndarray) -> bool:
    """Whether all matrices [...,3,3] are rotations, but for rounding."""
    products = matrices @ np.swapaxes(matrices, -1, -2)
    return bool((np.abs(products - np.eye(3)) < 0.01).all() and (np.linalg.det(matrices) > 0).all())
