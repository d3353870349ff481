# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual screen with Blender on it, a mouse, a keyboard and a camera for the tests."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCREEN = (1600, 1000)
DRIVER = Path(__file__).with_name("driver.py")
POLL = 0.03  # seconds
ROW = 18  # pixels between two places where a button is looked for: less than a button is high


@contextmanager
def virtual_screen() -> Iterator[dict[str, str]]:
    """An X server and a window manager; gives the environment for programs that shall show there."""
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{SCREEN[0]}x{SCREEN[1]}x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write_end], stderr=subprocess.DEVNULL)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        number = answer.readline().strip()
    settings = {**os.environ, "DISPLAY": f":{number}", "LIBGL_ALWAYS_SOFTWARE": "1"}
    manager = subprocess.Popen(["openbox"], env=settings, stderr=subprocess.DEVNULL)
    try:
        yield settings
    finally:
        for process in (manager, server):
            process.terminate()
            process.wait()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 180.0) -> object:
    """Poll until the condition gives something true and return that; fail with `what` when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(POLL)
    raise AssertionError(f"in {seconds:.0f} s it did not happen that {what}")


class BlenderWindow:
    """One Blender with a window, seen through its screen and asked through its driver script."""

    def __init__(self, settings: dict[str, str], channel: Path, pictures: Path) -> None:
        self.settings = settings
        self.channel = channel
        self.pictures = pictures
        self.log = channel / "blender.log"
        self._numbers = itertools.count()
        self._buttons: dict[str, tuple[int, int]] = {}
        place = [str(number) for number in (0, 0, *SCREEN)]
        command = [
            "blender",
            "--gpu-backend",
            "opengl",
            "--window-geometry",
            *place,
            "--python",
            str(DRIVER),
            "--",
            str(channel),
        ]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, env=settings, stdout=output, stderr=subprocess.STDOUT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, code: str, seconds: float = 180.0) -> object:
        """Run statements in Blender and return what they leave in `answer` (JSON)."""
        question = self.channel / f"{next(self._numbers):05d}.py"
        unfinished = question.with_suffix(".draft")
        unfinished.write_text(code)
        unfinished.rename(question)
        reply = question.with_suffix(".json")

        def answered() -> bool:
            assert self.process.poll() is None, f"Blender ended:\n{self.log.read_text()[-3000:]}"
            return reply.exists()

        wait_until(answered, f"Blender answered to: {code}", seconds)
        answer = json.loads(reply.read_text())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def let_it_work(self) -> None:
        """Wait until Blender's event loop has turned: once may have begun before the last input arrived."""
        for _ in range(2):
            self.ask("")

    def input(self, *words: object) -> None:
        """Move the mouse, click, press keys: xdotool's words."""
        subprocess.run(["xdotool", *map(str, words)], env=self.settings, check=True)

    def click(self, place: tuple[int, int]) -> None:
        # Blender wants to see the mouse arrive before it is pressed, and to have drawn what it points at.
        self.input("mousemove", *place)
        self.let_it_work()
        self.input("mousemove_relative", "1", "0")
        self.let_it_work()
        self.input("click", "1")
        self.let_it_work()

    def picture(self, name: str) -> Path:
        """Save what the screen shows."""
        path = self.pictures / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], env=self.settings, check=True)
        return path

    def open_tab(self, name: str) -> None:
        self.ask("view_3d()[1].spaces.active.show_region_ui = True")
        # The sidebar knows its tabs once it has been drawn.
        wait_until(
            lambda: self.ask(f"open_tab({name!r}); answer = view_3d()[2].active_panel_category == {name!r}"),
            f"{name} was open",
        )

    def find_button(self, operator: str, across: float = 1 / 3) -> tuple[int, int]:
        """Where the button of an operator is in the sidebar, found as a user could: by pointing and asking.

        Ctrl-C over a button puts the operator's call into the clipboard. across: where to look, in the sidebar's width.
        """
        x, top, width, height = self.ask("answer = sidebar_box()")
        call = re.compile(rf"bpy\.ops\.{re.escape(operator)}\(")
        if operator in self._buttons:
            return self._buttons[operator]
        self.ask("bpy.context.window_manager.clipboard = ''")
        for y in range(top + ROW // 2, top + height, ROW):
            place = (x + int(width * across), y)
            self.input("mousemove", *place)
            self.let_it_work()
            self.input("key", "ctrl+c")
            self.let_it_work()
            if call.search(self.ask("answer = bpy.context.window_manager.clipboard")):
                self._buttons[operator] = place
                return place
        raise AssertionError(f"no button of {operator} in the sidebar, see {self.picture('button-not-found')}")


def engine_processes() -> list[int]:
    """Process ids of the workers that the add-on started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"refit_engine.worker" in words:
            found.append(int(folder.name))
    return found


def signal_engine(number: signal.Signals) -> None:
    """Send a signal to every worker, as to stop it in its tracks, let it go on, or kill it."""
    for process in engine_processes():
        with suppress(ProcessLookupError):
            os.kill(process, number)
