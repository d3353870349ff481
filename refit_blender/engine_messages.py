# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine may say: lines of JSON-RPC 2.0, checked to the last field before they count. Imports no bpy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .progress import Progress

MAX_TEXT = 4000
MAX_COUNT = 2**31


class InvalidMessage(ValueError):
    """A line that is not the engine's protocol."""


@dataclass(frozen=True)
class Answer:
    """The result of a request. Its content is for whoever asked to check."""

    id: int
    result: Any


@dataclass(frozen=True)
class ErrorAnswer:
    """Why a request failed; kind: the engine's name for the reason."""

    id: int
    code: int
    text: str
    kind: str


@dataclass(frozen=True)
class ProgressNote:
    """How far a request is."""

    id: int
    progress: Progress


@dataclass(frozen=True)
class EngineInfo:
    """What an engine says of itself in `initialize`."""

    protocol_version: int
    engine_version: str
    python: str
    torch: str
    device: str
    device_name: str
    devices: tuple[str, ...]


def parse_line(line: bytes) -> Answer | ErrorAnswer | ProgressNote | None:
    """The message in a line; None for a notification that we do not know. Raises InvalidMessage."""
    try:
        message = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("not JSON") from error
    if not isinstance(message, dict):
        raise InvalidMessage("not an object")
    if "method" in message:
        return _notification(message)
    request_id = _integer(message, "id")
    if "error" not in message:
        if "result" not in message:
            raise InvalidMessage("neither result nor error")
        return Answer(request_id, message["result"])
    error = message["error"]
    if not isinstance(error, dict):
        raise InvalidMessage("the error is no object")
    data = error.get("data") or {}
    if not isinstance(data, dict):
        raise InvalidMessage("the error's data are no object")
    return ErrorAnswer(
        request_id, _integer(error, "code"), _text(error, "message"), _text(data, "kind", "EngineFailure")
    )


def parse_info(result: Any) -> EngineInfo:
    """The answer to `initialize`. Raises InvalidMessage."""
    if not isinstance(result, dict):
        raise InvalidMessage("not an object")
    devices = result.get("devices", [])
    if not isinstance(devices, list) or not all(isinstance(name, str) for name in devices):
        raise InvalidMessage("the devices are no list of names")
    return EngineInfo(
        protocol_version=_integer(result, "protocol_version"),
        engine_version=_text(result, "engine_version"),
        python=_text(result, "python", ""),
        torch=_text(result, "torch", ""),
        device=_text(result, "device", ""),
        device_name=_text(result, "device_name", ""),
        devices=tuple(name[:MAX_TEXT] for name in devices),
    )


def _notification(message: dict[str, Any]) -> ProgressNote | None:
    if _text(message, "method") != "$/progress":
        return None
    params = message.get("params")
    if not isinstance(params, dict):
        raise InvalidMessage("progress without parameters")
    done, total = _integer(params, "done", 0), _integer(params, "total", 0)
    if not (0 <= done <= MAX_COUNT and 0 <= total <= MAX_COUNT):
        raise InvalidMessage("progress is no count")
    progress = Progress(_text(params, "stage"), done, total, _text(params, "message", ""))
    return ProgressNote(_integer(params, "id"), progress)


def _integer(values: dict[str, Any], name: str, default: int | None = None) -> int:
    value = values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidMessage(f"{name} is no integer")
    return value


def _text(values: dict[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise InvalidMessage(f"{name} is no text")
    return value[:MAX_TEXT]


def _refuse(constant: str) -> float:
    raise InvalidMessage(f"{constant} is no number of JSON")
