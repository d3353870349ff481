# SPDX-License-Identifier: GPL-3.0-or-later
"""Endless batches to train on: simulated landmarks, pictures, and what a backbone saw of pictures.

On a graphics card the next batches are fetched while it works: poses by `workers` processes, stored samples by a thread.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from refit_engine.body import BodyData, LandmarkBody, load_body
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.refit import Encoding
from torch import Tensor

from refit_training.known import known
from refit_training.poses import PoseLibrary
from refit_training.render.synthetic import RenderStore
from refit_training.train.backbone_losses import BackbonePass
from refit_training.train.features import FeatureStore
from refit_training.train.landmarks import UNDERSTOOD, LandmarkNoise, locate, simulate_encoding
from refit_training.train.views import Views, sample_views

T = TypeVar("T")
AHEAD = 3
"""Batches that a thread or each process keeps ready."""
SECONDS = 0.5
MISTAKEN = 12.0
"""Crop pixels that the median landmark of a person is off who was mistaken for something else."""


class Batch(NamedTuple):
    """What the network sees of `views`; with the outputs of a backbone that learns, too."""

    encoding: Encoding
    views: Views
    backbone: BackbonePass | None = None


def lifted_batches(
    views: Iterator[Views], points: LandmarkBody, keypoints: int, noise: LandmarkNoise
) -> Iterator[Batch]:
    """Endless simulated landmarks of the bodies of `views`, where `points` lie, beside that many empty keypoint maps."""
    for some in views:
        placed = some.to(noise.device)
        yield Batch(simulate_encoding(placed.placed(points), placed, keypoints, noise), placed)


def render_batches(
    look: Callable[[Tensor, Views], Batch], store: RenderStore, size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Endless random batches of renders, seen by the backbone as it is at that moment (`look`)."""

    def drawn() -> Iterator[tuple[Tensor, Views]]:
        while True:
            if rng.random() < 0.01:
                store.refresh()
            yield store.sample(rng, size)

    for crops, views in ahead(drawn(), store.device):
        yield look(crops, views)


def feature_batches(
    encode: Callable[[BackboneOutput], Encoding],
    store: FeatureStore,
    noise: LandmarkNoise,
    size: int,
    rng: np.random.Generator,
    maps: bool,
    within: float = UNDERSTOOD,
    least: float = 1.0,
) -> Iterator[Batch]:
    """Endless random batches of people whom the backbone understood (`LandmarkNoise.understood`), as it saw them.

    The initial estimate needs no maps. least: see `clearer`.
    """

    def drawn() -> Iterator[tuple[BackboneOutput, Views]]:
        among = noise.understood(within)
        while True:
            if rng.random() < 0.01:
                store.refresh()
                noise.refresh()
                among = noise.understood(within)
            yield store.sample(rng, size, maps, among)

    points = LandmarkBody(load_body()).to(store.device)
    for seen, views in ahead(drawn(), store.device):
        yield Batch(encode(seen if least == 1 else clearer(seen, views, points, least)), views)


def clearer(seen: BackboneOutput, views: Views, points: LandmarkBody, least: float) -> BackboneOutput:
    """With landmarks of understood people moved towards the true `points`: their errors times a random share of at least `least`.

    Photographs are easier to read than rendered people. Errors of people who were mistaken for something else stay.
    """
    true = locate(views.placed(points), views)[..., :2]
    landmarks = known(seen.landmarks)
    off = landmarks[..., :2] - true
    share = least + (1 - least) * torch.rand(len(off), 1, 1, device=off.device)
    mistaken = off.norm(dim=-1).median(1).values > MISTAKEN
    share = torch.where(mistaken[:, None, None], 1.0, share)
    return seen._replace(landmarks=torch.cat([true + share * off, landmarks[..., 2:]], -1))


def alternate(first: Iterator[Batch], second: Iterator[Batch]) -> Iterator[Batch]:
    """One of each in turn."""
    for pair in zip(first, second, strict=False):
        yield from pair


def ahead(items: Iterator[T], device: torch.device) -> Iterator[T]:
    """Endless items; for a graphics card a thread makes the next ones while it works."""
    if device.type != "cuda":
        yield from items
        return
    ready: queue.Queue[T | BaseException] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def fill() -> None:
        try:
            for item in items:
                while not stopped.is_set():
                    try:
                        ready.put(item, timeout=SECONDS)
                        break
                    except queue.Full:
                        continue
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - the thread that waits for items raises it
            ready.put(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def posed_views(
    poses: PoseLibrary, body: BodyData, size: int, rng: np.random.Generator, workers: int = 1
) -> Iterator[Views]:
    """Endless random bodies before random cameras, `size` at a time; with several workers made by as many processes."""
    if workers == 1:
        while True:
            yield sample_views(rng, poses.sample(rng, size), body)
    seed = int(rng.integers(2**31))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (poses,))
    try:
        numbers = count()
        waiting = deque(pool.submit(_sample, seed, next(numbers), size) for _ in range(AHEAD * workers))
        while True:
            waiting.append(pool.submit(_sample, seed, next(numbers), size))
            yield Views(*map(torch.from_numpy, waiting.popleft().result()))
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[PoseLibrary, BodyData]


def _start_worker(poses: PoseLibrary) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = poses, load_body()


def _sample(seed: int, number: int, size: int) -> list[np.ndarray]:
    poses, body = _worker
    rng = np.random.default_rng([seed, number])
    views = sample_views(rng, poses.sample(rng, size), body)
    return [part.numpy() for part in views.parts()]
