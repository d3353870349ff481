# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a resident process: requests on stdin, answers and progress on stdout, logs on stderr.

One thread reads, so that a cancellation is seen while a job runs; the main thread runs the jobs one after another.
The process ends with `shutdown`, at the end of its input, and when its parent is gone.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from . import protocol
from .errors import RefitError
from .job import Job
from .packages import IncompleteService
from .protocol import ProtocolError, Request

log = logging.getLogger(__name__)

MAX_LINE = 16 * 1024 * 1024
GRACE_SECONDS = 3.0  # for a running job to notice that nobody waits for it any more
PARENT_POLL_SECONDS = 2.0


class Service(Protocol):
    """The methods of the protocol by name; see `service.EngineService`."""

    def methods(self) -> dict[str, Callable[[dict[str, Any], Job], Any]]: ...


class Worker:
    """Serves one client over a pair of byte streams."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, service: Service) -> None:
        self._source = source
        self._sink = sink
        self._methods = service.methods()
        self._queue: queue.Queue[tuple[Request, Job] | None] = queue.Queue()
        self._jobs: dict[protocol.Id, Job] = {}
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self.finished = threading.Event()

    def run(self) -> None:
        """Answer requests until `shutdown` or the end of the input."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        try:
            while (item := self._queue.get()) is not None:
                if not self._answer(*item):
                    break
        finally:
            self.finished.set()

    def _answer(self, request: Request, job: Job) -> bool:
        """Run one job and send its result; False after `shutdown`."""
        try:
            job.check()
            result = None if request.method == "shutdown" else self._methods[request.method](request.params, job)
            line = protocol.response_line(request.id, result)
        except Exception as error:  # whatever a job does, the next one is served
            if not isinstance(error, RefitError | ProtocolError):
                log.exception("%s failed", request.method)
            line = protocol.error_line(request.id, error)
        with self._lock:  # the client may use the id again as soon as it has the answer
            self._jobs.pop(request.id, None)
        self._send(line)
        return request.method != "shutdown"

    def _read(self) -> None:
        while line := self._source.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                self._skip_line()
                self._send(protocol.error_line(None, ProtocolError(protocol.PARSE_ERROR, "The line is too long.")))
                continue
            if not line.strip():
                continue
            try:
                self._receive(protocol.parse_line(line))
            except ProtocolError as error:
                self._send(protocol.error_line(error.request_id, error))
        self._abandon()

    def _skip_line(self) -> None:
        while (rest := self._source.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass

    def _receive(self, request: Request) -> None:
        if request.method == "$/cancelRequest":
            self._cancel(request.params.get("id"))
            return
        if request.id is None:
            return  # notifications that we do not know are none of our business
        if request.method != "shutdown" and request.method not in self._methods:
            raise ProtocolError(protocol.METHOD_NOT_FOUND, f"Unknown method {request.method}.", request.id)
        job = Job(request.id, self._send)
        with self._lock:
            if request.id in self._jobs:
                raise ProtocolError(protocol.INVALID_REQUEST, "A request with this id is still running.", request.id)
            self._jobs[request.id] = job
        self._queue.put((request, job))

    def _cancel(self, request_id: Any) -> None:
        with self._lock:
            job = self._jobs.get(request_id) if isinstance(request_id, str | int) else None
        if job is not None:
            job.cancelled.set()

    def _abandon(self) -> None:
        """Nobody listens any more: drop what waits, cancel what runs."""
        self._cancel_all()
        self._queue.put(None)
        if not self.finished.wait(GRACE_SECONDS):
            _end_now()

    def _send(self, line: bytes) -> None:
        try:
            with self._write_lock:
                self._sink.write(line)
                self._sink.flush()
        except OSError:
            log.info("The client is gone.")
            self._cancel_all()

    def _cancel_all(self) -> None:
        with self._lock:
            for job in self._jobs.values():
                job.cancelled.set()


def _claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The client's pipes, for us alone: prints of libraries, native ones too, go to stderr from now on."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def _watch_parent() -> None:
    """End with the parent. The end of the input says so too, unless another process inherited the pipe's other end."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        _end_now()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _end_now() -> None:
    """Leave without waiting for native code, threads or destructors."""
    logging.shutdown()
    os._exit(0)


def serve(make_service: Callable[[], Service]) -> None:
    """Take over this process's standard streams, serve until the client is done, and end the process."""
    source, sink = _claim_standard_streams()
    faulthandler.enable(sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # A terminal's Ctrl-C goes to the whole group: it is for the client to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        _watch_parent()
    Worker(source, sink, make_service()).run()
    # The reader still waits for input and holds its stream: an ordinary exit could hang or abort on it.
    _end_now()


def _make_service() -> Service:
    try:
        from .service import EngineService
    except (ImportError, OSError):
        log.exception("The engine is incomplete.")
        return IncompleteService()
    return EngineService()


def main() -> None:
    serve(_make_service)


if __name__ == "__main__":
    main()
