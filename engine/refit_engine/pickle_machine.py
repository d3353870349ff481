# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a pickle's instructions without making anything but plain values, records of what it asks for, and no calls.

A few bytes make Python's own unpickler, a restricted one too, take any amount of memory or time: memo numbers without a
limit, keys whose hash never ends. Here keys are names or numbers, and work is linear in the file's length.
The instructions are those of https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

MAX_INSTRUCTIONS = 1_000_000


class PickleError(Exception):
    """The pickle is damaged, or does what no file of ours does; the message ends a sentence."""


@dataclass(frozen=True)
class Named:
    """A class or function that a pickle refers to by name."""

    module: str
    name: str


@dataclass(eq=False)
class Made:
    """What a pickle would make by calling something."""

    what: Named
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict[Any, Any])


@dataclass(frozen=True)
class Stored:
    """What a pickle refers to outside of itself."""

    key: Any


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_MARK = object()
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class PickleMachine:
    """One run through a pickle. known: decides which names may be used; what it raises ends the run."""

    known: Callable[[Named], Named]
    stack: list[Any] = field(default_factory=list[Any])
    memo: dict[int, Any] = field(default_factory=dict[int, Any])
    stored: list[Stored] = field(default_factory=list[Stored])

    def run(self, stream: io.BytesIO) -> Any:
        """The value of the pickle that begins at the stream's position. Raises PickleError."""
        try:
            for _ in range(MAX_INSTRUCTIONS):
                opcode = _OPCODES[stream.read(1).decode("latin-1")]
                if opcode.name == "STOP":
                    return self.stack.pop()
                if opcode.name == "STRING":
                    self.stack.append(_quoted(stream.readline()))
                else:
                    self._do(opcode.name, opcode.arg.reader(stream) if opcode.arg else None)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError) as error:
            raise PickleError("it is damaged") from error
        raise PickleError("it is too long")

    def _do(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _NUMBERS or name in _TEXTS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[name])))
        elif (work := getattr(self, f"_op_{name.lower()}", None)) is not None:
            work(argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"it has the instruction {name}")

    # -- stack and memo ----------------------------------------------------------------------------------------

    def _pop(self, count: int) -> list[Any]:
        values = [self.stack.pop() for _ in range(count)][::-1]
        if any(value is _MARK for value in values):
            raise PickleError("it is damaged")
        return values

    def _pop_marked(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _op_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _op_pop(self, _: Any) -> None:
        self.stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._pop_marked()

    def _op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _op_put(self, number: Any) -> None:
        if not 0 <= int(number) < MAX_INSTRUCTIONS:
            raise PickleError("it counts too far")
        self.memo[int(number)] = self.stack[-1]

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_get(self, number: Any) -> None:
        self.stack.append(self.memo[int(number)])

    _op_binget = _op_long_binget = _op_get

    # -- containers --------------------------------------------------------------------------------------------

    def _op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _op_list(self, _: Any) -> None:
        self.stack.append(self._pop_marked())

    def _op_append(self, _: Any) -> None:
        (item,) = self._pop(1)
        self.stack[-1].append(item)

    def _op_appends(self, _: Any) -> None:
        items = self._pop_marked()
        self.stack[-1].extend(items)

    def _op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_marked()))

    def _op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _op_dict(self, _: Any) -> None:
        items = self._pop_marked()
        self.stack.append({})
        self._set(items)

    def _op_setitem(self, _: Any) -> None:
        self._set(self._pop(2))

    def _op_setitems(self, _: Any) -> None:
        self._set(self._pop_marked())

    def _set(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        target = self.stack[-1]
        if isinstance(target, Made):  # an ordered dictionary, say
            target = target.items
        if not isinstance(target, dict) or not all(isinstance(key, str | bytes | int | float) for key in keys):
            raise PickleError("it has keys that are no names")
        target.update(zip(keys, values, strict=True))

    # -- objects -----------------------------------------------------------------------------------------------

    def _op_global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self.stack.append(self.known(Named(module, name)))

    def _op_stack_global(self, _: Any) -> None:
        module, name = self._pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("it is damaged")
        self.stack.append(self.known(Named(module, name)))

    def _op_reduce(self, _: Any) -> None:
        what, arguments = self._pop(2)
        if not isinstance(what, Named) or not _is_tuple(arguments):
            raise PickleError("it makes objects of unknown classes")
        self.stack.append(Made(what, arguments))

    _op_newobj = _op_reduce

    def _op_build(self, _: Any) -> None:
        (state,) = self._pop(1)
        if not isinstance(self.stack[-1], Made):
            raise PickleError("it changes what is no object")
        self.stack[-1].state = state

    def _op_binpersid(self, _: Any) -> None:
        self.stored.append(Stored(*self._pop(1)))
        self.stack.append(self.stored[-1])


def _is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def _quoted(line: bytes) -> str:
    """The string of an old pickle's line: Python's notation of bytes."""
    text = line.rstrip(b"\n")
    if len(text) < 2 or text[0] != text[-1] or text[0] not in b"'\"":
        raise PickleError("it is damaged")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")
