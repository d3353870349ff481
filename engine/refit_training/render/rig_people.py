# SPDX-License-Identifier: GPL-3.0-or-later
"""People and panoramas for scenes that Blender renders, in files that need nothing but numpy to read.

    python -m refit_training.render.rig_people --pack pack.npz --poses poses.npz --out RIG --count 48 --seed 0

Poses, clothes, skins and panoramas are those that are kept from training. The second of three steps is `tests/rig/render.py`, which puts them before Blender's cameras; the third is `measure_rig`.

RIG/people/000.npz: what is true (betas [10], rotmats [24,3,3], transl [3], joints [24,3], vertices [V,3]; metres, a
world with Z up) and the dressed mesh (`parts`, a JSON list, with arrays vertices_0, faces_0, uv_0 ...).
RIG/textures/*.png, RIG/panoramas/*.hdr, and RIG/panoramas.json: how bright each is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from refit_engine.body import BodyModel, load_body
from tqdm import tqdm

from refit_training.poses import PoseLibrary
from refit_training.render import AssetPack, random_appearance

from .dress import Part, dress
from .pack import decode_image
from .panorama import decode_radiance

Y_UP_TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
SPREAD = 0.4
"""Metres from the middle of the stage at which people stand."""


def random_bodies(rng: np.random.Generator, poses: PoseLibrary, count: int) -> dict[str, np.ndarray]:
    """Captured poses, any heading, on the ground Z = 0 near the origin: betas, rotmats, transl, joints, vertices."""
    rotmats = poses.rotmats()[rng.integers(len(poses), size=count)].astype(np.float64)
    heading = rng.uniform(0, 2 * np.pi, count)
    turn = np.zeros((count, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(heading)
    turn[:, 1, 0] = np.sin(heading)
    turn[:, 0, 1] = -turn[:, 1, 0]
    turn[:, 2, 2] = 1
    rotmats[:, 0] = turn @ Y_UP_TO_Z_UP @ rotmats[:, 0]
    betas = np.clip(rng.normal(size=(count, 10)), -2, 2)
    with torch.no_grad():
        model = BodyModel(load_body()).double()
        posed = model(torch.from_numpy(betas), torch.from_numpy(rotmats))
    joints, vertices = posed.joints.numpy(), posed.vertices.numpy()
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    transl = -np.concatenate([(low[:, :2] + high[:, :2]) / 2, low[:, 2:]], axis=1)
    transl[:, :2] += rng.uniform(-SPREAD, SPREAD, (count, 2))
    return {
        "betas": betas,
        "rotmats": rotmats,
        "transl": transl,
        "joints": joints + transl[:, None],
        "vertices": vertices + transl[:, None],
    }


def write_people(out: Path, pack: AssetPack, poses: PoseLibrary, count: int, seed: int) -> None:
    """Fill the folder RIG as the module says."""
    rng = np.random.default_rng(seed)
    for folder in ("people", "textures", "panoramas"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    bodies = random_bodies(rng, poses, count)
    textures: dict[str, str] = {}
    for index in tqdm(range(count), unit="person"):
        parts = dress(pack, bodies["vertices"][index], random_appearance(rng, pack))
        for key in {part.texture for part in parts if part.texture} - textures.keys():
            textures[key] = _write_picture(out / "textures", key, decode_image(pack.images[key]))
        # Any, since NumPy's stub takes each name for that of an option, too.
        truth: dict[str, Any] = {name: values[index] for name, values in bodies.items()}
        np.savez_compressed(out / "people" / f"{index:03d}.npz", **truth, **_mesh_arrays(parts, textures))
    panoramas = []
    for key in pack.keys("panorama/"):
        light = pack.lights[key]
        file = out / "panoramas" / f"{Path(key).name}.hdr"
        radiance = decode_radiance(decode_image(pack.images[key]))
        cv2.imwrite(str(file), cv2.cvtColor(radiance.astype(np.float32), cv2.COLOR_RGB2BGR))
        brightness = float(light.sh[0].mean() * 0.282095 + 0.4 * light.sun_color.mean())
        panoramas.append({"file": f"panoramas/{file.name}", "brightness": brightness})
    (out / "panoramas.json").write_text(json.dumps(panoramas, indent=1))


def _write_picture(folder: Path, key: str, image: np.ndarray) -> str:
    name = key.replace("/", "_") + ".png"
    code = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    cv2.imwrite(str(folder / name), cv2.cvtColor(image, code))
    return f"textures/{name}"


def _mesh_arrays(parts: Sequence[Part], textures: dict[str, str]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    table = []
    for number, part in enumerate(parts):
        used, faces = np.unique(part.faces, return_inverse=True)
        arrays[f"vertices_{number}"] = part.vertices[used].astype(np.float32)
        arrays[f"uv_{number}"] = part.uv[used].astype(np.float32)
        arrays[f"faces_{number}"] = faces.reshape(-1, 3).astype(np.int32)
        texture = textures[part.texture] if part.texture else None
        table.append({"material": part.material, "color": [float(c) for c in part.color], "texture": texture})
    return arrays | {"parts": np.array(json.dumps(table))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=48, help="people; every scene takes two")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pack, poses = AssetPack.load(options.pack), PoseLibrary.load(options.poses)
    write_people(options.out, pack.part(held_out=True), poses.part(held_out=True), options.count, options.seed)


if __name__ == "__main__":
    main()
