# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic people as the frozen backbone sees them, kept on disk.

    python -m refit_engine.training.features --pack pack.npz --poses poses.npz --out FEATURES --samples 50000

The backbone costs ten times what the rest of a training step does and never changes, so it sees every image once.
A folder of shards; a shard that exists is not made again, so the command can be stopped, repeated and run side by
side with another one that has another --seed.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refit_engine.body import BodyModel, load_body
from refit_engine.network.backbones import BackboneOutput
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.training.poses import PoseLibrary
from refit_engine.training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background
from refit_engine.training.views import Views, sample_views

log = logging.getLogger(__name__)

SHARD = 256
CHUNK = 16


class FeatureStore:
    """Random batches from a folder of shards; new shards are found as they are written.

    dtype: of the feature maps; bfloat16 holds their 8 bits and is quicker where it is enough.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.folder, self.dtype = folder, dtype
        self._shards: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
        self._known: set[str] = set()
        self.refresh()

    def __len__(self) -> int:
        return SHARD * len(self._shards)

    def refresh(self) -> None:
        """Take in the shards written since the last look."""
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in self._known:
                with np.load(path) as arrays:
                    labels = dict(arrays)
                self._shards.append((np.load(path.with_suffix(".npy"), mmap_mode="r"), labels))
                self._known.add(path.name)

    def sample(
        self, rng: np.random.Generator, size: int, maps: bool = True, among: np.ndarray | None = None
    ) -> tuple[BackboneOutput, Views]:
        """A batch drawn from all samples, or from those numbered in `among`.

        Without `maps` the feature maps are left out: empty.
        """
        numbers = rng.integers(len(self), size=size) if among is None else rng.choice(among, size)
        return self._gather([divmod(int(number), SHARD) for number in numbers], maps)

    def batches(self, size: int, maps: bool = True, start: int = 0) -> Iterator[tuple[BackboneOutput, Views]]:
        """Everything once, in order, from sample `start` on."""
        places = [(shard, row) for shard in range(len(self._shards)) for row in range(SHARD)]
        for first in range(start, len(places), size):
            yield self._gather(places[first : first + size], maps)

    def _gather(self, places: list[tuple[int, int]], maps: bool) -> tuple[BackboneOutput, Views]:
        def labels(name: str) -> Tensor:
            return torch.from_numpy(np.stack([self._shards[s][1][name][r] for s, r in places])).float()

        if maps:
            codes = torch.from_numpy(np.stack([self._shards[s][0][r] for s, r in places]))
            features = codes.contiguous(memory_format=torch.channels_last).to(self.dtype)
            features = features.mul_(labels("scale")[:, :, None, None].to(self.dtype))
        else:
            features = torch.zeros(len(places), self._shards[0][0].shape[1], 2, 2)
        seen = BackboneOutput(features, labels("vector"), labels("landmarks"))
        return seen, Views(**{field.name: labels(field.name) for field in fields(Views)})


def write_shard(folder: Path, name: str, outputs: list[BackboneOutput], views: Views) -> None:
    """Maps as int8 with one scale per sample and channel, the rest as it is; labels last, as they mark the shard as whole."""
    features = torch.cat([output.features for output in outputs]).float()
    scale = features.abs().amax((2, 3)).clamp(min=1e-6) / 127
    codes = (features / scale[:, :, None, None]).round().to(torch.int8)
    np.save(folder / f"{name}.npy", codes.contiguous().numpy())
    labels = {field.name: getattr(views, field.name).numpy() for field in fields(Views)}
    labels["scale"] = scale.numpy()
    labels["vector"] = torch.cat([output.vector for output in outputs]).numpy().astype(np.float16)
    labels["landmarks"] = torch.cat([output.landmarks for output in outputs]).numpy()
    with open(folder / f"{name}.part", "wb") as file:
        np.savez(file, **labels)
    os.replace(folder / f"{name}.part", folder / f"{name}.npz")


class Photographer:
    """Random photographs of random people, with what is true of them."""

    def __init__(self, pack: AssetPack, poses: PoseLibrary) -> None:
        self.pack, self.poses = pack, poses
        self.body = load_body()
        self.model = BodyModel(self.body)
        self.renderer = PeopleRenderer(pack)

    def views(self, rng: np.random.Generator, count: int) -> Views:
        return sample_views(rng, self.poses.sample(rng, count), self.body)

    def photographs(self, rng: np.random.Generator, views: Views) -> np.ndarray:
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="asset pack")
    parser.add_argument("--poses", type=Path, required=True, help="pose library")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--held-out", action="store_true", help="people, places and motions that training never sees")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where the backbone runs: cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    pack, poses = AssetPack.load(options.pack), PoseLibrary.load(options.poses)
    photographer = Photographer(pack.part(options.held_out), poses.part(options.held_out))
    backbone = load_blazepose("heavy", device=options.device)
    for index in range(-(-options.samples // SHARD)):
        name = f"{options.seed:03}_{index:05}"
        if (options.out / f"{name}.npz").exists():
            continue
        started = time.monotonic()
        rng = np.random.default_rng([options.seed, index])
        views = photographer.views(rng, SHARD)
        outputs = []
        for start in range(0, SHARD, CHUNK):
            images = torch.from_numpy(photographer.photographs(rng, views[start : start + CHUNK]))
            crops = (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)
            # In bfloat16, half as slow, the world landmarks would be 6 cm off.
            with torch.inference_mode():
                seen = backbone(crops.to(options.device))
                outputs.append(BackboneOutput(*(None if part is None else part.cpu() for part in seen)))
        write_shard(options.out, name, outputs, views)
        log.info("%s: %.1f samples a second", name, SHARD / (time.monotonic() - started))


if __name__ == "__main__":
    main()
