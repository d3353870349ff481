# SPDX-License-Identifier: GPL-3.0-or-later
"""Train keypoint fusion (`fitting/crops/keypoint_fusion.py`) on rendered people.

    python -m refit_training.train.keypoint_fusion RENDERS --seen SEEN [--weights FILE] [--samples 2048]

What both eyes see of the renders is kept in SEEN, a file for each of their shards, so that the command can be
stopped, repeated and, on several parts, run side by side. The last quarter of the people is held out; the line at the end
says how far off both eyes and their fusion are there, in crop pixels, and the share of joints within a tenth and a fifth
of the trunk.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from refit_engine.body.joints import mirrored_order
from refit_engine.body.points import LANDMARK_NAMES
from refit_engine.fitting.crops.keypoint_fusion import SHARED, WEIGHTS, KeypointFusion, directions
from refit_engine.movenet import COCO_JOINT_NAMES
from refit_engine.network.backbones.blazepose import load_blazepose
from refit_engine.network.checkpoint import load_refit
from refit_engine.network.vector_head import LANDMARK_VALUES, flat_landmarks
from safetensors.torch import save_file
from torch import Tensor

from refit_training.known import known
from refit_training.render.synthetic import RenderStore
from refit_training.shards import SHARD
from refit_training.train.features import Observer, observe

log = logging.getLogger(__name__)

ALIKE = 8.0
"""Crop pixels between the two eyes at which an observation of how far they mean apart counts a quarter."""
CLOSE = 8.0
"""Crop pixels off at which a fused joint costs half of what it costs anywhere farther off: a seventh of a trunk."""
FAR_COST = 0.02
"""What each of CLOSE more costs on top: a joint that is wrong should still be as near as it can be."""
STEPS, BATCH, RATE, DECAY = 1000, 256, 1e-2, 1e-2
_TRUNK = [(11, 24), (12, 23)]


@dataclass(frozen=True)
class Seen:
    """What both eyes see of N people in crop pixels, and what is true.

    landmarks: [N,33,3] BlazePose's; vector: [N,D] the end of its vector; peaks: [N,33] its heatmaps'; joints: [N,17,3] Thunder's, NaN where it saw
    nobody; true: [N,33,2].
    """

    landmarks: Tensor
    vector: Tensor
    peaks: Tensor
    joints: Tensor
    true: Tensor

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, index) -> Seen:
        return Seen(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def trunks(self) -> Tensor:
        """[N] pixels."""
        return torch.stack([(self.true[:, a] - self.true[:, b]).norm(dim=-1) for a, b in _TRUNK]).amax(0)


def look(renders: RenderStore, observer: Observer, folder: Path, samples: int) -> Seen:
    """What both eyes see of the first so many renders, from the folder where it is known."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for name, places in itertools.islice(renders.by_shard(), -(-samples // SHARD)):
        path = folder / f"{name}.npz"
        if not path.exists():
            crops, views = renders.gather(places)
            seen = observe(observer.backbone, crops)
            part = Seen(
                known(seen.landmarks),
                seen.vector[:, -LANDMARK_VALUES:],
                known(seen.peaks),
                observer.joints(crops, views),
                views.crop_pixels(observer.true_points(views)),
            )
            np.savez(path, **{field.name: getattr(part, field.name).numpy() for field in fields(part)})
            log.info("%s seen", name)
        with np.load(path) as arrays:
            parts.append(Seen(*(torch.from_numpy(arrays[field.name]).float() for field in fields(Seen))))
    return Seen(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Seen)))


def mirrored(seen: Seen, width: float = 256.0) -> Seen:
    """The same people in mirrored crops."""
    sides, joint_sides = mirrored_order(LANDMARK_NAMES), mirrored_order(COCO_JOINT_NAMES)
    across = torch.tensor([-1.0, 1.0])
    origin = torch.tensor([width, 0.0])

    def mirror(points: Tensor, order: list[int]) -> Tensor:
        points = points[:, order]
        return torch.cat([points[..., :2] * across + origin, points[..., 2:]], -1)

    flat = flat_landmarks(seen.vector)[:, sides]
    flat = torch.cat([-flat[..., :1], flat[..., 1:]], -1).flatten(1)
    vector = torch.cat([flat, seen.vector[:, flat.shape[1] :]], 1)  # world landmarks are not read
    landmarks, joints, true = mirror(seen.landmarks, sides), mirror(seen.joints, joint_sides), mirror(seen.true, sides)
    return Seen(landmarks, vector, seen.peaks[:, sides], joints, true)


