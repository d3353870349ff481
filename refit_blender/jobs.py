# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a child process: JSON-RPC 2.0, one object a line, over its standard streams.

Nothing here blocks unless it is asked to (`Request.wait`): a timer in a window polls, a script waits, both through
`EngineProcess.pump`. Whatever goes wrong with the process ends every open request with a RefitError and kills what
is left of it; the next job starts a fresh one. This module does not import bpy.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine_messages import Answer, EngineInfo, ErrorAnswer, InvalidMessage, ProgressNote, parse_info, parse_line
from .engine_pipes import LineReader, LineWriter, StderrTail
from .errors import (
    Cancelled,
    EngineCrashed,
    EngineFailure,
    EngineHung,
    EngineMissing,
    EngineProtocolError,
    EngineVersionError,
    RefitError,
)
from .progress import Progress

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 2
CLIENT_NAME = "refit_blender"
CANCELLED_CODE = -32800
PUMP_SECONDS = 0.01
"""How long one `pump` takes lines in: an engine that talks without end must not stop the window."""
END_SECONDS = 1.0
"""How long an engine that has closed its output, or was killed, may take to end and to say why."""


@dataclass(frozen=True)
class Limits:
    """Seconds after which an engine counts as hung.

    start: until `initialize` is answered (a first import of PyTorch from a slow disk takes its time);
    silence: without an answer or progress while a job runs; cancel: for a cancelled job to end by itself.
    """

    start: float = 90.0
    silence: float = 300.0
    cancel: float = 5.0


