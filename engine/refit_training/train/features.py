# SPDX-License-Identifier: GPL-3.0-or-later
"""Photographs as a network's backbone sees them, with the detector's second opinion, kept on disk.

    python -m refit_training.train.features PHOTOGRAPHS --out FEATURES [--weights FILE] [--samples 10000]

The backbone costs ten times what the rest of a training step does: where it does not change, it sees every photograph
once. Without --weights it is BlazePose as it was given. Shards are those of PHOTOGRAPHS; those that exist are not made
again, so the command can be stopped, repeated and, on several parts, run side by side.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.detect import PersonDetector
from refit_engine.fitting.second_opinion import average_each
from refit_engine.fitting.upright import person_between
from refit_engine.network.backbones import Backbone, BackboneOutput
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import load_refit
from torch import Tensor

from refit_training.render.photographs import PhotographStore
from refit_training.shards import SHARD, Place, Shards, write_shard
from refit_training.train.views import CROP, Views

log = logging.getLogger(__name__)

CHUNK = 16


class FeatureStore(Shards):
    """Batches of backbone outputs and their views.

    dtype: of the feature maps; bfloat16 holds their 8 bits and is quicker where it is enough.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(folder)
        self.dtype = dtype

    def sample(
        self, rng: np.random.Generator, size: int, maps: bool = True, among: np.ndarray | None = None
    ) -> tuple[BackboneOutput, Views]:
        """A batch drawn from all samples, or from those numbered in `among`.

        Without `maps` the feature maps are left out: empty.
        """
        return self._gather(self.random_places(rng, size, among), maps)

    def batches(self, size: int, maps: bool = True, start: int = 0) -> Iterator[tuple[BackboneOutput, Views]]:
        """Everything once, in order, from sample `start` on."""
        places = self.places(start)
        for first in range(0, len(places), size):
            yield self._gather(places[first : first + size], maps)

    def _gather(self, places: list[Place], maps: bool) -> tuple[BackboneOutput, Views]:
        if maps:
            codes = self.array(places)
            features = codes.contiguous(memory_format=torch.channels_last).to(self.dtype)
            features = features.mul_(self.label("scale", places)[:, :, None, None].to(self.dtype))
        else:
            features = torch.zeros(len(places), self._shards[0][0].shape[1], 2, 2)
        vector, landmarks, local = (self.label(name, places) for name in ("vector", "landmarks", "local"))
        seen = BackboneOutput(features, vector, landmarks, local=local)
        return seen, self.views(places)


def write_features(folder: Path, name: str, seen: BackboneOutput, views: Views) -> None:
    """Maps as int8 with one scale per sample and channel, the rest as it is."""
    features = seen.features.float()
    scale = features.abs().amax((2, 3)).clamp(min=1e-6) / 127
    codes = (features / scale[:, :, None, None]).round().to(torch.int8)
    write_shard(
        folder,
        name,
        codes.contiguous().numpy(),
        views,
        scale=scale.numpy(),
        vector=seen.vector.numpy().astype(np.float16),
        landmarks=seen.landmarks.numpy(),
        local=seen.local.numpy().astype(np.float16),
    )


def observe(backbone: Backbone, crops: Tensor) -> BackboneOutput:
    """What a backbone says of crops [N,3,256,256], a few at a time. In bfloat16 the world landmarks would be 6 cm off."""
    device = next(backbone.parameters()).device
    with torch.no_grad():
        seen = [
            backbone(chunk.contiguous(memory_format=torch.channels_last).to(device)) for chunk in crops.split(CHUNK)
        ]
    return BackboneOutput(*(None if parts[0] is None else torch.cat(parts).cpu() for parts in zip(*seen)))


class Observer:
    """A backbone and the person detector beside it, which look at people as `fitting.job` does."""

    def __init__(self, backbone: Backbone, detector: PersonDetector | None = None) -> None:
        self.backbone, self._detector = backbone, detector or PersonDetector()
        self._landmarks = LandmarkBody(load_body())

    def look(self, crops: Tensor, views: Views) -> BackboneOutput:
        """What both see of crops [N,3,256,256]: the landmarks are averaged with the joints that the detector finds."""
        seen = observe(self.backbone, crops)
        true = views.crop_pixels(views.placed(self._landmarks)).clamp(0, CROP)
        images = (crops.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        people = [
            person_between(self._detector.detect(image), low, high)
            for image, low, high in zip(images, true.amin(1).numpy(), true.amax(1).numpy())
        ]
        joints = [None if person is None else person.joints for person in people]
        return seen._replace(landmarks=average_each(seen.landmarks, joints))


def observed(backbone: Backbone, photographs: PhotographStore, size: int) -> Iterator[tuple[BackboneOutput, Views]]:
    """All photographs in order, `size` at a time, as a backbone and the detector see them."""
    observer = Observer(backbone)
    for crops, views in photographs.batches(size):
        yield observer.look(crops, views), views


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--weights", type=Path, help="whose backbone looks")
    parser.add_argument("--samples", type=int, help="only so many")
    parser.add_argument("--device", default="cpu", help="where backbone and detector run: cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    device = torch.device(options.device)
    backbone = load_refit(options.weights, device)[0].backbone if options.weights else load_blazepose(device)
    photographs = PhotographStore(options.photographs)
    observer = Observer(backbone, PersonDetector(device))
    shards = itertools.islice(photographs.shards(), options.samples and -(-options.samples // SHARD))
    for name, crops, views in shards:
        if (options.out / f"{name}.npz").exists():
            continue
        started = time.monotonic()
        write_features(options.out, name, observer.look(crops, views), views)
        log.info("%s: %.1f samples a second", name, SHARD / (time.monotonic() - started))


if __name__ == "__main__":
    main()
