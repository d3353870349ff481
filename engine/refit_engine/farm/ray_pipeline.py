# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of frames, looked at by the workers of a Ray cluster: a pipeline of `ray.data` with a warm engine in each actor.

A row is one block of one clip. Workers need the videos under the same paths, and send back what the frames show; this
process keeps it where `track` finds it. https://docs.ray.io/en/latest/data/data.html
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from tqdm import tqdm

from ..errors import FarmError, PackageMissing, RefitError
from ..fitting import FitOptions, Models
from ..fitting.motion import BlockWork, MotionFitter, MotionRequest, Prepared
from ..fitting.motion.blocks import file_content
from ..fitting.motion.job_key import observation_key

STORE_BYTES = 200_000_000
"""Of shared memory for a Ray of one's own: a block of 200 frames takes 0.5 MB a person."""
PATIENCE = 10.0
"""Seconds for a cluster to answer: Ray itself tries for many minutes."""
_SETTINGS = b"\4"
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _SETTINGS + bytes(5)
"""What a client of HTTP/2 says first; servers begin with a frame of settings, too. RFC 9113, section 3.4."""


class ClipJob(NamedTuple):
    """A clip as workers need it. key: of what is seen in it, by this process's engine and files."""

    request: MotionRequest
    key: str


class Clip(NamedTuple):
    """A clip that this process has opened."""

    job: ClipJob
    blocks: list[BlockWork]


class Pool(NamedTuple):
    """The cluster's address as Ray takes it, and the share of a graphics card that each worker gets."""

    address: str
    gpus_per_worker: float = 0.0


class BlockEngine:
    """A warm engine in an actor: its models are loaded once, and its last clip stays open."""

    def __init__(self, jobs: Sequence[ClipJob], options: FitOptions, device: str) -> None:
        self._jobs, self._options, self._device = jobs, options, device
        self._models = Models()
        self._present: tuple[int, Prepared] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the block's file as `content`, or the sentence that says why there is none as `error`."""
        clip, view, start = _place(row)
        content, error = b"", ""
        try:
            content = file_content(self._opened(clip).watches[view].block(start))
        except (RefitError, OSError) as problem:
            error = f"Ray's worker on {socket.gethostname()}: {problem}"
        return {**row, "content": content, "error": error}

    def _opened(self, number: int) -> Prepared:
        if self._present is None or self._present[0] != number:
            self._present = None
            job = self._jobs[number]
            fitter = MotionFitter(self._models, self._options, self._device)
            ready = fitter.prepare(job.request)
            if observation_key(job.request, ready.views, fitter.options) != job.key:
                name = job.request.videos[0].video.name
                raise FarmError(f"The engine here is of another version, or {name} is another file here.")
            self._present = number, ready
        return self._present[1]


def opened_clip(fitter: MotionFitter, request: MotionRequest) -> Clip:
    """A clip, and its blocks that the fitter's cache lacks. Raises what `MotionFitter.prepare` does, and OSError."""
    request = replace(request, videos=tuple(replace(video, video=video.video.absolute()) for video in request.videos))
    ready = fitter.prepare(request)
    key = observation_key(request, ready.views, fitter.options)
    return Clip(ClipJob(request, key), [block for block in ready.blocks() if not block.kept()])


def looked_at(
    ray: Any, clips: Sequence[Clip], options: FitOptions, device: str, pool: Pool
) -> Iterator[tuple[int, str]]:
    """Have the clips' blocks looked at: the number of each clip when it is complete, and why it failed ("" if it did not).

    ray: see `connected`. Raises FarmError.
    """
    missing = [{(block.watch.number, block.start): block for block in clip.blocks} for clip in clips]
    rows = [{"clip": n, "view": view, "start": start} for n, blocks in enumerate(missing) for view, start in blocks]
    waiting = set(range(len(clips)))
    for number in [number for number in waiting if not missing[number]]:
        waiting.remove(number)
        yield number, ""
    if not rows:
        return
    filled = _results(ray, rows, [clip.job for clip in clips], options, device, pool)
    for row in tqdm(filled, total=len(rows), unit="block", disable=None):
        number, view, start = _place(row)
        if number not in waiting:
            continue
        if (view, start) in missing[number] and not row["error"]:
            missing[number].pop((view, start)).keep(row["content"])
        if row["error"] or not missing[number]:
            waiting.remove(number)
            yield number, row["error"]
    for number in sorted(waiting):
        yield number, f"Ray's workers failed at {len(missing[number])} of its blocks of frames; Ray's logs say why."


def _place(row: dict[str, Any]) -> tuple[int, int, int]:
    """Which block a row is: the numbers of clip and view, and its first instant."""
    return row["clip"], row["view"], row["start"]


def _results(
    ray: Any, rows: list[dict[str, int]], jobs: list[ClipJob], options: FitOptions, device: str, pool: Pool
) -> Iterator[dict[str, Any]]:
    """The rows as workers fill them in, in any order; those that workers fail at are left out. Raises FarmError.

    Ray Data starts actors again that die, and gives them their rows again, as often as it takes.
    """
    files = {name: file.absolute() for name in ("body", "weights") if (file := getattr(options, name)) is not None}
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.max_errored_blocks = -1
    engines = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        BlockEngine,
        fn_constructor_args=(jobs, replace(options, **files), device),
        compute=ray.data.ActorPoolStrategy(size=min(_room(ray, pool), len(rows)), max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=pool.gpus_per_worker or None,
    )
    try:
        yield from engines.iter_rows()
    except ray.exceptions.RayError as error:
        raise FarmError(f"Ray stopped the job: {_first_line(error)}") from error


def _room(ray: Any, pool: Pool) -> int:
    """How many workers the cluster's machines can run at a time. Raises FarmError where it can run none."""
    workers = 0
    for node in ray.nodes():
        has: dict[str, float] = node["Resources"] if node["Alive"] else {}
        room = int(has.get("CPU", 0))
        workers += min(room, int(has.get("GPU", 0) / pool.gpus_per_worker)) if pool.gpus_per_worker else room
    if not workers:
        lacking = "a graphics card for each worker" if pool.gpus_per_worker else "a processor"
        raise FarmError(f"The Ray cluster at {pool.address} does not have {lacking}.")
    return workers


@contextmanager
def connected(address: str) -> Generator[Any, None, None]:
    """The package Ray, connected to a cluster; "local" starts one on this machine. Raises FarmError, PackageMissing."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == "local":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # otherwise Ray writes one into the user's home folder
    try:
        ray: Any = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise PackageMissing(
            f"--ray needs the package Ray: run “{sys.executable} -m pip install 'ray[data]'”."
        ) from error
    _check_answers(address)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)  # what users should know is in the rows, the rest in Ray's log
    own = {"include_dashboard": False, "object_store_memory": STORE_BYTES} if address == "local" else {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise FarmError(f"No Ray cluster can be used at {address}: {_first_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown(wait_for_processes=True)


def _check_answers(address: str) -> None:
    """Raises FarmError where nothing listens at HOST:PORT that speaks HTTP/2; other addresses are Ray's to check."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return
    encrypted = os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
            connection.sendall(b"" if encrypted else _HELLO)
            answer = bytes(3) + _SETTINGS if encrypted else connection.recv(4)
    except (OSError, OverflowError, UnicodeError) as error:  # names with empty or very long parts cannot be encoded
        raise FarmError(f"No Ray cluster answers at {address}: {_first_line(error)}.") from error
    if answer[3:] != _SETTINGS:
        raise FarmError(
            f"What answers at {address} is no Ray cluster: those have the port 6379 if no other was chosen."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
