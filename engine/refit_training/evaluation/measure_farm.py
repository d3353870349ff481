# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to stop motion jobs, and to share them out.

    python -m refit_training.evaluation.measure_farm docs/samples/walk.mp4 [--frames 450] [--kills 20] [--threads 1]

The movie is played forwards and backwards up to so many frames. Prints JSON:

- `kills`: one job is killed so often, at random moments of its run, and started again; whether its result has the bytes of
  an undisturbed run.
- `chunks`: seconds of processor time, start and loading included, of the job in one process, and in a process for each
  200 frames and one that merges.
- `machines`: seconds of a process's start, of a block of 200 frames and of a merged frame, measured one after the other on
  this machine, and what they add up to for an hour of video on one machine and on ten equal ones. This is a calculation:
  a network, a share and machines that differ are not in it.
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
from typing import NamedTuple

from refit_engine.fitting.motion.blocks import BLOCK
from refit_engine.moving_pictures import MovieWriter, open_footage

HOUR = 3600
MACHINES = (1, 10)


class Times(NamedTuple):
    """Seconds of one or more processes: by the clock, and of the processor."""

    clock: float
    processor: float


class Farm:
    """Runs the engine's commands on one movie. folder: for results and caches."""

    def __init__(self, movie: Path, folder: Path, threads: int) -> None:
        self.movie, self.folder = movie, folder
        self.settings = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def run(self, *words: object) -> Times:
        """Run a command to its end."""
        start, used = time.perf_counter(), _children()
        with self._begun(words) as process:
            if process.wait():
                raise SystemExit(f"This command failed: {' '.join(map(str, words))}")
        return Times(time.perf_counter() - start, _children() - used)

    def killed(self, seconds: float, *words: object) -> float | None:
        """Kill a command after some seconds; None, or after how many seconds it had ended before that."""
        start = time.perf_counter()
        with self._begun(words) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
        return time.perf_counter() - start

    def track(self, name: str, cache: str) -> tuple[object, ...]:
        """The words of the command that makes a result of this name."""
        return "track", self.movie, "--no-overlay", "--out", self.folder / name, "--cache", self.folder / cache

    def observe(self, cache: str, *words: object) -> tuple[object, ...]:
        return "observe", self.movie, "--cache", self.folder / cache, *words

    def result(self, name: str) -> bytes:
        return (self.folder / name / "motion.npz").read_bytes()

    def _begun(self, words: Sequence[object]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "refit_engine.cli", *map(str, words)]
        return subprocess.Popen(command, env=self.settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_kills(farm: Farm, alone: Times, kills: int) -> Mapping[str, object]:
    """Kill one job at moments spread evenly over what is left of it."""
    words, chance, span = farm.track("killed", "killed-cache"), random.Random(1), alone.clock
    moments: list[float] = []
    while len(moments) < kills:
        moment = chance.uniform(0, span)
        ended = farm.killed(moment, *words)
        if ended is None:
            moments.append(round(moment, 1))
        else:
            span = min(span, ended)
    farm.run(*words)
    return {"kills": kills, "after_seconds": moments, "same_bytes": farm.result("killed") == farm.result("alone")}


def measure_chunks(farm: Farm, alone: Times, chunks: Sequence[Times], merge: Times) -> Mapping[str, object]:
    shared = sum(one.processor for one in chunks) + merge.processor
    return {
        "one_piece": round(alone.processor, 1),
        "each_chunk": [round(one.processor, 1) for one in chunks],
        "merge": round(merge.processor, 1),
        "overhead_percent": round(100 * (shared / alone.processor - 1), 1),
        "same_bytes": farm.result("merged") == farm.result("alone"),
    }


def machines(start: float, block: float, merged_frame: float, rate: float) -> Mapping[str, object]:
    """Seconds for an hour of video: blocks side by side, then the merge on one machine."""
    frames = round(HOUR * rate)
    blocks = -(-frames // BLOCK)
    looking = {count: start + -(-blocks // count) * block for count in MACHINES}
    return {
        "start": round(start, 2),
        "block": round(block, 2),
        "merged_frame": round(merged_frame, 4),
        "an_hour_of_video": {
            str(count): {"look": round(seconds), "merge": round(start + frames * merged_frame)}
            for count, seconds in looking.items()
        },
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
    parser.add_argument("movie", type=Path)
    parser.add_argument("--frames", type=int, default=450, help="of the movie that is made of it")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "movie.mp4"
        rate = write_movie(options.movie, movie, options.frames)
        farm = Farm(movie, Path(folder), options.threads)
        alone = farm.run(*farm.track("alone", "alone-cache"))
        spans = [f"{first}:{first + BLOCK}" for first in range(0, options.frames, BLOCK)]
        chunks = [farm.run(*farm.observe("shared", "--chunk", span)) for span in spans]
        merge = farm.run(*farm.track("merged", "shared"))
        idle = farm.run(*farm.observe("shared"))
        report = {
            "chunks": measure_chunks(farm, alone, chunks, merge),
            "machines": machines(
                idle.clock, chunks[0].clock - idle.clock, (merge.clock - idle.clock) / options.frames, rate
            ),
        }
        print(json.dumps(report, indent=1), flush=True)
        print(json.dumps({"kills": measure_kills(farm, alone, options.kills)}, indent=1))


if __name__ == "__main__":
    main()
