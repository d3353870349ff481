# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels between the engine and its client: JSON-RPC 2.0, one object a line, and the parameters of each method.

This module imports nothing heavy, so that the worker can answer before the network is there.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from .errors import Cancelled, RefitError

PROTOCOL_VERSION = 2

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
JOB_FAILED = -32000
CANCELLED = -32800

Id = str | int | None
Choice = TypeVar("Choice", bound=str)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value out of JSON is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value out of JSON is a list."""
    return isinstance(value, list)


class ProtocolError(Exception):
    """A message that cannot be answered as asked; `code` is JSON-RPC's."""

    def __init__(self, code: int, message: str, request_id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


class ProtocolMismatch(RefitError):
    """Client and engine speak different versions."""


@dataclass(frozen=True)
class Request:
    """A call (with id) or a notification (id None)."""

    method: str
    params: dict[str, Any]
    id: Id = None


def parse_line(line: bytes) -> Request:
    """The request in one line. Raises ProtocolError, with the id where it could be read."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(PARSE_ERROR, f"Not a line of JSON: {error}.") from error
    if not is_object(message):
        raise ProtocolError(INVALID_REQUEST, "A message is one JSON object.")
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | None):
        raise ProtocolError(INVALID_REQUEST, "An id is a string or an integer.")
    method = message.get("method")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, 'A request has "jsonrpc": "2.0" and a method.', request_id)
    params = message.get("params", {})
    if not is_object(params):
        raise ProtocolError(INVALID_PARAMS, "Parameters are passed by name.", request_id)
    return Request(method, params, request_id)


def _line(**message: Any) -> bytes:
    # Escaped to ASCII, so that no line separator of Unicode and no console encoding can break the framing.
    return json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def response_line(request_id: Id, result: Any) -> bytes:
    return _line(id=request_id, result=result)


def progress_line(request_id: Id, stage: str, done: int, total: int, message: str = "") -> bytes:
    params = {"id": request_id, "stage": stage, "done": done, "total": total, "message": message}
    return _line(method="$/progress", params=params)


def error_line(request_id: Id, error: BaseException) -> bytes:
    """A failure as the client shall see it: one sentence, and `data.kind` to tell failures apart."""
    if isinstance(error, ProtocolError):
        code, kind, message = error.code, "ProtocolError", str(error)
    elif isinstance(error, Cancelled):
        code, kind, message = CANCELLED, error.kind, str(error) or "Cancelled."
    elif isinstance(error, RefitError):
        code, kind, message = JOB_FAILED, error.kind, str(error)
    elif isinstance(error, MemoryError):
        code, kind, message = JOB_FAILED, "DeviceError", "There is not enough memory for this job."
    elif isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        code, kind, message = JOB_FAILED, "FileError", f"{error.strerror or error}{name}."
    else:
        code, kind, message = INTERNAL_ERROR, "InternalError", f"Internal error: {type(error).__name__}: {error}"
    return _line(id=request_id, error={"code": code, "message": message, "data": {"kind": kind}})


class Params:
    """Named parameters, taken one by one with their types checked; `done` complains about those nobody asked for."""

    def __init__(self, values: dict[str, Any], where: str = "") -> None:
        self._values = dict(values)
        self._where = where

    def string(self, name: str) -> str:
        return self._text(name, self._take(name, str))

    def optional_string(self, name: str) -> str | None:
        value = self._take(name, str, None)
        return None if value is None else self._text(name, value)

    def choice(self, name: str, options: tuple[Choice, ...]) -> Choice:
        value = self._take(name, str, options[0])
        for option in options:
            if option == value:
                return option
        raise self._invalid(name, f"must be one of {', '.join(options)}")

    def boolean(self, name: str, default: bool) -> bool:
        return self._take(name, bool, default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self._take(name, int, default)
        if isinstance(value, bool) or not low <= value <= high:
            raise self._invalid(name, f"must be an integer from {low} to {high}")
        return value

    def optional_number(self, name: str) -> float | None:
        value = self._take(name, (int, float), None)
        return None if value is None else self._finite(name, value)

    def numbers(self, name: str, count: int | None = None) -> list[float]:
        return self._numbers(name, self._take(name, list), count)

    def rows(self, name: str, columns: int, rows: int) -> list[list[float]]:
        return self._rows(name, self._take(name, list), columns, rows)

    def optional_numbers(self, name: str, count: int) -> list[float] | None:
        value = self._take(name, list, None)
        return None if value is None else self._numbers(name, value, count)

    def optional_rows(self, name: str, columns: int, rows: int | None = None) -> list[list[float]] | None:
        value = self._take(name, list, None)
        return None if value is None else self._rows(name, value, columns, rows)

    def optional_list(self, name: str) -> list[Any] | None:
        """Whatever a list holds, unchecked."""
        return self._take(name, list, None)

    def optional_object(self, name: str) -> Params | None:
        value = self._take(name, dict, None)
        return None if value is None else Params(value, f"{self._where}{name}.")

    def objects(self, name: str) -> list[Params]:
        value = self._take(name, list)
        if not value or not all(isinstance(item, dict) for item in value):
            raise self._invalid(name, "must be a list of objects, and not empty")
        return [Params(item, f"{self._where}{name}[{index}].") for index, item in enumerate(value)]

    def done(self) -> None:
        if self._values:
            names = ", ".join(sorted(self._where + name for name in self._values))
            raise ProtocolError(INVALID_PARAMS, f"Unknown parameter: {names}.")

    def _take(self, name: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        value = self._values.pop(name, None)
        if value is None:
            if default:
                return default[0]
            raise self._invalid(name, "is missing")
        if not isinstance(value, kind):
            raise self._invalid(name, "has the wrong type")
        return value

    def _text(self, name: str, value: str) -> str:
        if "\0" in value:
            raise self._invalid(name, "must hold no NUL character")
        return value

    def _rows(self, name: str, values: list[Any], columns: int, rows: int | None) -> list[list[float]]:
        if rows is not None and len(values) != rows:
            raise self._invalid(name, f"must have {rows} rows")
        return [self._numbers(name, row, columns) for row in values]

    def _numbers(self, name: str, values: Any, count: int | None) -> list[float]:
        if not is_list(values) or len(values) != (len(values) if count is None else count):
            raise self._invalid(name, f"must hold {count or 'only'} numbers")
        return [self._finite(name, value) for value in values]

    def _finite(self, name: str, value: Any) -> float:
        try:
            number = float("nan") if isinstance(value, bool | str) else float(value)
        except (TypeError, OverflowError):
            number = float("nan")
        if not math.isfinite(number):
            raise self._invalid(name, "must hold finite numbers")
        return number

    def _invalid(self, name: str, what: str) -> ProtocolError:
        return ProtocolError(INVALID_PARAMS, f"Parameter {self._where}{name} {what}.")
