# SPDX-License-Identifier: GPL-3.0-or-later
"""How a fixed time is shared out among the stages of a long job that may be stopped and started again."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

KEEP_EVERY = 5.0
"""Seconds between two notes on disk: a kill loses no more of the account than that."""
LEAST = 1.0
"""Seconds that every stage has, so that each does something: one step, one shard."""


@dataclass
class Account:
    """Seconds that a stage may take and has taken."""

    allowed: float
    used: float = 0.0
    done: bool = False


class Budget:
    """The accounts of all stages, kept in a file.

    A stage that begins gets its share of the time that is left; what an earlier one did not need goes to the later ones.
    """

    def __init__(self, file: Path, seconds: float, shares: dict[str, float]) -> None:
        self._file, self._seconds, self._shares = file, seconds, shares
        self.accounts: dict[str, Account] = {}
        if file.exists():
            self.accounts = {name: Account(**values) for name, values in json.loads(file.read_text()).items()}

    def open(self, name: str) -> Account:
        """The account of a stage: the one on file, or a new one."""
        if name not in self.accounts:
            spent = sum(account.used for account in self.accounts.values())
            ahead = sum(share for stage, share in self._shares.items() if stage not in self.accounts)
            left = max(self._seconds - spent, 0.0)
            self.accounts[name] = Account(max(left * self._shares[name] / ahead if ahead else 0.0, LEAST))
            self.keep()
        return self.accounts[name]

    def keep(self) -> None:
        """Write the file in one move."""
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({name: asdict(account) for name, account in self.accounts.items()}, indent=1))
        os.replace(part, self._file)


class Clock:
    """Charges the time since it was made to a stage's account."""

    def __init__(self, budget: Budget, name: str) -> None:
        self._budget, self.account = budget, budget.open(name)
        self._before, self._started = self.account.used, time.monotonic()
        self._kept = self._started

    def tick(self) -> bool:
        """Whether there is time left."""
        now = time.monotonic()
        self.account.used = self._before + now - self._started
        if now - self._kept > KEEP_EVERY:
            self._kept = now
            self._budget.keep()
        return self.account.used < self.account.allowed

    @property
    def left(self) -> float:
        """Seconds."""
        return self.account.allowed - self.account.used

    def finish(self) -> None:
        """The stage is done, for good."""
        self.tick()
        self.account.done = True
        self._budget.keep()
