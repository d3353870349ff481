# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays of an npz file from anywhere: sizes are checked before memory is taken, and nothing is unpickled or evaluated.

Add-on and engine have the same module each, since neither can import the other. An npz is a zip archive of npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

MAX_BYTES = 1 << 30
MAX_DIRECTORY = 1 << 20
MAX_HEADER = 4096
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END_OF_ARCHIVE, _END_SIZE, _ZIP64, _ZIP64_SIZE = b"PK\5\6", 22, b"PK\6\7", 20
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[biu][1248]|f[248]|U[0-9]{1,6}))', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, L]*)\), *\} *\n?"
)


class NpzError(Exception):
    """The file is no npz of plain arrays; the message ends a sentence."""


@dataclass(frozen=True)
class _Announced:
    """What an npy file's header promises."""

    dtype: np.dtype
    column_major: bool
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def read_npz(path: Path, names: Collection[str] | None = None, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name, numbers and text only; of those in `names` where it is given.

    Raises NpzError, also for files that would take more than `max_bytes` of memory.
    """
    try:
        if not path.is_file():
            raise NpzError("there is no such file")
        with path.open("rb") as stream:
            _check_directory(stream)
            with zipfile.ZipFile(stream) as archive:
                chosen = [one for one in archive.infolist() if names is None or _name(one) in names]
                if sum(one.file_size for one in chosen) > max_bytes:
                    raise NpzError(f"its arrays take more than {max_bytes >> 20} MB")
                return {_name(one): _read_member(archive, one) for one in chosen}
    except (NpzError, MemoryError):
        raise
    except OSError as error:
        raise NpzError(error.strerror or "it is damaged") from error
    except Exception as error:  # a damaged archive can end in nearly any of them
        raise NpzError("it is damaged or no archive of arrays") from error


def _check_directory(stream: IO[bytes]) -> None:
    """The table of contents is read at once: its size has to be sensible."""
    size = stream.seek(0, 2)
    stream.seek(max(size - _END_SIZE - _ZIP64_SIZE, 0))
    tail = stream.read()
    end = tail[-_END_SIZE:]
    if not (end.startswith(_END_OF_ARCHIVE) and end.endswith(b"\0\0")) or tail.startswith(_ZIP64):
        raise NpzError("it is damaged or no archive of arrays")
    if int.from_bytes(end[12:16], "little") > MAX_DIRECTORY:
        raise NpzError("it holds too many arrays")
    stream.seek(0)


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in _METHODS or member.flag_bits & 1:
        raise NpzError("it is encrypted or packed in an unknown way")
    with archive.open(member) as stream:
        announced, start = _read_header(stream, _name(member))
        if announced.bytes != member.file_size - start:
            raise NpzError(f"{_name(member)} is not as long as it says")
        content = stream.read(announced.bytes)
    if len(content) != announced.bytes:
        raise NpzError("it is truncated")
    if not content:
        return np.zeros(announced.shape, announced.dtype)
    array = np.frombuffer(content, announced.dtype)
    return array.reshape(announced.shape, order="F" if announced.column_major else "C").copy()


def _read_header(stream: IO[bytes], name: str) -> tuple[_Announced, int]:
    """The header and its length in bytes."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise NpzError(f"{name} is no array")
    digits = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(stream.read(digits), "little")
    if length > MAX_HEADER:
        raise NpzError(f"{name} is no array")
    found = _HEADER.fullmatch(stream.read(length))
    if found is None:
        raise NpzError(f"{name} is no array of numbers or text")
    shape = tuple(int(side.rstrip(b"L")) for side in found[3].replace(b" ", b"").split(b",") if side)
    return _Announced(np.dtype(found[1].decode()), found[2] == b"True", shape), 8 + digits + length
