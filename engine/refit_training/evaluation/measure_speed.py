# SPDX-License-Identifier: GPL-3.0-or-later
"""How many people a second a device fits, and how many training pictures it draws.

    python -m refit_training.evaluation.measure_speed --device cuda --out speed.json [--pack pack.npz --poses poses.npz --workers 16]

Fitting is crop to posed mesh with the bundled weights, five updates, in float32, at batches of 1, 16 and 64. Drawing is
what `render.synthetic` does, with as many processes; it is left out without a pack.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from refit_engine.body import BodyModel, LandmarkBody, load_body
from refit_engine.device import describe_device
from refit_engine.network.checkpoint import load_refit
from refit_engine.network.geometry import CROP_SIZE, CropCamera
from refit_engine.network.inference import prepare_for_inference
from refit_engine.network.keypoints import keypoint_points

from refit_training.render.synthetic import Drawing, draw
from refit_training.shards import SHARD

BATCHES = (1, 16, 64)
ITERATIONS = 5


def people_per_second(device: torch.device, batch: int, seconds: float) -> float:
    """Crops to posed meshes a second, measured for about so long after two warm passes."""
    data = load_body()
    model = prepare_for_inference(load_refit(device=device)[0])
    body, landmarks = BodyModel(data).to(device), LandmarkBody(data).to(device)
    points = keypoint_points(body, data, model.config.keypoints)
    crops = torch.rand(batch, 3, CROP_SIZE, CROP_SIZE, device=device).contiguous(memory_format=torch.channels_last)
    zeros = torch.zeros(batch, 2, device=device)
    full = torch.full((batch,), 1.0, device=device)
    camera = CropCamera(zeros, CROP_SIZE * full, 1000 * full, zeros)

    def fit() -> None:
        last = model(crops, camera, points, landmarks, ITERATIONS)[-1]
        body(last.betas, last.rotmats())[0].sum().item()  # waits for the device

    with torch.inference_mode():
        for _ in range(2):
            fit()
        started, passes = time.monotonic(), 0
        while passes == 0 or time.monotonic() - started < seconds:
            fit()
            passes += 1
    return passes * batch / (time.monotonic() - started)


def pictures_per_second(pack: Path, poses: Path, card: bool, workers: int) -> float:
    """Training pictures drawn a second by all processes together, once each of them draws."""
    rounds = 3
    with tempfile.TemporaryDirectory() as folder:
        draw(Drawing(pack, poses, Path(folder), card=card), rounds * workers * SHARD, workers)
        written = sorted(path.stat().st_mtime for path in Path(folder).glob("*.npz"))
    return SHARD * (len(written) - 1) / (written[-1] - written[0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each batch size")
    parser.add_argument("--pack", type=Path, help="asset pack")
    parser.add_argument("--poses", type=Path, help="pose library")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    people = {str(batch): round(people_per_second(device, batch, options.seconds), 1) for batch in BATCHES}
    speeds = {"device": describe_device(device), "torch": torch.__version__, "people_per_second": people}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(options.out, speeds)
    if options.pack:
        rate = pictures_per_second(options.pack, options.poses, device.type != "cpu", options.workers)
        write(options.out, speeds | {"drawing_processes": options.workers, "pictures_per_second": round(rate, 1)})
    print(options.out.read_text(encoding="utf-8"))


def write(path: Path, speeds: Mapping[str, object]) -> None:
    path.write_text(json.dumps(speeds, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
