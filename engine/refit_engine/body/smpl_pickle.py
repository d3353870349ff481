# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads SMPL's official pickles without running anything that is in them.

They were written by Python 2 and hold numpy arrays, scipy sparse matrices and chumpy arrays.
A pickle can name any function to call. Here every name leads to a stand-in of this module that
only keeps what it is given; arrays are built afterwards, from checked pieces.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import sparse

from ..errors import BodyFileError


class _StandIn:
    """Keeps the arguments and the state that a pickle gives an object of some class."""

    state: object = None
    arguments: tuple[object, ...] = ()

    def __new__(cls, *arguments: object) -> _StandIn:
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Chumpy(_StandIn):
    """Any chumpy object; the plain array keeps its numbers in ``x``."""


class _SparseColumns(_StandIn):
    """scipy's csc_matrix."""


class _Dtype(_StandIn):
    """numpy.dtype: the code is its first argument, the byte order comes second in its state."""


class _Array(_StandIn):
    """numpy.ndarray; its state is version, shape, dtype, column-major, bytes."""


class _FromBuffer(_StandIn):
    """An array as pickle protocol 5 writes it: bytes, dtype, shape, order."""


class _Scalar(_StandIn):
    """A numpy scalar, of which a body needs none."""


class _Bytes(_StandIn):
    """Bytes as Python 3 writes them in the protocols of Python 2: text, encoding."""


class _Reconstructed(_StandIn):
    """What protocols 0 and 1 write for an object of a class: the class comes first."""

    def __new__(cls, *arguments: object) -> _StandIn:
        kind = arguments[0] if arguments else None
        if not (isinstance(kind, type) and issubclass(kind, _StandIn)):
            raise pickle.UnpicklingError("it makes objects of unknown classes")
        return kind()


_KNOWN: dict[tuple[str, str], type[_StandIn]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("scipy.sparse.csc", "csc_matrix"): _SparseColumns,
    ("scipy.sparse._csc", "csc_matrix"): _SparseColumns,
    ("_codecs", "encode"): _Bytes,
    ("copy_reg", "_reconstructor"): _Reconstructed,
    ("copyreg", "_reconstructor"): _Reconstructed,
    ("__builtin__", "object"): _StandIn,
    ("builtins", "object"): _StandIn,
    # numpy 1 and numpy 2
    **{
        (f"numpy.{core}.{module}", name): kind
        for core in ("core", "_core")
        for module, name, kind in (
            ("multiarray", "_reconstruct", _Reconstructed),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _FromBuffer),
        )
    },
}


class _SmplUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> type[_StandIn]:
        kind = _Chumpy if module.split(".")[0] == "chumpy" else _KNOWN.get((module, name))
        if kind is None:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        # A pickle may write to a class that it names: it gets its own, which dies with it.
        return type(kind.__name__, (kind,), {})


def read_smpl_pickle(path: Path) -> dict[str, np.ndarray]:
    """The numeric arrays of an official SMPL ``.pkl`` by their names; all else is left out.

    Raises:
        BodyFileError: not a pickle, a damaged one, or one that refers to anything but arrays.
    """
    try:
        with path.open("rb") as file:
            content = _SmplUnpickler(file).load()
        if not isinstance(content, dict):
            raise BodyFileError(f"{path.name} is no SMPL body: it holds no named arrays.")
        arrays = {str(name): _numbers(value) for name, value in content.items()}
    except BodyFileError:
        raise
    except pickle.UnpicklingError as error:
        raise BodyFileError(f"{path.name} is not safe to read as an SMPL body: {error}.") from error
    except Exception as error:  # a damaged pickle can end in nearly any of them
        raise BodyFileError(f"{path.name} is no readable pickle of an SMPL body.") from error
    return {name: array for name, array in arrays.items() if array is not None}


def _numbers(value: object) -> np.ndarray | None:
    """The array that stand-ins describe; None where it is something else."""
    if isinstance(value, _Chumpy):
        return _numbers(value.state.get("x")) if isinstance(value.state, dict) else None
    if isinstance(value, _Array):
        _, shape, dtype, column_major, content = value.state
        return _array(content, dtype, shape, "F" if column_major else "C")
    if isinstance(value, _FromBuffer):
        return _array(*value.arguments[:4])
    if isinstance(value, _SparseColumns):
        parts = tuple(_numbers(value.state[name]) for name in ("data", "indices", "indptr"))
        matrix = sparse.csc_matrix(parts, shape=value.state["_shape"])
        # The constructor trusts the row numbers, and a dense copy would write where they point.
        matrix.check_format(full_check=True)
        return matrix.toarray()
    return None


def _array(content: object, dtype: object, shape: object, order: str) -> np.ndarray | None:
    code = str(dtype.arguments[0])
    if code[:1] not in "fiu":
        return None
    byte_order = dtype.state[1] if dtype.state else "="
    if isinstance(content, _Bytes):
        content = content.arguments[0]
    if isinstance(content, str):  # Python 2's bytes
        content = content.encode("latin1")
    return np.frombuffer(content, np.dtype(code).newbyteorder(byte_order)).reshape(shape, order=order)
