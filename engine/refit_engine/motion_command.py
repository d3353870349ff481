# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `refit-engine track` and `refit-engine observe`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .cli_values import check_folder
from .errors import FarmError, ImageError, RefitError

if TYPE_CHECKING:
    from .fitting import FitOptions, Models
    from .fitting.motion import BlockWork, MotionFitter
    from .motion_results import MotionResult
    from .work_cache import WorkCache

TellProgress = Callable[[str, int, int], None]
COLUMNS = ("clip", "frames", "people", "seconds", "frames to look at")
"""Of the table of a folder's clips."""


def track(options: argparse.Namespace) -> int:
    """Run `track` with its parsed options; returns the exit code. Raises RefitError, OSError."""
    from .fitting import Models

    clips, models = clips_of(options.video), Models()
    if clips is None:
        for clip, failure in _looked_at(options, [options.video], models):
            if failure is not None:
                raise failure
            _track_clip(options, clip, options.out, models)
        return 0
    for clip in clips:
        check_folder(options.out / clip.name)  # --out may be the folder of the movies
    rows: dict[Path, Sequence[object]] = {}
    failures = 0
    for clip, failure in _looked_at(options, clips, models):
        start = time.perf_counter()
        try:
            if failure is not None:
                raise failure
            result = _track_clip(options, clip, options.out / clip.name, models)
        except (RefitError, OSError) as error:
            failures += 1
            print(f"refit-engine: {clip.name}: {error}", file=sys.stderr)
            rows[clip] = clip.name, "failed", "", "", ""
            continue
        seconds = f"{time.perf_counter() - start:.1f}"
        looks = ", ".join(map(str, frames_to_look_at(result)))
        rows[clip] = clip.name, len(result.times), result.people, seconds, looks
    print(table(COLUMNS, [rows[clip] for clip in clips]))
    return _told_failures(failures, len(clips))


def observe(options: argparse.Namespace) -> int:
    """Run `observe` with its parsed options; returns the exit code. Raises RefitError, OSError."""
    from tqdm import tqdm

    from .fitting import Models
    from .fitting.motion import share
    from .motion_params import motion_request_of

    clips, models, failures = clips_of(options.video), Models(), 0
    blocks: list[BlockWork] = []
    for clip in clips or [options.video]:
        try:
            ready = _fitter(options, models).prepare(motion_request_of(options, clip))
        except ImageError as error:
            if clips is None:
                raise
            failures += 1
            print(f"refit-engine: {clip.name}: {error}", file=sys.stderr)
            continue
        blocks += ready.blocks(options.chunk)
    blocks = share(blocks, *options.part) if options.part else blocks
    for block in tqdm(blocks, unit="block", disable=None):
        block.look()
    print(f"{len(blocks)} blocks of frames -> {options.cache}", file=sys.stderr)
    return _told_failures(failures, len(clips or ()))


def clips_of(path: Path) -> list[Path] | None:
    """The movies of a folder; None for a single job. Raises ImageError."""
    from .moving_pictures import movies_in

    return (movies_in(path) or None) if path.is_dir() else None


def fit_options(options: argparse.Namespace) -> FitOptions:
    """What a motion job has in common, from a command line. Raises BodyFileError, HeightError, ShapeError."""
    from .fitting import FitOptions
    from .motion_params import read_betas

    return FitOptions(
        people=options.people,
        body=options.body,
        gender=options.gender,
        weights=options.weights,
        betas=None if options.betas is None else read_betas(options.betas),
        height=getattr(options, "height", None),
    )


def frames_to_look_at(result: MotionResult) -> list[int]:
    """The least certain frames of everybody, the worst first, by their numbers in the first video, which count from 0."""
    from .motion_results import ABSENT
    from .worth_a_look import uncertainty, worst_frames, worth_a_look

    found: list[tuple[int, float]] = []
    for state, deviations in zip(result.state, result.joint_std_mm, strict=True):
        there = state != ABSENT
        frames = result.frames[0, there]
        uncertain = uncertainty(deviations[there])
        found += [
            (int(frames[place]), float(uncertain[place]))
            for place in worth_a_look(frames, uncertain, result.frame_rate)
        ]
    return worst_frames(found)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines of text with columns of equal width, the first and the last one on the left."""
    cells = [list(columns), *([str(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    numbers = range(1, len(columns) - 1)
    lines = [[row[0].ljust(widths[0]), *(row[one].rjust(widths[one]) for one in numbers), row[-1]] for row in cells]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _looked_at(
    options: argparse.Namespace, clips: Sequence[Path], models: Models
) -> Iterator[tuple[Path, RefitError | OSError | None]]:
    """The clips that can be solved now, and why one cannot; with Ray, in the order in which workers finish them."""
    if options.ray is None:
        yield from ((clip, None) for clip in clips)
        return
    from .farm.ray_pipeline import Clip, Pool, connected, looked_at, opened_clip
    from .motion_params import motion_request_of

    pool = Pool(options.ray, options.gpus_per_worker or 0.0)
    with connected(pool.address) as ray:  # before clips are opened, which takes minutes in a large folder
        opened: dict[Path, Clip] = {}
        for clip in clips:
            try:
                opened[clip] = opened_clip(_fitter(options, models), motion_request_of(options, clip))
            except (ImageError, OSError) as error:
                yield clip, error
        named = list(opened)
        for number, failure in looked_at(ray, list(opened.values()), fit_options(options), options.device, pool):
            yield named[number], FarmError(failure) if failure else None


def _fitter(
    options: argparse.Namespace, models: Models, progress: TellProgress = lambda _stage, _done, _total: None
) -> MotionFitter:
    from .fitting.motion import MotionFitter

    return MotionFitter(models, fit_options(options), options.device, progress, _cache(options))


def _track_clip(options: argparse.Namespace, clip: Path, out: Path, models: Models) -> MotionResult:
    from .fitting.motion.output import write_motion_output
    from .motion_params import motion_request_of

    request = motion_request_of(options, clip)
    with _progress_bar() as progress:
        fitter = _fitter(options, models, progress)
        result, views = fitter.track(request)
        body, drawn = fitter.subject().result_body, not options.no_overlay
        output = write_motion_output(out, result, views, body, drawn, lambda done, total: progress("draw", done, total))
    for message in fitter.messages:
        print(f"refit-engine: {message}", file=sys.stderr)
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in fitter.seconds.items() if value)
    print(f"{result.people} people, {len(result.times)} frames ({seconds}) -> {output.npz}", file=sys.stderr)
    return result


@contextmanager
def _progress_bar() -> Generator[TellProgress, None, None]:
    from tqdm import tqdm

    with tqdm(unit="frame", disable=None) as bar:
        present = ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal present
            if stage != present:
                present = stage
                bar.reset(total)
                bar.set_description(stage)
            bar.update(done - bar.n)

        yield progress


def _cache(options: argparse.Namespace) -> WorkCache | None:
    """A folder that the user names is not limited: other machines may be at work in it."""
    from .work_cache import WorkCache, default_folder

    if getattr(options, "no_cache", False):
        return None
    return WorkCache(default_folder()) if options.cache is None else WorkCache(options.cache, limit_bytes=None)


def _told_failures(failures: int, clips: int) -> int:
    if failures:
        print(f"refit-engine: {failures} of {clips} clips failed.", file=sys.stderr)
    return 1 if failures else 0
