# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to stop motion jobs, and to share them out.

    python -m refit_training.evaluation.measure_farm chunks docs/samples/walk.mp4 [--frames 400]
    python -m refit_training.evaluation.measure_farm kills docs/samples/walk.mp4 [--frames 60] [--kills 20]

The movie is played forwards and backwards up to so many frames. All times are seconds of the processor, of one thread,
start and loading included: what a free core takes, however busy this machine is. Prints JSON.

`chunks`: a job in one process; in a process for each 200 frames and one that merges; and what the parts add up to for an
hour of video on one machine and on ten equal ones with one core each. The latter is a calculation: a network, a share and
machines that differ are not in it.

`kills`: one job is killed so often, at random moments of its run, and started again; whether its result has the bytes of
an undisturbed run. Blocks have 20 frames here instead of 200, so that there are some to lose.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from refit_engine.fitting.motion.blocks import BLOCK
from refit_engine.moving_pictures import MovieWriter, open_footage

HOUR = 3600
MACHINES = (1, 10)
SHORT_BLOCK = 20
SHORT_BLOCKS = f"""
import sys
from refit_engine.cli import main
from refit_engine.fitting.motion import blocks, observing
blocks.BLOCK = observing.BLOCK = {SHORT_BLOCK}
sys.exit(main())
"""


class Farm:
    """Runs the engine's commands on one movie. folder: for results and caches; program: words that start the engine."""

    def __init__(self, movie: Path, folder: Path, program: Sequence[str]) -> None:
        self.movie, self.folder = movie, folder
        self._program = [sys.executable, *program]

    def run(self, *words: object) -> float:
        """Run a command to its end: seconds of the processor."""
        before = _children()
        with self._begun(words) as process:
            if process.wait():
                raise SystemExit(f"This command failed: {' '.join(map(str, words))}")
        return _children() - before

    def ended(self, seconds: float, *words: object) -> bool:
        """Whether a command ends within some seconds; else it is killed."""
        with self._begun(words) as process:
            try:
                return process.wait(seconds) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                return False

    def track(self, name: str, cache: str) -> tuple[object, ...]:
        """The words of the command that makes a result of this name."""
        return "track", self.movie, "--no-overlay", "--out", self.folder / name, "--cache", self.folder / cache

    def observe(self, cache: str, *words: object) -> tuple[object, ...]:
        return "observe", self.movie, "--cache", self.folder / cache, *words

    def result(self, name: str) -> bytes:
        return (self.folder / name / "motion.npz").read_bytes()

    def _begun(self, words: Sequence[object]) -> subprocess.Popen[bytes]:
        command = [*self._program, *map(str, words)]
        settings = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_kills(movie: Path, folder: Path, kills: int) -> Mapping[str, object]:
    """Kill one job at moments spread evenly over an undisturbed run, or over what is left of it."""
    farm = Farm(movie, folder, ["-c", SHORT_BLOCKS])
    start = time.perf_counter()
    farm.run(*farm.track("alone", "alone-cache"))
    span, chance = time.perf_counter() - start, random.Random(1)
    shares: list[float] = []
    whole = span
    while len(shares) < kills:
        moment = chance.uniform(0, span)
        start = time.perf_counter()
        if farm.ended(moment, *farm.track("killed", "killed-cache")):
            span = min(span, time.perf_counter() - start)
        else:
            shares.append(round(moment / whole, 2))
    farm.run(*farm.track("killed", "killed-cache"))
    same = farm.result("killed") == farm.result("alone")
    return {"kills": kills, "after_shares_of_a_run": shares, "same_bytes": same}


def measure_chunks(movie: Path, folder: Path, frames: int, rate: float) -> Mapping[str, object]:
    """One process beside a process for each block."""
    farm = Farm(movie, folder, ["-m", "refit_engine.cli"])
    alone = farm.run(*farm.track("alone", "alone-cache"))
    spans = [f"{first}:{first + BLOCK}" for first in range(0, frames, BLOCK)]
    chunks = [farm.run(*farm.observe("shared", "--chunk", span)) for span in spans]
    merge = farm.run(*farm.track("merged", "shared"))
    start = farm.run(*farm.observe("shared"))
    return {
        "frames": frames,
        "one_piece": round(alone, 1),
        "chunks": [round(one, 1) for one in chunks],
        "merge": round(merge, 1),
        "overhead_percent": round(100 * ((sum(chunks) + merge) / alone - 1), 1),
        "same_bytes": farm.result("merged") == farm.result("alone"),
        "start": round(start, 1),
        "an_hour_of_video": an_hour(start, chunks[0] - start, (merge - start) / frames, rate),
    }


def an_hour(start: float, block: float, merged_frame: float, rate: float) -> Mapping[str, Mapping[str, int]]:
    """Minutes for an hour of video: blocks side by side, then the merge on one machine."""
    frames = round(HOUR * rate)
    blocks = -(-frames // BLOCK)
    merge = start + frames * merged_frame
    looking = {count: start + -(-blocks // count) * block for count in MACHINES}
    return {
        f"{count} machines": {"look": round(seconds / 60), "merge": round(merge / 60)}
        for count, seconds in looking.items()
    }


def write_movie(source: Path, target: Path, frames: int) -> float:
    """Write a movie forwards and backwards up to a number of frames; returns its frames a second."""
    pictures = open_footage(source)
    pixels = [frame for _, frame in pictures.read(range(pictures.footage.count)) if frame is not None]
    turn = [*range(len(pixels)), *range(len(pixels) - 2, 0, -1)]
    with MovieWriter(target, pictures.footage.size, pictures.footage.rate) as writer:
        for number in range(frames):
            writer.write(pixels[turn[number % len(turn)]], number / pictures.footage.rate)
    return pictures.footage.rate


def _children() -> float:
    """Seconds of the processor that processes took which have ended."""
    used = os.times()
    return used.children_user + used.children_system


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["chunks", "kills"])
    parser.add_argument("movie", type=Path)
    parser.add_argument("--frames", type=int, help="of the movie that is made of it (default: 400, or 60)")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args(arguments)
    frames = options.frames or (400 if options.what == "chunks" else 60)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rate = write_movie(options.movie, folder / "movie.mp4", frames)
        if options.what == "chunks":
            report = measure_chunks(folder / "movie.mp4", folder, frames, rate)
        else:
            report = measure_kills(folder / "movie.mp4", folder, options.kills)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
