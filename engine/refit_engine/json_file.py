# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON files that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, and ValueError for whatever is no JSON."""
    if path.exists() and not path.is_file():  # reading a device or a pipe may never end
        raise ValueError("it is no file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
