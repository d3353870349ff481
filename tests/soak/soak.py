# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand jobs, and engines that are killed or hang in the middle: nothing may be lost, stuck or left behind.

    python build.py soak [--jobs 1000] [--kills 100] [--hangs 100] [--real 20]

Runs in Blender as a Python module, through the add-on's own classes: jobs are polled as a window's timer does. The
engine is a script that answers at once with a prepared result; afterwards the real one does `--real` jobs, of which one
in five is killed, one cancelled, and one stopped.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np
import synthetic_body
from blender_helpers import scene_state, write_launcher

import refit_blender
from refit_blender import engine
from refit_blender.engine_job import JobFolder, Options
from refit_blender.errors import Cancelled, EngineCrashed, EngineHung, RefitError
from refit_blender.jobs import Limits
from refit_blender.operators.job import POLL_SECONDS
from refit_blender.reconstruction import PhotoJob
from refit_blender.scene import body as bodies
from refit_blender.scene.sources import file_source

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "balance.jpg"
STUCK_SECONDS = 60.0
PATIENT, IMPATIENT = Limits(start=STUCK_SECONDS, silence=STUCK_SECONDS), Limits(start=STUCK_SECONDS, silence=0.3)
BLOCKED_SECONDS = 5.0
"""A timer tick that takes longer freezes the window, also where the machine has other work."""
REAL = Limits(start=600.0, silence=600.0)
MAX_GROWTH_MB = 20.0
CLEAN_EVERY = 10


class Stuck(Exception):
    """A job has not ended in time."""


