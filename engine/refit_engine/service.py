# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol's methods. Imports torch only when the client has said hello."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .errors import ImageError, NoPersonFound, RefitError
from .protocol import PROTOCOL_VERSION, Params, ProtocolMismatch

if TYPE_CHECKING:
    from .fitting import FitOptions, ImageRequest, Models
    from .worker import Job

log = logging.getLogger(__name__)

MAX_ITERATIONS = 100


class EngineService:
    """Serves jobs one after another; networks stay loaded between them."""

    def __init__(self, models: Models | None = None) -> None:
        self._kept_models = models

    def methods(self) -> dict[str, Callable[[dict[str, Any], Job], Any]]:
        return {"initialize": self.initialize, "detect": self.detect, "reconstruct": self.reconstruct}

    def initialize(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Who we are and what we run on. Raises ProtocolMismatch."""
        version = params.get("protocol_version")
        if version != PROTOCOL_VERSION:
            raise ProtocolMismatch(
                f"The add-on speaks version {version} of the protocol and the engine {__version__} version "
                f"{PROTOCOL_VERSION}: install the engine that came with the add-on."
            )
        import torch

        from .body import BUNDLED_BODY
        from .device import available_devices, choose_device, describe_device
        from .network.checkpoint import BUNDLED_WEIGHTS

        device = choose_device()
        return {
            "protocol_version": PROTOCOL_VERSION,
            "engine_version": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": device.type,
            "device_name": describe_device(device),
            "devices": available_devices(),
            "body_file": str(BUNDLED_BODY),
            "weights": BUNDLED_WEIGHTS.stem,
        }

    def detect(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """People of one picture, boxes in its upright pixels. Nobody is an empty list, no error."""
        from .fitting import FitOptions, Fitter
        from .images import read_photo

        values = Params(params)
        path = Path(values.string("image"))
        options = FitOptions(people=values.choice("people", ("all", "largest")))
        values.done()
        photo = read_photo(path).upright()
        job.progress("detect", 0, 1, path.name)
        found = Fitter(self._models(), options).detect(photo)
        people = [{"bbox_xywh": [float(v) for v in one.bbox_xywh], "score": float(one.score)} for one in found]
        return {"image_size": list(photo.size), "people": people}

    def reconstruct(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Fit people in pictures and write the results into the job's folder.

        A single picture that fails is the job's failure; of several, those that fail are left out and named.
        """
        from .fitting import Fitter
        from .fitting.output import write_output

        start = time.perf_counter()
        requests, options, device, overlay, folder = _reconstruct_params(params)
        count = len(requests)
        position = 0

        def step(stage: str) -> None:
            job.progress(stage, position, count, requests[position].image.name)

        step("load")
        fitter = Fitter(self._models(), options, device, step)
        results: list[dict[str, Any]] = []
        failures: list[RefitError] = []
        for position, request in enumerate(requests):
            try:
                result, photo = fitter.reconstruct(request)
            except (ImageError, NoPersonFound) as error:
                failures.append(error)
                continue
            step("write")
            faces = fitter.subject().result_body.data.faces
            output = write_output(folder / f"{position:04d}", result, photo, faces, overlay)
            results.append(
                {
                    "image": str(output.image),
                    "npz": str(output.npz),
                    "overlay": str(output.overlay) if output.overlay else None,
                    "people": output.people,
                }
            )
        if not results:
            raise failures[0]
        job.progress("done", count, count)
        return {
            "results": results,
            "body_file": fitter.subject().result_body.file,
            "device": fitter.device.type,
            "seconds": {**fitter.seconds, "total": time.perf_counter() - start},
            "messages": [*fitter.messages, *(str(error) for error in failures)],
        }

    def _models(self) -> Models:
        if self._kept_models is None:
            from .fitting import Models

            self._kept_models = Models()
        return self._kept_models


def _reconstruct_params(params: dict[str, Any]) -> tuple[list[ImageRequest], FitOptions, str, bool, Path]:
    from .device import DEVICE_NAMES
    from .fitting import FitOptions, ImageRequest

    values = Params(params)
    requests = []
    for item in values.objects("images"):
        image = Path(item.string("image"))
        boxes = item.optional_rows("bboxes_xywh", columns=4)
        K = item.optional_rows("K", columns=3, rows=3)
        focal = item.optional_number("focal")
        item.done()
        requests.append(
            ImageRequest(
                image,
                boxes_xywh=np.array(boxes) if boxes is not None else None,
                K=np.array(K) if K is not None else None,
                focal=focal,
            )
        )
    body, weights, betas = values.optional_string("body"), values.optional_string("weights"), None
    if (numbers := values.optional_numbers("betas", 10)) is not None:
        betas = np.array(numbers, dtype=np.float32)
    options = FitOptions(
        people=values.choice("people", ("all", "largest")),
        body=Path(body) if body else None,
        gender=values.choice("gender", ("neutral", "male", "female")),
        weights=Path(weights) if weights else None,
        betas=betas,
        iterations=values.integer("iterations", 5, 0, MAX_ITERATIONS),
        confidence=values.boolean("confidence", True),
    )
    device = values.choice("device", DEVICE_NAMES)
    overlay = values.boolean("overlay", False)
    folder = Path(values.string("job_folder"))
    values.done()
    return requests, options, device, overlay, folder
