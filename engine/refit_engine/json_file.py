# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON files that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import RefitError


def read_json_file(path: Path, failure: type[RefitError]) -> Any:
    """The content of a JSON file. Raises `failure`, with a sentence for the user, where there is none."""
    try:
        return read_json(path)
    except OSError as error:
        raise failure(f"{path} cannot be opened: {error.strerror}.") from error
    except ValueError as error:
        raise failure(f"{path.name} is not JSON: {error}.") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, and ValueError for whatever is no JSON."""
    if path.exists() and not path.is_file():  # reading a device or a pipe may never end
        raise ValueError("it is no file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
