# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's standard streams, each behind a thread, so that no caller ever waits for a pipe. Imports no bpy."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from typing import IO

log = logging.getLogger(__name__)

MAX_LINE = 8 * 1024 * 1024
WAITING_BYTES = 16 * 1024 * 1024
STDERR_LINES, STDERR_LINE = 40, 2000


class LineWriter:
    """Writes lines in the order in which they are given, as fast as the other side reads them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="engine input", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Returns at once."""
        self._lines.put(line)

    def close(self) -> None:
        """Close the stream once everything is written. Returns at once."""
        self._lines.put(None)

    def _work(self) -> None:
        try:
            with self._stream as stream:
                while (line := self._lines.get()) is not None:
                    stream.write(line)
                    stream.flush()
        except (OSError, ValueError):
            # The end of the engine's output tells the same, with the reason on stderr.
            log.debug("The engine does not read any more.")


class LineReader:
    """Reads lines of up to MAX_LINE bytes ahead; while WAITING_BYTES wait to be taken, the other side has to wait."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._ended = self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="engine output", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the other side has closed the stream and every line has been taken."""
        with self._changed:
            return self._ended and not self._lines

    def take(self, timeout: float = 0.0) -> bytes | None:
        """The next line; None where none came within `timeout` seconds, or none can come any more."""
        until = time.monotonic() + timeout
        with self._changed:
            while not self._lines and not self._ended:
                rest = until - time.monotonic()
                if rest <= 0 or not self._changed.wait(rest):
                    break
            if not self._lines:
                return None
            line = self._lines.popleft()
            self._waiting -= len(line)
            self._changed.notify_all()
            return line

    def close(self) -> None:
        """Drop what comes from now on. Returns at once; the thread ends with the stream."""
        with self._changed:
            self._closed = True
            self._lines.clear()
            self._waiting = 0
            self._changed.notify_all()

    def _work(self) -> None:
        with self._stream as stream:
            while line := stream.readline(MAX_LINE):
                self._put(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, line: bytes) -> None:
        with self._changed:
            while self._lines and self._waiting + len(line) > WAITING_BYTES and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._lines.append(line)
                self._waiting += len(line)
                self._changed.notify_all()


class StderrTail:
    """Keeps the beginnings of the last lines that the engine wrote to stderr."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: deque[str] = deque(maxlen=STDERR_LINES)
        self._thread = threading.Thread(target=self._work, args=(stream,), name="engine errors", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the other side has closed the stream, at most `timeout` seconds."""
        self._thread.join(timeout)

    def lines(self) -> list[str]:
        return list(self._lines)

    def _work(self, stream: IO[bytes]) -> None:
        beginning = True
        with stream:
            while piece := stream.readline(STDERR_LINE):
                if beginning:
                    text = piece.decode("utf-8", "replace").rstrip()
                    self._lines.append(text)
                    log.debug("engine: %s", text)
                beginning = piece.endswith(b"\n")
