# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the worker, and a service whose jobs can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from refit_engine.errors import ImageError

HERE = str(Path(__file__))
DEADLINE = 60.0


class Client:
    """Starts a worker process and talks to it line by line."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):  # what was not sent need not be
                pipe.close()

    def send(self, raw: bytes) -> None:
        self.process.stdin.write(raw + b"\n")
        self.process.stdin.flush()

    def request(self, method: str, request_id: int | str = 1, **params: Any) -> None:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        self.send(json.dumps(message).encode())

    def cancel(self, request_id: int | str) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": request_id}}).encode())

    def receive(self) -> dict[str, Any]:
        """The next line, which must be JSON: anything else on stdout is a defect."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        return json.loads(line)

    def answer(self) -> dict[str, Any]:
        """The next message that is no progress."""
        while "method" in (message := self.receive()):
            pass
        return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.request(method, **params)
        return self.answer()

    def wait(self) -> int:
        return self.process.wait(DEADLINE)


class OddService:
    """Jobs for tests: echo, fail in several ways, print where they must not, run until cancelled."""

    def methods(self):
        return {name: getattr(self, name) for name in ("echo", "fail", "chatter", "endless", "deaf", "full")}

    def echo(self, params, job):
        job.progress("echo", 1, 1, "line\nbreak ü")
        return params

    def fail(self, params, job):
        if params.get("kind") == "image":
            raise ImageError("That is no image.")
        if params.get("kind") == "nan":
            return float("nan")
        raise ZeroDivisionError("oops")

    def full(self, params, job):
        raise OSError(28, "No space left on device", "/out/result.npz")

    def chatter(self, params, job):
        print("a stray print")
        os.write(1, b"native code speaks\n")
        child = [sys.executable, "-c", "print('a child speaks'); input()"]
        subprocess.run(child, check=False, stderr=subprocess.DEVNULL)
        return "quiet"

    def endless(self, params, job):
        started = time.monotonic()
        while time.monotonic() - started < DEADLINE:
            job.progress("endless", 0, 0)
            time.sleep(0.01)

    def deaf(self, params, job):
        job.progress("deaf", 0, 1)
        time.sleep(DEADLINE)


if __name__ == "__main__":
    from refit_engine.worker import serve

    serve(OddService)
