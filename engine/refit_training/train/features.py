# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic renders as a network's backbone sees them, with Thunder's joints, kept on disk.

    python -m refit_training.train.features RENDERS --out FEATURES [--weights FILE] [--samples 10000]

The backbone costs ten times what the rest of a training step does: where it does not change, it sees every render
once. Without --weights it is BlazePose as it was given. Shards are those of RENDERS; those that exist are not made
again, so the command can be stopped, repeated and, on several parts, run side by side.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import LandmarkBody, load_body
from refit_engine.camera import Intrinsics
from refit_engine.fitting.boxes import MIN_BOX_SIDE
from refit_engine.fitting.crops.keypoint_fusion import fuse
from refit_engine.fitting.crops.refinement import CropSource
from refit_engine.fitting.crops.upright import align_upright
from refit_engine.movenet import JOINTS
from refit_engine.network.backbones import Backbone, BackboneOutput
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import load_refit
from refit_engine.thunder import ThunderKeypoints
from torch import Tensor

from refit_training.known import known
from refit_training.render.synthetic import RenderStore
from refit_training.shards import SHARD, Place, Shards, write_shard
from refit_training.train.views import CROP, Views

log = logging.getLogger(__name__)

CHUNK, CARD_CHUNK = 16, 128
"""Crops that the backbone sees at once; on a graphics card."""
STEEP = 0.3
"""Length of the world's up in the picture (1 for a level camera) below which a photo is not known to be level."""
LEVEL_DEGREES, BOX_MOVED, BOX_WIDER, BOX_SIZES = 3.0, 0.04, 0.05, 0.1
"""By how much photos are not level, and boxes are beside the landmarks and larger than them, in shares of them: like a person detector's."""


class FeatureStore(Shards):
    """Batches of backbone outputs and their views.

    dtype: of the feature maps; bfloat16 holds their 8 bits and is quicker where it is enough.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> None:
        super().__init__(folder, device)
        self.dtype = dtype

    def prepared(self, labels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With the landmarks that a fit goes on with: the backbone's, fused with the joints that Thunder sees."""
        parts = [torch.from_numpy(labels[name]).float() for name in ("landmarks", "vector", "peaks", "joints")]
        del labels["peaks"], labels["joints"]
        return labels | {"landmarks": fuse(*parts).numpy()}

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
            features = torch.zeros(len(places), self._shards[0][0].shape[1], 2, 2, device=self.device)
        vector, landmarks, local = (self.label(name, places) for name in ("vector", "landmarks", "local"))
        seen = BackboneOutput(features, vector, landmarks, local=local)
        return seen, self.views(places)


def write_features(folder: Path, name: str, seen: BackboneOutput, joints: Tensor, views: Views) -> None:
    """Maps as int8 with one scale per sample and channel, the rest as it is.

    joints: [N,17,3] as Thunder sees them, NaN where it sees nobody.
    """
    features = seen.features.float()
    scale = features.abs().amax((2, 3)).clamp(min=1e-6) / 127
    codes = (features / scale[:, :, None, None]).round().to(torch.int8)
    write_shard(
        folder,
        name,
        codes.contiguous().cpu().numpy(),
        views,
        scale=scale.cpu().numpy(),
        vector=seen.vector.half().cpu().numpy(),
        landmarks=known(seen.landmarks).cpu().numpy(),
        local=known(seen.local).half().cpu().numpy(),
        peaks=known(seen.peaks).half().cpu().numpy(),
        joints=joints.numpy().astype(np.float32),
    )


def observe(backbone: Backbone, crops: Tensor) -> BackboneOutput:
    """What a backbone says of crops [N,3,256,256], a few at a time. In bfloat16 the world landmarks would be 6 cm off."""
    device = next(backbone.parameters()).device
    chunks = crops.split(CHUNK if device.type == "cpu" else CARD_CHUNK)
    with torch.no_grad():
        seen = [backbone(chunk.contiguous(memory_format=torch.channels_last).to(device)) for chunk in chunks]
    return BackboneOutput._make(None if parts[0] is None else torch.cat(parts) for parts in zip(*seen, strict=True))


