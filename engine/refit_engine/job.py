# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that is being served, as the code that serves it sees it: progress out, cancellation in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from . import protocol
from .errors import Cancelled

PROGRESS_INTERVAL = 0.05


class Job:
    """A running request, as its handler sees it."""

    def __init__(self, request_id: protocol.Id, send: Callable[[bytes], None]) -> None:
        self.id = request_id
        self.cancelled = threading.Event()
        self._send = send
        self._last: tuple[str, float] = ("", 0.0)

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """Tell the client how far the job is, at most 20 times a second; raises Cancelled like `check`."""
        self.check()
        now = time.monotonic()
        if stage != self._last[0] or done == total or now - self._last[1] >= PROGRESS_INTERVAL:
            self._last = (stage, now)
            self._send(protocol.progress_line(self.id, stage, done, total, message))

    def check(self) -> None:
        """Raises Cancelled if the client has asked for it."""
        if self.cancelled.is_set():
            raise Cancelled("Cancelled.")
