# SPDX-License-Identifier: GPL-3.0-or-later
"""What pip would fetch: how much, from where, and which build of PyTorch."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .plan import size_text

# On the disk, an installed package takes this many times its wheel: measured with du on Linux. Most of CUDA's
# libraries can hardly be compressed.
_UNPACKED_CPU, _UNPACKED_CUDA = 4.2, 2.3


@dataclass(frozen=True)
class Download:
    """The packages of an installation.

    total_mb: all of them; network_mb: those that are not on this computer yet; hosts: where those come from.
    """

    total_mb: float
    network_mb: float
    hosts: tuple[str, ...]
    packages: int
    torch: str
    cuda: bool

    @property
    def disk_mb(self) -> float:
        """What the environment will take."""
        return self.total_mb * (_UNPACKED_CUDA if self.cuda else _UNPACKED_CPU)

    def summary(self) -> str:
        """One line for the question before the download."""
        build = f"PyTorch {self.torch}{' with CUDA' if self.cuda else ''}, {self.packages} packages"
        source = f" from {' and '.join(self.hosts)}" if self.hosts else ""
        return f"{build}: {size_text(self.network_mb)} to download{source}, {size_text(self.disk_mb)} on disk"


def read_download(files: Sequence[Mapping[str, Any]]) -> Download | None:
    """From the answer of `pip_sizes.py`; None where a size is unknown."""
    if any(file["size"] is None for file in files):
        return None
    remote = [file for file in files if urlsplit(file["url"]).scheme != "file"]
    versions = {normal_name(file["name"]): str(file["version"]) for file in files}
    torch = versions.get("torch", "")
    return Download(
        total_mb=sum(file["size"] for file in files) / 1e6,
        network_mb=sum(file["size"] for file in remote) / 1e6,
        hosts=tuple(sorted({urlsplit(file["url"]).hostname or "" for file in remote})),
        packages=len(files),
        torch=torch,
        cuda="+cu" in torch or any(name.startswith("nvidia-") for name in versions),
    )


def pinned(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Requirements for exactly these versions."""
    return [f"{file['name']}=={file['version']}" for file in files]


def pinned_wheels(wheels: Iterable[Path]) -> list[str]:
    """Requirements for exactly the versions of these wheels."""
    return ["{}=={}".format(*wheel.name.split("-")[:2]) for wheel in wheels]


def unpacked_bytes(wheels: Iterable[Path]) -> int:
    """What is in these wheels."""
    total = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
    return total


def normal_name(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()
