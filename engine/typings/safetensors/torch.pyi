# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of what this repository uses of safetensors with PyTorch."""

from collections.abc import Mapping
from os import PathLike

from torch import Tensor

def load_file(filename: str | PathLike[str]) -> dict[str, Tensor]: ...
def save_file(
    tensors: Mapping[str, Tensor], filename: str | PathLike[str], metadata: Mapping[str, str] | None = None
) -> None: ...
