# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on in this Blender session: the running job and what the last one said. Not part of any file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine_job import Job
    from .install.job import FolderJob


@dataclass
class State:
    """job, install: what is running; drawing: whether boxes are being drawn; retargeted: the share of a motion that is
    carried over, None while none is; error, install_error: the last sentence for the user; report: the last success;
    remarks: what was odd about it.
    """

    job: Job | None = None
    error: str = ""
    report: str = ""
    remarks: tuple[str, ...] = ()
    drawing: bool = False
    retargeted: float | None = None
    install: FolderJob | None = None
    install_error: str = ""


state = State()


def forget_texts() -> None:
    """Forget what the last job said: another one is being prepared."""
    state.error = state.report = ""
    state.remarks = ()


def reset() -> None:
    """Forget everything and stop what runs: the add-on is being switched off."""
    if state.job:
        state.job.cancel()
    if state.install:
        state.install.cancel()
    state.job = state.install = None
    state.drawing = False
    state.retargeted = None
    state.install_error = ""
    forget_texts()
