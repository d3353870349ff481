# SPDX-License-Identifier: GPL-3.0-or-later
"""How much has arrived in a folder, counted beside everything else, since walking through it takes a while."""

from __future__ import annotations

import threading
from pathlib import Path

from .folder import folder_bytes

SECONDS = 0.5


class FolderMeter:
    """Counts what a folder has gained; end it with `close`."""

    def __init__(self, folder: Path) -> None:
        self.gained_mb = 0.0
        self._folder = folder
        self._before = folder_bytes(folder)
        self._closed = threading.Event()
        threading.Thread(target=self._count, name="refit-meter", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _count(self) -> None:
        while not self._closed.wait(SECONDS):
            self.gained_mb = max(0, folder_bytes(self._folder) - self._before) / 1e6