class Observer:
    """A backbone and Thunder beside it, which look at people as `fitting.job` does."""

    def __init__(self, backbone: Backbone, eye: ThunderKeypoints | None = None) -> None:
        self.backbone, self._eye = backbone, eye or ThunderKeypoints()
        self._landmarks = LandmarkBody(load_body()).to(next(backbone.parameters()).device)
        self._rng = np.random.default_rng(0)

    def look(self, crops: Tensor, views: Views) -> tuple[BackboneOutput, Tensor]:
        """What both see of crops [N,3,256,256]: the backbone's outputs and the other's `joints`."""
        return observe(self.backbone, crops), self.joints(crops, views)

    def joints(self, crops: Tensor, views: Views) -> Tensor:
        """What Thunder sees [N,17,3] in crop pixels, NaN where nobody: in level crops, as photos are, around boxes
        that are as exact as a detector's."""
        true = views.crop_pixels(self.true_points(views)).clamp(0, CROP).cpu().numpy()
        images = (crops.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
        up = views.camera_from_world[:, :2, 1].cpu().numpy()
        seen = np.full((len(crops), JOINTS, 3), np.nan, np.float32)
        for row, (image, points, K) in enumerate(zip(images, true, views.intrinsics().cpu().numpy(), strict=True)):
            # Where the camera looks up or down steeply, a photo has no upright.
            roll = np.arctan2(-up[row, 0], -up[row, 1]) if np.linalg.norm(up[row]) > STEEP else 0.0
            roll += np.radians(self._rng.normal(0, LEVEL_DEGREES))
            size = np.ptp(points, axis=0)
            middle = points.min(axis=0) + size / 2 + BOX_MOVED * size.max() * self._rng.normal(size=2)
            size = np.maximum(size * (1 + BOX_WIDER + BOX_SIZES * self._rng.normal(size=2)), MIN_BOX_SIDE)
            source = CropSource(image, np.concatenate([middle - size / 2, size]), Intrinsics(K, "scene"), roll)
            found = align_upright(image, source.crop(), source.box_xywh, source.intrinsics, self._eye).joints
            if found is not None:
                seen[row] = found
        return torch.from_numpy(seen)

    def true_points(self, views: Views) -> Tensor:
        """Where the landmarks of the people truly are, [N,33,3] metres in the camera's frame."""
        return views.placed(self._landmarks)


def observed(backbone: Backbone, renders: RenderStore, size: int) -> Iterator[tuple[BackboneOutput, Views]]:
    """All renders in order, `size` at a time, as a backbone and Thunder see them."""
    observer = Observer(backbone)
    for crops, views in renders.batches(size):
        seen, joints = observer.look(crops, views)
        yield seen._replace(landmarks=fuse(known(seen.landmarks), seen.vector, known(seen.peaks), joints)), views


def store_features(
    renders: Path,
    out: Path,
    weights: Path | None = None,
    samples: int | None = None,
    device: torch.device | str = "cpu",
    more: Callable[[], bool] = lambda: True,
) -> None:
    """Write the shards that are missing in `out`, one after the other as long as `more` says so after each.

    weights: whose backbone looks; None for BlazePose as it was given. samples: only of so many renders.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(device)
    backbone = load_refit(weights, device)[0].backbone if weights else load_blazepose(device)
    store, observer = RenderStore(renders, device), Observer(backbone, ThunderKeypoints(device))
    for name, places in itertools.islice(store.by_shard(), samples and -(-samples // SHARD)):
        if (out / f"{name}.npz").exists():
            continue
        started = time.monotonic()
        crops, views = store.gather(places)
        write_features(out, name, *observer.look(crops, views), views.to(torch.device("cpu")))
        log.info("%s: %.1f samples a second", name, SHARD / (time.monotonic() - started))
        if not more():
            break


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--weights", type=Path, help="whose backbone looks")
    parser.add_argument("--samples", type=int, help="only so many")
    parser.add_argument("--device", default="cpu", help="where backbone and Thunder run: cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    store_features(options.renders, options.out, options.weights, options.samples, options.device)


if __name__ == "__main__":
    main()
