# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic renders of people, kept on disk with what is true of them.

    python -m refit_training.render.synthetic --pack pack.npz --poses poses.npz --out RENDERS --samples 50000

A folder of shards; a shard that exists is not made again, so the command can be stopped, repeated and run side by
side with another one that has another --seed. With --workers several processes draw.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from torch import Tensor

from refit_training.poses import PoseLibrary
from refit_training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background
from refit_training.shards import SHARD, Place, Shards, write_shard
from refit_training.train.views import Views, sample_views

log = logging.getLogger(__name__)


class RenderStore(Shards):
    """Batches of RGB crops [B,3,256,256] in 0…1, channels last, and their views."""

    def sample(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Views]:
        """A random batch."""
        return self.gather(self.random_places(rng, size))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Views]]:
        """Everything once, in order."""
        places = self.places()
        for first in range(0, len(places), size):
            yield self.gather(places[first : first + size])

    def gather(self, places: list[Place]) -> tuple[Tensor, Views]:
        """Those at the given places."""
        return as_crops(self.array(places)), self.views(places)


def as_crops(images: Tensor) -> Tensor:
    """Images [B,256,256,3] uint8 to RGB in 0…1 [B,3,256,256], channels last in memory."""
    return images.permute(0, 3, 1, 2).float().div_(255)


class RenderSampler:
    """Synthetic renders of random people, with what is true of them."""

    def __init__(self, pack: AssetPack, poses: PoseLibrary, card: bool = False) -> None:
        self.pack, self.poses = pack, poses
        self.body = load_body()
        self.model = BodyModel(self.body)
        self.renderer = PeopleRenderer(pack, card=card)

    def views(self, rng: np.random.Generator, count: int) -> Views:
        return sample_views(rng, self.poses.sample(rng, count), self.body)

    def renders(self, rng: np.random.Generator, views: Views) -> np.ndarray:
        """[N,256,256,3] uint8 RGB."""
        with torch.no_grad():
            vertices = self.model(views.betas, views.rotmats, views.transl).vertices.numpy()
        intrinsics = views.intrinsics().numpy()
        images = []
        for index in range(len(views)):
            people = [vertices[index]] + self._bystanders(rng, views[index : index + 1])
            posed = [PosedPerson(person, random_appearance(rng, self.pack)) for person in people]
            background = random_background(rng, self.pack, views.camera_from_world[index].numpy())
            images.append(self.renderer.render(posed, intrinsics[index], background, rng))
        return np.stack(images)

    def _bystanders(self, rng: np.random.Generator, view: Views) -> list[np.ndarray]:
        """Vertices of other people beside or behind, seldom in front of, the person of a view of one."""
        count = rng.choice(3, p=[0.8, 0.14, 0.06])
        if count == 0:
            return []
        rotmats = torch.from_numpy(self.poses.sample(rng, count)).float()
        rotmats[:, 0] = view.camera_from_world @ rotmats[:, 0]
        betas = torch.from_numpy(rng.standard_normal((count, 10))).float()
        sideways = rng.uniform(0.45, 1.6, count) * rng.choice([-1, 1], count)
        shift = np.stack([sideways, rng.normal(0, 0.1, count), rng.uniform(-0.4, 3, count)], -1)
        to_camera = view.camera_from_world[0] @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        transl = view.transl + torch.from_numpy(shift).float() @ to_camera.mT
        with torch.no_grad():
            vertices = self.model(betas, rotmats, transl).vertices.numpy()
        return [person for person in vertices if person[:, 2].min() > 0.4]


@dataclass(frozen=True)
class Drawing:
    """What is drawn: from the asset pack and the pose library, or their parts for testing, into the folder `out`.

    card: on the first graphics card.
    """

    pack: Path
    poses: Path
    out: Path
    seed: int = 0
    held_out: bool = False
    card: bool = False

    def sampler(self) -> RenderSampler:
        pack, poses = AssetPack.load(self.pack), PoseLibrary.load(self.poses)
        return RenderSampler(pack.part(self.held_out), poses.part(self.held_out), self.card)

    def shard(self, sampler: RenderSampler, index: int) -> None:
        """Draw and write shard number `index`."""
        started = time.monotonic()
        rng = np.random.default_rng([self.seed, index])
        views = sampler.views(rng, SHARD)
        write_shard(self.out, self._name(index), sampler.renders(rng, views), views)
        log.info("%s: %.1f samples a second", self._name(index), SHARD / (time.monotonic() - started))

    def missing(self, count: int) -> list[int]:
        """Of the first `count` shards, those that are not there."""
        return [index for index in range(count) if not (self.out / f"{self._name(index)}.npz").exists()]

    def _name(self, index: int) -> str:
        return f"{self.seed:03}_{index:05}"


def draw(drawing: Drawing, samples: int, workers: int = 1, more: Callable[[], bool] = lambda: True) -> None:
    """Write the shards that are missing of so many samples, one after the other as long as `more` says so after each.

    workers: processes that draw side by side; with one, this process draws. Raises RuntimeError where nothing draws.
    """
    drawing.out.mkdir(parents=True, exist_ok=True)
    missing = iter(drawing.missing(-(-samples // SHARD)))
    if workers == 1:
        sampler = drawing.sampler()
        for index in missing:
            drawing.shard(sampler, index)
            if not more():
                break
        return
    # Each process has an OpenGL context and a random generator of its own; forked ones would share this one's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (drawing, log.getEffectiveLevel())) as pool:
        running = {pool.submit(_draw_shard, index) for index in islice(missing, workers)}
        while running:
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise RuntimeError("A process that draws pictures could not start or was ended.") from error
            if more():
                running |= {pool.submit(_draw_shard, index) for index in islice(missing, workers - len(running))}


_worker: tuple[Drawing, RenderSampler]


def _start_worker(drawing: Drawing, level: int) -> None:
    global _worker
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker = drawing, drawing.sampler()


def _draw_shard(index: int) -> None:
    drawing, sampler = _worker
    drawing.shard(sampler, index)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="asset pack")
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--held-out", action="store_true", help="people, places and motions that training never sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--card", action="store_true", help="draw on the first graphics card")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    drawing = Drawing(options.pack, options.poses, options.out, options.seed, options.held_out, options.card)
    draw(drawing, options.samples, options.workers)


if __name__ == "__main__":
    main()