@dataclass
class Findings:
    """What went wrong, by kind; and how much of everything was done."""

    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    megabytes: list[float] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Megabytes from the end of the first tenth to the end of the last: Blender fills its pools at first."""
        tenth = max(len(self.megabytes) // 10, 1)
        return min(self.megabytes[-tenth:]) - min(self.megabytes[tenth : 2 * tenth] or self.megabytes[:1])

    def sound(self) -> bool:
        return not (self.lost or self.stuck or self.changed) and self.growth <= MAX_GROWTH_MB

    def __str__(self) -> str:
        kinds = {"lost": self.lost, "stuck": self.stuck, "scene changed by a failure": self.changed}
        lines = [", ".join(f"{count} {what}" for what, count in self.done.items())]
        lines += [f"{name}: {len(found) or 'nothing'}{''.join(f'{chr(10)}    {one}' for one in found[:10])}"
                  for name, found in kinds.items()]  # fmt: skip
        return "\n".join([*lines, f"memory: {self.growth:+.1f} MB"])


@dataclass(frozen=True)
class Event:
    """A job and what befalls it. behaviour: of the played engine; strike: what is done once it works on the job."""

    name: str
    behaviour: str
    expected: type[RefitError] | None
    limits: Limits = PATIENT
    strike: Callable[[PhotoJob], None] | None = None
    fresh: bool = False
    stuck_after: float = STUCK_SECONDS


def kill(_job: PhotoJob) -> None:
    os.kill(engine.resident().pid, signal.SIGKILL)


def stop(_job: PhotoJob) -> None:
    os.kill(engine.resident().pid, signal.SIGSTOP)


def stop_impatiently(job: PhotoJob) -> None:
    """From now on the engine counts as hung after a second."""
    engine.resident()._limits = Limits(start=REAL.start, silence=1.0)
    stop(job)


def cancel(job: PhotoJob) -> None:
    job.cancel()


GOOD = Event("jobs", "good", None)
KILLS = (
    Event("kills", "hang", EngineCrashed, strike=kill),
    Event("kills", "crash", EngineCrashed),
    Event("kills", "crash_at_start", EngineCrashed, fresh=True),
)
HANGS = (
    Event("hangs", "hang", EngineHung, IMPATIENT, fresh=True),
    Event("hangs", "hang_at_start", EngineHung, Limits(start=0.3), fresh=True),
    Event("hangs", "hang", EngineHung, IMPATIENT, strike=stop, fresh=True),
    Event("hangs", "hang", Cancelled, Limits(start=STUCK_SECONDS, cancel=0.3), strike=cancel, fresh=True),
)


def run(event: Event, photo: Path, findings: Findings) -> None:
    """Do one job as a window does, and note what is not as it should be."""
    if event.fresh:
        engine.shutdown()
    engine._limits = event.limits
    before = scene_state()
    folder = JobFolder()
    title = f"{event.name} ({event.behaviour})"
    try:
        job = PhotoJob(file_source(photo, folder.path), Options(), folder.path)
        _poll(job, event)
        finished = job.finish(bpy.context)
        if event.expected or len(finished.outcome.bodies) < 1:
            findings.lost.append(f"{title}: it ended well")
        bodies_there = [item for item in bpy.context.scene.objects if bodies.is_rig(item)]
        if not bodies_there:
            findings.lost.append(f"{title}: no body is in the scene")
    except Stuck:
        findings.stuck.append(title)
        engine.shutdown()
    except RefitError as error:
        if event.expected is None or not isinstance(error, event.expected):
            findings.lost.append(f"{title}: {type(error).__name__}: {error}")
        if scene_state() != before:
            findings.changed.append(title)
    finally:
        folder.close()
    if folder.path.exists():
        findings.stuck.append(f"{title}: its folder is still there")
    findings.done[event.name] = findings.done.get(event.name, 0) + 1


def _poll(job: PhotoJob, event: Event) -> None:
    until, struck = time.monotonic() + event.stuck_after, event.strike is None
    while True:
        begin = time.monotonic()
        if job.poll():
            return
        if not struck and job.progress.stage == "fit":
            struck = True
            event.strike(job)
        now = time.monotonic()
        if now > until or now - begin > BLOCKED_SECONDS:
            raise Stuck
        time.sleep(POLL_SECONDS / 20)


def clean(findings: Findings) -> None:
    """An empty scene, and the memory that is left then."""
    bpy.ops.wm.read_homefile(use_empty=True)
    gc.collect()
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        findings.megabytes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def played_events(options: argparse.Namespace, chance: random.Random) -> Iterator[Event]:
    events = [GOOD] * options.jobs
    events += [KILLS[number % len(KILLS)] for number in range(options.kills)]
    events += [HANGS[number % len(HANGS)] for number in range(options.hangs)]
    chance.shuffle(events)
    yield from events


def play(options: argparse.Namespace, folder: Path, findings: Findings) -> None:
    """All jobs with the engine that is a script."""
    photo = folder / "photo.png"
    image = bpy.data.images.new("photo", 640, 480)
    image.filepath_raw, image.file_format = str(photo), "PNG"
    image.save()
    body = synthetic_body.make_body(correctives=False)
    np.savez(folder / "body.npz", **body)
    synthetic_body.write_result(folder / "result.npz", folder / "body.npz", body, photo)
    (folder / "behaviour").write_text("good")
    os.environ[engine.PYTHON_VARIABLE] = str(write_launcher(folder / "python", folder))
    start = time.monotonic()
    for number, event in enumerate(played_events(options, random.Random(options.seed))):
        if number % CLEAN_EVERY == 0:
            clean(findings)
        (folder / "behaviour").write_text(event.behaviour)
        run(event, photo, findings)
        if number % 100 == 99:
            print(f"{number + 1} in {time.monotonic() - start:.0f} s, {findings.megabytes[-1]:.0f} MB", flush=True)
    clean(findings)
    engine.shutdown()


def real(count: int, python: str, findings: Findings) -> None:
    """Some jobs with the real engine, of which every fifth is killed, cancelled, or stopped."""
    os.environ[engine.PYTHON_VARIABLE] = python
    slow = {"limits": REAL, "stuck_after": REAL.start}
    events = (
        Event("real jobs", "good", None, **slow),
        Event("real kills", "killed", EngineCrashed, strike=kill, **slow),
        Event("real jobs", "good", None, **slow),
        Event("real cancels", "cancelled", Cancelled, strike=cancel, **slow),
        Event("real hangs", "stopped", EngineHung, strike=stop_impatiently, **slow),
    )
    for number in range(count):
        run(events[number % len(events)], SAMPLE, findings)
        bpy.ops.wm.read_homefile(use_empty=True)
    engine.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("jobs", "kills", "hangs", "real"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    python = os.environ.get(engine.PYTHON_VARIABLE, "")
    entry = bpy.context.preferences.addons.new()
    entry.module = refit_blender.__name__
    refit_blender.register()
    findings = Findings()
    threads = threading.active_count()
    with tempfile.TemporaryDirectory(prefix="refit-soak-") as folder:
        play(options, Path(folder), findings)
        if python and options.real:
            real(options.real, python, findings)
    until = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.05)
    if threading.active_count() > threads:
        findings.stuck.append(f"{threading.active_count() - threads} threads")
    print(findings, flush=True)
    return 0 if findings.sound() else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Blender as a module may crash in its exit handlers