def fit_moves(network: KeypointFusion, seen: Seen) -> None:
    """How far apart the two eyes mean each kind of joint, by least squares that count the better the more they agree."""
    bases, wanted = directions(seen.joints[..., :2]), seen.landmarks[:, SHARED, :2] - seen.joints[..., :2]
    kinds, moves = network.get_buffer("kinds").argmax(1), network.get_buffer("moves")
    for kind in range(len(moves)):
        base, want = bases[:, kinds == kind].flatten(0, 1), wanted[:, kinds == kind].flatten(0, 1)
        weight, move = torch.ones(len(base)), torch.zeros(3)
        for _ in range(10):
            weighted = base * weight[:, None, None]
            normal = torch.einsum("nik,njk->ij", weighted, base) + 1e-2 * torch.eye(3)
            move = torch.linalg.solve(normal, torch.einsum("nik,nk->i", weighted, want))
            left = (want - torch.einsum("i,nik->nk", move, base)).norm(dim=1)
            weight = (1 + (left / ALIKE).square()).pow(-2)
        moves[kind] = move


def cost(off: Tensor) -> Tensor:
    """Of joints that are so many crop pixels off: no more than one where they are wrong, and a little for how wrong."""
    square = (off / CLOSE).square()
    return square / (1 + square) + FAR_COST * off / CLOSE


def fused(network: KeypointFusion, seen: Seen) -> Tensor:
    """Fused joints [N,17,2]."""
    joints, ours = network.moved(seen.joints), seen.landmarks[:, SHARED, :2]
    share = network(seen.landmarks, seen.vector, seen.peaks, joints)[..., None]
    return ours + share * (joints[..., :2] - ours)


def train(network: KeypointFusion, seen: Seen, seed: int = 0) -> None:
    """All by `cost` of the fused joints, with mirrored people and joints whose places shake."""
    generator = torch.Generator().manual_seed(seed)
    both = [seen, mirrored(seen)]
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for step in range(STEPS):
        batch = both[step % 2][torch.randint(len(seen), (BATCH,), generator=generator)]
        off = (fused(network, batch) - batch.true[:, SHARED]).norm(dim=-1)
        loss = cost(off).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            log.info("%d: %.4f", step, loss.item())


def summary(network: KeypointFusion, seen: Seen) -> dict[str, dict[str, float]]:
    """How far off both eyes and their fusion are."""
    with torch.no_grad():
        places = {
            "blazepose": seen.landmarks[:, SHARED, :2],
            "thunder": network.moved(seen.joints)[..., :2],
            "fused": fused(network, seen),
        }
    off = {name: (place - seen.true[:, SHARED]).norm(dim=-1) for name, place in places.items()}
    off["better of both"] = torch.minimum(off["blazepose"], off["thunder"])
    trunks = seen.trunks()[:, None]
    return {
        name: {
            "median px": round(float(one.median()), 2),
            "within 0.1": round(100 * float((one < 0.1 * trunks).float().mean()), 1),
            "within 0.2": round(100 * float((one < 0.2 * trunks).float().mean()), 1),
        }
        for name, one in off.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path)
    parser.add_argument("--seen", type=Path, required=True, help="folder for what both eyes see")
    parser.add_argument("--weights", type=Path, help="whose backbone looks; default: BlazePose as it was given")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    backbone = load_refit(options.weights)[0].backbone if options.weights else load_blazepose()
    seen = look(RenderStore(options.renders), Observer(backbone), options.seen, options.samples)
    known = seen[: 3 * len(seen) // 4]
    known = known[known.joints.isfinite().all(2).all(1)]
    held_out = seen[3 * len(seen) // 4 :]
    torch.manual_seed(0)
    network = KeypointFusion()
    fit_moves(network, known)
    train(network, known)
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, options.out)
    print(json.dumps(summary(network, held_out[held_out.joints.isfinite().all(2).all(1)])))


if __name__ == "__main__":
    main()
