# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each stage takes on this machine. Times do not depend on what the weights are, so random ones will do."""

from __future__ import annotations

import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import roma
import torch

from .body import SMPL_JOINT_NAMES, BodyModel, load_body
from .camera import Intrinsics, choose_intrinsics
from .device import choose_device, describe_device
from .fitting import FitOptions, Fitter, Models
from .fitting.models import Network
from .gravity import find_lines, find_up, with_found_focal
from .images import Photo
from .network import COMPACT, CropCamera, Estimate, ReFit, ReFitConfig
from .network.backbones.blazepose import load_blazepose
from .network.inference import prepare_for_inference
from .network.keypoints import keypoint_points
from .network.refit import PosePoints
from .overlay import draw_overlay
from .protocol import PROTOCOL_VERSION

WIDTH, HEIGHT = 1920, 1080
REPEATS = 15


class _RandomModels(Models):
    """The compact network with an untrained head."""

    def network(self, weights: Path | None, device: torch.device) -> Network:
        def build() -> Network:
            torch.manual_seed(0)
            model = ReFit(COMPACT, load_blazepose()).to(device)
            return Network(prepare_for_inference(model), "random", "bundled")

        return self._keep("network", device, build)


def bench(device_name: str = "auto", hrnet: bool = False) -> dict[str, Any]:
    """Milliseconds per stage, medians of warm runs for one person in a 1080p picture.

    worker_ready_s: process start to the answer of `initialize`. crop_to_body: all that comes after reading and
    detection, without confidence, which costs confidence_ms more; loop: its updates alone (T = 5). hrnet: the published network, as it is and as `prepare_for_inference`
    leaves it, in the same run.
    """
    device = choose_device(device_name)
    models = _RandomModels()
    fitter = Fitter(models, FitOptions(confidence=False), device_name)
    intrinsics = choose_intrinsics(WIDTH, HEIGHT)
    picture = drawn_person(intrinsics)
    photo = Photo(Path("bench"), picture)
    detect = _median(lambda: fitter.detect(photo))
    boxes = np.array([fitter.detect(photo)[0].bbox_xywh])
    crop_to_body = _median(lambda: fitter.fit(picture, boxes, intrinsics))
    fitter.seconds.clear()
    for _ in range(REPEATS):
        fitter.fit(picture, boxes, intrinsics)
    report = {
        "device": describe_device(device),
        "torch": torch.__version__,
        "worker_ready_s": round(statistics.median(_worker_start() for _ in range(3)), 2),
        "detect_ms": detect,
        "crop_to_body_ms": crop_to_body,
        "up_of_12_megapixels_ms": _up(),
        "stages_ms": {stage: round(1000 * fitter.seconds[stage] / REPEATS, 1) for stage in ("crop", "network", "body")},
        "loop_ms": _loop(fitter),
        "confidence_ms": _confidence(models, device_name, picture, boxes, intrinsics),
    }
    if hrnet:
        report["hrnet"] = _hrnet(models, device)
    return report


