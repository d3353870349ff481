# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what the training's OpenGL renderer draws, and its labels, for `test_render_agreement` to compare Blender with.

    python tests/addon/record_render.py --pack pack.npz --poses poses.npz

Runs in the engine's Python with the training extra; the pack gives the skin, whose colours do not matter here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from refit_training.poses import PoseLibrary
from refit_training.render import AssetPack, PeopleRenderer, PosedPerson
from refit_training.render.appearance import Appearance
from refit_training.render.background import BackgroundSpec

REFERENCE = Path(__file__).parents[1] / "data" / "opengl_render.npz"
SIZE = 256
COUNT = 4
SUPERSAMPLE = 4


def coverage(renderer: PeopleRenderer, pack: AssetPack, vertices: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Share of each pixel that the naked body covers, [SIZE,SIZE] in 0..1: what a white backdrop loses."""
    skin = next(key for key in pack.keys("skin/") if "suit" not in key)
    looks = Appearance(skin, (0.3, 0.2, 0.1), None, 0.0, 0.0, (), (), 0.5)
    light = next(iter(pack.lights.values()))
    pictures = []
    for shade in (0, 255):
        backdrop = np.full((8, 8, 3), shade, np.uint8)
        spec = BackgroundSpec(np.eye(3, dtype=np.float32), "", backdrop, light, np.ones(3), 1.0, ground=False)
        pictures.append(renderer.draw([PosedPerson(vertices, looks)], K, spec).astype(float))
    return 1 - (pictures[1] - pictures[0]).mean(axis=-1) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--poses", type=Path, required=True)
    options = parser.parse_args()
    rng = np.random.default_rng(6)
    pack, poses = AssetPack.load(options.pack), PoseLibrary.load(options.poses)
    renderer = PeopleRenderer(pack, SIZE, SUPERSAMPLE)
    data = load_body()
    model = BodyModel(data)
    betas = rng.normal(size=(COUNT, 10)).astype(np.float32)
    rotmats = poses.rotmats()[rng.integers(len(poses), size=COUNT)]
    rotmats[:, 0] = np.diag([1.0, -1.0, -1.0]).astype(np.float32) @ rotmats[:, 0]
    transl = np.column_stack([rng.uniform(-0.3, 0.3, (COUNT, 2)), rng.uniform(2.2, 4.5, COUNT)]).astype(np.float32)
    focal = 95.0 * transl[:, 2]
    with torch.no_grad():
        parameters = [torch.from_numpy(values) for values in (betas, rotmats, transl)]
        vertices = model(*parameters).vertices.numpy()
        landmarks = (model.subset(data.landmark_ids)(*parameters[:2]) + parameters[2][:, None]).numpy()
    intrinsics = np.zeros((COUNT, 3, 3))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = SIZE / 2 - focal[:, None] * transl[:, :2] / transl[:, 2:] * 0.8
    intrinsics[:, 2, 2] = 1
    drawn = np.stack([coverage(renderer, pack, v, K) for v, K in zip(vertices, intrinsics, strict=True)])
    seen = landmarks @ intrinsics.transpose(0, 2, 1)
    np.savez_compressed(
        REFERENCE,
        betas=betas,
        rotmats=rotmats,
        transl=transl,
        K=intrinsics,
        coverage=np.round(255 * drawn).clip(0, 255).astype(np.uint8),
        landmark_ids=data.landmark_ids,
        landmarks2d=seen[..., :2] / seen[..., 2:],
    )


if __name__ == "__main__":
    main()
