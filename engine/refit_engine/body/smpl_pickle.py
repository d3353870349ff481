# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads SMPL's official pickles without running anything that is in them.

They were written by Python 2 and hold numpy arrays, scipy sparse matrices and chumpy arrays. `pickle_machine` says
what a pickle wants to make; here only the arrays of a body are made of it, from checked pieces.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import BodyFileError
from ..pickle_machine import Made, Named, PickleError, PickleMachine

SMPL_ARRAYS = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "kintree_table", "f")
MAX_BYTES = 1 << 30
MAX_DENSE = 4_000_000
"""Numbers of a sparse matrix written out: 24 times the vertices of any body in SMPL's format fit in."""

_CHUMPY = "chumpy"
_RECONSTRUCTORS = ("_reconstruct", "_reconstructor")
_KNOWN = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("scipy.sparse.csc", "csc_matrix"),
    ("scipy.sparse._csc", "csc_matrix"),
    ("_codecs", "encode"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("__builtin__", "object"),
    ("builtins", "object"),
    # numpy 1 and numpy 2
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    ),
}


def read_smpl_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays SMPL_ARRAYS of an official SMPL ``.pkl``, those that it has; all else is left out.

    Raises:
        BodyFileError: not a pickle, a damaged one, or one that refers to anything but arrays.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BodyFileError(f"{path.name} is too large for an SMPL body.")
        content = PickleMachine(_known).run(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise BodyFileError(f"{path.name} cannot be opened: {error.strerror}.") from error
    except PickleError as error:
        raise BodyFileError(f"{path.name} is not safe to read as an SMPL body: {error}.") from error
    if not isinstance(content, dict):
        raise BodyFileError(f"{path.name} is no SMPL body: it holds no named arrays.")
    try:
        arrays = {name: _numbers(content[name]) for name in SMPL_ARRAYS if name in content}
    except MemoryError:
        raise
    except Exception as error:  # damaged pieces can end in nearly any of them
        raise BodyFileError(f"{path.name} is no readable pickle of an SMPL body.") from error
    return {name: array for name, array in arrays.items() if array is not None}


def _known(named: Named) -> Named:
    if named.module.split(".")[0] != _CHUMPY and (named.module, named.name) not in _KNOWN:
        raise PickleError(f"it refers to {named.module}.{named.name}"[:200])
    return named


def _class_of(made: Made) -> str:
    """The name of an object's class; protocols 0 and 1, and all arrays, are written as a call that gets it first."""
    if made.what.name not in _RECONSTRUCTORS:
        return _CHUMPY if made.what.module.split(".")[0] == _CHUMPY else made.what.name
    named = made.arguments[0]
    return _CHUMPY if named.module.split(".")[0] == _CHUMPY else named.name


def _numbers(value: Any) -> np.ndarray | None:
    """The array that an object would be; None where it is something else."""
    if not isinstance(value, Made):
        return None
    kind = _class_of(value)
    if kind == _CHUMPY:  # the plain array keeps its numbers in ``x``
        return _numbers(value.state.get("x")) if isinstance(value.state, dict) else None
    if kind == "ndarray":
        _, shape, dtype, column_major, content = value.state
        return _array(content, dtype, shape, "F" if column_major else "C")
    if kind == "_frombuffer":  # as protocol 5 writes it
        content, dtype, shape, order = value.arguments
        return _array(content, dtype, shape, order)
    if kind == "csc_matrix":
        return _dense(value.state)
    return None


def _certain_numbers(value: Any) -> np.ndarray:
    """The array that an object would be. Raises ValueError where it is something else."""
    numbers = _numbers(value)
    if numbers is None:
        raise ValueError("there are no numbers")
    return numbers


def _dense(state: dict[str, Any]) -> np.ndarray:
    """scipy's csc_matrix, written out. By hand, since scipy's own code writes wherever damaged indices point."""
    shape: tuple[int, int] = state["_shape"]
    rows, columns = shape
    if not (rows > 0 and columns > 0 and rows * columns <= MAX_DENSE):
        raise ValueError("no size of a joint regressor")
    values, indices, ends = (_certain_numbers(state[name]) for name in ("data", "indices", "indptr"))
    counts = np.diff(ends.astype(np.int64))
    complete = len(ends) == columns + 1 and ends[0] == 0 and counts.sum() == len(indices) == len(values)
    if not complete or (counts < 0).any() or not ((indices >= 0) & (indices < rows)).all():
        raise ValueError("the indices are damaged")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices.astype(np.int64), np.repeat(np.arange(columns), counts)), values)
    return dense


def _array(content: Any, dtype: Any, shape: Any, order: Literal["C", "F"]) -> np.ndarray | None:
    """An array of content, numpy.dtype (its code comes first, the byte order second in its state), and shape."""
    code = dtype.arguments[0]
    if not isinstance(code, str) or code[:1] not in ("f", "i", "u") or not code[1:].isdigit() or int(code[1:]) > 8:
        return None
    byte_order = dtype.state[1] if dtype.state else "="
    if isinstance(content, Made):  # bytes as Python 3 writes them in the protocols of Python 2: text, encoding
        content = content.arguments[0]
    if isinstance(content, str):  # Python 2's bytes
        content = content.encode("latin1")
    return np.frombuffer(content, np.dtype(code).newbyteorder(byte_order)).reshape(shape, order=order)
