# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job's answer says, taken out with everything checked, before any part of the scene changes."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from .errors import EngineProtocolError

log = logging.getLogger(__name__)

MAX_MESSAGES, MAX_MESSAGE = 200, 1000


class AnswerReader:
    """Named values of an answer. Each method raises EngineProtocolError where its value is not what it should be.

    folder: the job's, the only place from which files are taken.
    """

    def __init__(self, values: Any, folder: Path, where: str = "") -> None:
        self._where = where
        self._folder = folder
        if not isinstance(values, dict):
            raise EngineProtocolError("The engine's answer does not name its result.")
        self._values = values

    def objects(self, name: str, count: int) -> list[AnswerReader]:
        items = self._values.get(name)
        if not isinstance(items, list) or len(items) != count:
            raise self._damaged(name, f"is no list of {count}")
        return [AnswerReader(item, self._folder, f"{self._where}{name}[{index}].") for index, item in enumerate(items)]

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or "\0" in value:
            raise self._damaged(name, "is no text")
        return value[:MAX_MESSAGE]

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if not isinstance(value, bool):
            raise self._damaged(name, "is neither true nor false")
        return value

    def numbers(self, name: str, count: int) -> np.ndarray:
        """[count] finite numbers."""
        values = self._values.get(name)
        if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
            raise self._damaged(name, f"is not made of {count} numbers")
        return np.array(values, dtype=np.float64)

    def count(self, name: str) -> int:
        """A whole number of things, at least one."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._damaged(name, "is no count")
        return value

    def path(self, name: str) -> Path:
        """An absolute path, not looked at."""
        path = Path(self.text(name))
        if not path.is_absolute():
            raise self._damaged(name, "is no absolute path")
        return path

    def file(self, name: str) -> Path:
        """A file in the job's folder."""
        path = Path(os.path.normpath(self.path(name)))
        # Looked up only where its name says that it lies there: another name may reach out to the network.
        if not path.is_relative_to(self._folder) or not path.resolve().is_relative_to(self._folder.resolve()):
            raise self._damaged(name, "is not in the job's folder")
        if not path.is_file():
            raise self._damaged(name, "is no file")
        return path

    def optional_file(self, name: str) -> Path | None:
        return None if self._values.get(name) is None else self.file(name)

    def files(self, name: str) -> tuple[Path, ...]:
        """Files in the job's folder."""
        values = self._values.get(name)
        if not isinstance(values, list):
            raise self._damaged(name, "is no list")
        return tuple(AnswerReader({name: value}, self._folder, self._where).file(name) for value in values)

    def seconds(self) -> dict[str, float]:
        """The engine's times per stage."""
        values = self._values.get("seconds")
        if values is None:
            return {}
        if not isinstance(values, dict) or not all(_is_number(value) and value >= 0 for value in values.values()):
            raise self._damaged("seconds", "is no table of times")
        return {f"engine: {name}": float(value) for name, value in values.items()}

    def messages(self) -> tuple[str, ...]:
        """The engine's remarks."""
        values = self._values.get("messages")
        if values is None:
            return ()
        if not isinstance(values, list) or not all(isinstance(message, str) for message in values):
            raise self._damaged("messages", "is no list of sentences")
        messages = tuple(message[:MAX_MESSAGE] for message in values[:MAX_MESSAGES])
        for message in messages:
            log.info("%s", message)
        return messages

    def _damaged(self, name: str, what: str) -> EngineProtocolError:
        return EngineProtocolError(f"The engine's answer cannot be used: {self._where}{name} {what}.")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