class Request:
    """A call to the engine under way."""

    def __init__(self, engine: EngineProcess, request_id: int, method: str) -> None:
        self.id = request_id
        self.method = method
        self.progress: Progress | None = None
        self.last_sign = time.monotonic()
        self.cancelled_at: float | None = None
        self._engine = engine
        self._result: Any = None
        self._error: RefitError | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def sent(self) -> bool:
        """Whether the engine has got it: before `initialize` is answered, calls are held back."""
        return self.id >= 0

    def poll(self) -> bool:
        """Take in what has arrived, without waiting; True when the request has ended."""
        self._engine.pump()
        return self._ended

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> Any:
        """Block until the end and return the result. An interrupt from the keyboard cancels the job first."""
        shown = None
        try:
            while not self._ended:
                self._engine.pump(0.1)
                if on_progress and self.progress and self.progress is not shown:
                    shown = self.progress
                    on_progress(shown)
        except BaseException:
            self.cancel()
            raise
        return self.result()

    def result(self) -> Any:
        """The engine's answer. Raises the RefitError with which the request ended."""
        if self._error:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Ask the engine to stop. The request ends as Cancelled soon, if need be by killing the process."""
        if not self._ended and self.cancelled_at is None:
            self.cancelled_at = time.monotonic()
            self._engine.withdraw(self)

    def end(self, result: Any = None, error: RefitError | None = None) -> None:
        """For EngineProcess: settle the request, once."""
        if not self._ended:
            cancelled = error is not None and self.cancelled_at is not None
            self._error = Cancelled("Cancelled.") if cancelled else error
            self._result = result
            self._ended = True


class EngineProcess:
    """One running engine. Starts in the constructor; raises EngineMissing when it cannot be started at all."""

    def __init__(self, command: Sequence[str], limits: Limits = Limits()) -> None:
        self.command = tuple(command)
        self.info: EngineInfo | None = None
        self.failure: RefitError | None = None
        self._limits = limits
        self._started_at = time.monotonic()
        self._ends_since: float | None = None
        self._requests: dict[int, Request] = {}
        self._held: list[tuple[Request, dict[str, Any]]] = []
        self._next_id = 0
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=engine_environment(os.environ),
                # Not the user's folder: Python would find modules there.
                cwd=tempfile.gettempdir(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EngineMissing(f"The engine's Python {self.command[0]} cannot be started: {reason}.") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr  # all three are pipes
        self._input = LineWriter(self._process.stdin)
        self._output = LineReader(self._process.stdout)
        self._stderr = StderrTail(self._process.stderr)
        self._handshake = self._send_new("initialize", {"protocol_version": PROTOCOL_VERSION, "client": CLIENT_NAME})

    @property
    def alive(self) -> bool:
        return self.failure is None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, method: str, params: Mapping[str, Any]) -> Request:
        """Send a request, or keep it until `initialize` is answered. Does not block, does not raise."""
        if self.failure is None and self.info:
            return self._send_new(method, dict(params))
        request = Request(self, -1, method)
        if self.failure:
            request.end(error=self.failure)
        else:
            self._held.append((request, dict(params)))
        return request

    def withdraw(self, request: Request) -> None:
        """Tell the engine that a request is cancelled; one that was never sent ends at once."""
        held = [item for item in self._held if item[0] is request]
        if held:
            self._held.remove(held[0])
            request.end(error=Cancelled("Cancelled."))
        elif request.id in self._requests:
            self._write({"method": "$/cancelRequest", "params": {"id": request.id}})

    def pump(self, timeout: float = 0.0) -> None:
        """Take in what has arrived, for PUMP_SECONDS at most, and check the time limits.

        timeout: seconds to wait for the first line.
        """
        if self.failure:
            return
        line = self._output.take(timeout)
        until = time.monotonic() + PUMP_SECONDS
        while line is not None:
            self._receive(line)
            if self.failure:
                return
            line = self._output.take() if time.monotonic() < until else None
        if self._output.ended or self._process.poll() is not None:
            self._check_end(timeout)
        if not self.failure:
            self._check_limits()

    def wait_ready(self) -> EngineInfo:
        """Block until `initialize` is answered."""
        self._handshake.wait()
        if self.failure:
            raise self.failure
        assert self.info
        return self.info

    def close(self, patience: float = 1.0) -> None:
        """End the process: politely, then by force after `patience` seconds."""
        if self._process.poll() is None:
            self._write({"id": self._new_id(), "method": "shutdown", "params": {}})
            self._input.close()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                log.info("The engine did not end by itself.")
        self._fail(EngineCrashed("The engine was shut down."))

    # -- outgoing ----------------------------------------------------------------------------------------------

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _send_new(self, method: str, params: dict[str, Any]) -> Request:
        request = Request(self, self._new_id(), method)
        self._send(request, params)
        return request

    def _send(self, request: Request, params: dict[str, Any]) -> None:
        self._requests[request.id] = request
        request.last_sign = time.monotonic()
        self._write({"id": request.id, "method": request.method, "params": params})

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False).encode("ascii") + b"\n"
        self._input.write(line)

    # -- incoming ----------------------------------------------------------------------------------------------

    def _receive(self, line: bytes) -> None:
        """Act on a line; nothing is acted on before all of it is checked."""
        try:
            message = parse_line(line)
            if isinstance(message, Answer) and message.id == self._handshake.id and not self.info:
                self._settle_handshake(parse_info(message.result))
        except InvalidMessage as error:
            log.info("The engine's line is invalid: %s.", error)
            shown = line[:80].decode("utf-8", "replace").strip()
            self._fail(EngineProtocolError(f"The engine sent something that is not its protocol: “{shown}”."))
            return
        if isinstance(message, ProgressNote):
            if request := self._requests.get(message.id):
                request.last_sign = time.monotonic()
                request.progress = message.progress
        elif isinstance(message, Answer):
            if request := self._requests.pop(message.id, None):
                request.end(message.result)
        elif isinstance(message, ErrorAnswer):
            self._refused(message)

    def _refused(self, message: ErrorAnswer) -> None:
        if message.id == self._handshake.id and not self.info:
            missing = message.kind == "PackageMissing"
            refused = EngineVersionError(f"The engine refused this add-on: {message.text}")
            self._fail(EngineMissing(message.text) if missing else refused)
        elif request := self._requests.pop(message.id, None):
            cancelled = message.code == CANCELLED_CODE
            request.end(error=Cancelled("Cancelled.") if cancelled else EngineFailure(message.text, message.kind))

    def _settle_handshake(self, info: EngineInfo) -> None:
        version = info.protocol_version
        if version != PROTOCOL_VERSION:
            self._fail(
                EngineVersionError(
                    f"The engine speaks protocol {version} and this add-on {PROTOCOL_VERSION}: "
                    "install the engine again from the preferences."
                )
            )
            return
        self.info = info
        log.info("Engine %s ready on %s.", self.info.engine_version, self.info.device)
        held, self._held = self._held, []
        for waiting, params in held:
            waiting.id = self._new_id()
            self._send(waiting, params)

    # -- the end -----------------------------------------------------------------------------------------------

    def _check_limits(self) -> None:
        now = time.monotonic()
        if self.info is None:
            if now - self._started_at > self._limits.start:
                self._fail(EngineHung(f"The engine did not start within {self._limits.start:.0f} s and was stopped."))
            return
        for request in tuple(self._requests.values()):
            if request.cancelled_at is not None:
                if now - request.cancelled_at > self._limits.cancel:
                    self._fail(EngineHung("The engine did not react to Cancel and was stopped."))
                    return
            elif now - request.last_sign > self._limits.silence:
                silence = f"{self._limits.silence:.0f} s"
                self._fail(EngineHung(f"The engine gave no sign of life for {silence} and was stopped."))
                return

    def _check_end(self, timeout: float) -> None:
        """Process or output are at their end: give it a moment to end altogether, and to say why."""
        if self._ends_since is None:
            self._ends_since = time.monotonic()
        if timeout:
            self._stderr.join(timeout)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        over = self._output.ended and self._stderr.ended and self._process.poll() is not None
        if over or time.monotonic() - self._ends_since > END_SECONDS:
            self._fail(self._why_it_ended())

    def _why_it_ended(self) -> RefitError:
        code = self._process.poll()
        if code is None:
            return EngineCrashed("The engine closed its output without ending.")
        last_words = next((line for line in reversed(self._stderr.lines()) if line.strip()), "")
        if self.info is None and "No module named" in last_words and "refit_engine" in last_words:
            return EngineMissing(
                f"Python {self.command[0]} has no refit_engine: press Install Engine in the preferences."
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = f", last message: “{last_words[:200]}”" if last_words else ""
        when = "while starting" if self.info is None else "unexpectedly"
        return EngineCrashed(f"The engine stopped {when} ({how}{said}).")

    def _fail(self, error: RefitError) -> None:
        """End everything with `error`; afterwards the process is dead and reaped."""
        if self.failure:
            return
        self.failure = error
        if self._process.poll() is None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # the system is busy with it and will end it
                self._process.wait(END_SECONDS)
        self._input.close()
        self._output.close()
        for line in self._stderr.lines():
            log.info("engine: %s", line)
        waiting = [*self._requests.values(), *(request for request, _ in self._held), self._handshake]
        self._requests.clear()
        self._held.clear()
        for request in waiting:
            request.end(error=error)


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables for the engine's Python: without those by which Blender's Python, or the user's, would leak in."""
    kept = {
        name: value for name, value in environment.items() if name not in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")
    }
    return {**kept, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def worker_command(python: Path) -> tuple[str, ...]:
    """The command line that starts an engine."""
    return (str(python), "-m", "refit_engine.worker")
