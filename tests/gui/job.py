# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's job in the Blender under test: started and stopped with the mouse, watched from inside."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from desktop import BlenderWindow, engine_processes, signal_engine, wait_until

SAMPLE_PHOTO = Path(__file__).parents[2] / "docs" / "samples" / "balance.jpg"
STATE = "from bl_ext.user_default.refit_blender.session import state\n"
KINDS = ("objects", "meshes", "armatures", "cameras", "images", "materials", "actions", "collections", "shape_keys")


class Job:
    def __init__(self, window: BlenderWindow) -> None:
        self.window = window

    def choose(self, image: Path) -> None:
        self.set(image_path=str(image), weights_path="")

    def set(self, **settings: object) -> None:
        lines = (
            f"bpy.context.window_manager.windows[0].scene.refit.{name} = {value!r}" for name, value in settings.items()
        )
        self.window.ask("\n".join(lines))

    def click_reconstruct(self) -> None:
        self.window.click(self.window.find_button("refit.reconstruct"))

    def running(self) -> bool:
        return self.window.ask(STATE + "answer = state.job is not None")

    def progress(self) -> str:
        return self.window.ask(STATE + "answer = str(state.job.progress) if state.job else ''")

    def error(self) -> str:
        return self.window.ask(STATE + "answer = state.error")

    def report(self) -> str:
        return self.window.ask(STATE + "answer = state.report")

    def wait_for_end(self, seconds: float = 120.0) -> None:
        wait_until(lambda: self.error() or self.report(), "the job said how it ended", seconds)
        wait_until(lambda: not self.running(), "the job ended")

    @contextmanager
    def held(self, start: Callable[[], None] | None = None) -> Iterator[None]:
        """Start a job and hold the engine still, so that the job lasts as long as the test looks at it.

        start: presses its button, by default Reconstruct.
        """
        signal_engine(signal.SIGSTOP)
        (start or self.click_reconstruct)()
        wait_until(lambda: self.running() or self.error(), "the job was running")
        assert self.running(), self.error()
        wait_until(engine_processes, "the engine was started")
        signal_engine(signal.SIGSTOP)
        try:
            yield
        finally:
            signal_engine(signal.SIGCONT)

    def content(self) -> dict[str, list[str]]:
        """Names of everything in the file that a job could add."""
        return self.window.ask(
            f"answer = {{kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in {KINDS}}}"
        )