def drawn_person(intrinsics: Intrinsics) -> np.ndarray:
    """RGB of somebody whom the detector finds: the bundled body with its arms lowered, in an empty room."""
    body = load_body()
    rotmats = torch.eye(3).repeat(1, 24, 1, 1)
    rotmats[0, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for side, sign in (("left", -1), ("right", 1)):
        lowered = torch.tensor([0.0, 0.0, sign * 1.1])
        rotmats[0, SMPL_JOINT_NAMES.index(f"{side}_shoulder")] = roma.rotvec_to_rotmat(lowered)
    posed = BodyModel(body)(torch.zeros(1, 10), rotmats, torch.tensor([[0.0, 0.1, 4.0]]))
    room = np.full((HEIGHT, WIDTH, 3), (150, 160, 165), np.uint8)
    room[2 * HEIGHT // 3 :] = (110, 100, 90)
    return draw_overlay(room, posed.vertices.numpy(), body.faces, intrinsics.K)


def _up() -> float:
    """Lines, focal length and up of a photo of 4000x3000 with more lines than are looked at; the longest way through."""
    rng = np.random.default_rng(0)
    picture = np.full((3000, 4000, 3), 200, np.uint8)
    for start, end in rng.integers(0, (4000, 3000), (300, 2, 2)):
        cv2.line(picture, start.tolist(), end.tolist(), (40, 40, 40), 8, cv2.LINE_AA)
    intrinsics = choose_intrinsics(4000, 3000)
    standing, joints = np.eye(3)[None, None].repeat(24, axis=1), np.zeros((1, 24, 3))

    def work() -> None:
        lines = find_lines(picture, np.zeros((0, 4)), intrinsics)
        with_found_focal(intrinsics, lines, (4000, 3000))
        find_up(lines, standing, joints)

    return _median(work)


def _confidence(
    models: Models, device_name: str, picture: np.ndarray, boxes: np.ndarray, intrinsics: Intrinsics
) -> float:
    fitter = Fitter(models, FitOptions(), device_name)
    fitter.fit(picture, boxes, intrinsics)
    fitter.seconds.clear()
    for _ in range(REPEATS):
        fitter.fit(picture, boxes, intrinsics)
    return round(1000 * fitter.seconds["confidence"] / REPEATS, 1)


def _loop(fitter: Fitter) -> float:
    subject = fitter.subject()
    model = subject.network.model
    crop, camera = _crop(fitter.device)
    with torch.inference_mode():
        encoding = model.encode(crop)
        return _median(lambda: model.refine(encoding, camera, subject.points, subject.landmark_points))


def _hrnet(models: Models, device: torch.device) -> dict[str, float]:
    """The published network in turns with its prepared form, so that both meet the same weather."""
    torch.manual_seed(0)
    plain = ReFit(ReFitConfig()).to(device).eval()
    prepared = prepare_for_inference(copy.deepcopy(plain))
    body = models.body(None, "neutral", device)
    markers = keypoint_points(body.model, body.data, "markers67")
    crop, camera = _crop(device)

    def all_vertices(betas: torch.Tensor, rotmats: torch.Tensor) -> torch.Tensor:
        return body.model(betas, rotmats).vertices[:, body.data.marker_ids]

    def run(model: ReFit, points: PosePoints) -> Estimate:
        estimate = model(crop, camera, points)[-1]
        body.model(estimate.betas, estimate.rotmats(), estimate.translation(camera))
        return estimate

    times: dict[str, list[float]] = {"plain": [], "prepared": []}
    with torch.inference_mode():
        first, second = (model.encode(crop).keypoint_maps for model in (plain, prepared))
        run(plain, all_vertices)
        run(prepared, markers)
        for _ in range(REPEATS):
            times["plain"].append(_timed(lambda: run(plain, all_vertices)))
            times["prepared"].append(_timed(lambda: run(prepared, markers)))
    plain_ms, prepared_ms = (1000 * statistics.median(values) for values in times.values())
    return {
        "plain_ms": round(plain_ms, 1),
        "prepared_ms": round(prepared_ms, 1),
        "ratio": round(plain_ms / prepared_ms, 2),
        "relative_difference": float((first - second).abs().max() / first.abs().max()),
    }


def _crop(device: torch.device) -> tuple[torch.Tensor, CropCamera]:
    def tensor(*values: float) -> torch.Tensor:
        return torch.tensor([values], device=device)

    crop = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    camera = CropCamera(tensor(950.0, 550.0), tensor(960.0)[0], tensor(2203.0)[0], tensor(960.0, 540.0))
    return crop.contiguous(memory_format=torch.channels_last), camera


def _worker_start() -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "refit_engine.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        params = {"protocol_version": PROTOCOL_VERSION, "client": "bench"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        assert process.stdin and process.stdout  # both are pipes
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        took = time.perf_counter() - start
        process.stdin.close()
    return took


def _median(work: Callable[[], object]) -> float:
    """Milliseconds; the first runs, which load and allocate, do not count."""
    for _ in range(2):
        work()
    return round(1000 * statistics.median(_timed(work) for _ in range(REPEATS)), 1)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
