# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol's methods. Imports torch only when the client has said hello."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .errors import ImageError, NoPersonFound, RefitError
from .job_params import detect_params, reconstruct_params, shape_params, views_params
from .packages import check_packages
from .protocol import INVALID_PARAMS, PROTOCOL_VERSION, ProtocolError, ProtocolMismatch

if TYPE_CHECKING:
    from .fitting import Models
    from .job import Job
    from .multiview_results import MultiViewResult

log = logging.getLogger(__name__)


class EngineService:
    """Serves jobs one after another; networks stay loaded between them."""

    def __init__(self, models: Models | None = None) -> None:
        self._kept_models = models

    def methods(self) -> dict[str, Callable[[dict[str, Any], Job], Any]]:
        return {
            "initialize": self.initialize,
            "detect": self.detect,
            "reconstruct": self.reconstruct,
            "fit_views": self.fit_views,
            "fit_shape": self.fit_shape,
            "track": self.track,
            "feature_maps": self.feature_maps,
        }

    def initialize(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Who we are and what we run on. Raises ProtocolMismatch, PackageMissing."""
        version = params.get("protocol_version")
        if version != PROTOCOL_VERSION:
            raise ProtocolMismatch(
                f"The add-on speaks version {version} of the protocol and the engine {__version__} version "
                f"{PROTOCOL_VERSION}: install the engine that came with the add-on."
            )
        check_packages()
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

        path, people = detect_params(params)
        photo = read_photo(path).upright()
        job.progress("detect", 0, 1, path.name)
        found = Fitter(self._models(), FitOptions(people=people)).detect(photo)
        boxes = [{"bbox_xywh": [float(v) for v in one.bbox_xywh], "score": float(one.score)} for one in found]
        return {"image_size": list(photo.size), "people": boxes}

    def reconstruct(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Fit people in pictures and write the results into the job's folder.

        A single picture that fails is the job's failure; of several, those that fail are left out and named.
        """
        from .fitting import Fitter
        from .fitting.output import write_output

        start = time.perf_counter()
        requests, options, device, overlay, folder = reconstruct_params(params)
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
            body = fitter.subject().result_body.data
            output = write_output(folder / f"{position:04d}", result, photo, body, overlay)
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

    def fit_views(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Fit the people of one instant, seen by calibrated cameras, and write the result into the job's folder."""
        from .fitting import ViewFitter
        from .fitting.output import write_views_output

        start = time.perf_counter()
        requests, options, device, overlay, folder = views_params(params)
        steps = len(requests) + 2  # pictures, the fit, the files
        done = 0

        def step(stage: str) -> None:
            nonlocal done
            name = requests[done].name if stage == "detect" else ""
            job.progress(stage, done if stage == "detect" else len(requests), steps, name)
            done += stage == "detect"

        job.progress("load", 0, steps)
        fitter = ViewFitter(self._models(), options, device, step)
        result, views = fitter.reconstruct(requests)
        job.progress("write", steps - 1, steps)
        output = write_views_output(folder, result, views, fitter.subject().result_body.data, overlay)
        job.progress("done", steps, steps)
        return {
            "npz": str(output.npz),
            "people": result.people,
            "views": [
                {
                    "name": name,
                    "overlay": str(output.overlays[number]) if overlay else None,
                    "people": [_in_view(result, person, number) for person in range(result.people)],
                }
                for number, name in enumerate(result.view_names)
            ],
            "body_file": result.body_file,
            "device": fitter.device.type,
            "seconds": {**fitter.seconds, "total": time.perf_counter() - start},
            "messages": fitter.messages,
        }

    def fit_shape(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """One person's shape from several pictures, or the mean of known shapes (`shapes`)."""
        from .fitting.shape import ShapeFitter, mean_shape

        start = time.perf_counter()
        requests, shapes, options, device = shape_params(params)
        count = len(requests)
        done = 0

        def step(stage: str) -> None:
            nonlocal done
            done += stage == "detect"
            job.progress(stage, max(done - 1, 0), count, requests[max(done - 1, 0)].image.name)

        fitter = ShapeFitter(self._models(), options, device, step)
        shape = fitter.fit_shape(requests) if shapes is None else fitter.of_height(mean_shape(shapes))
        job.progress("done", count, count)
        body = fitter.subject().result_body
        return {
            "betas": [float(value) for value in shape.betas],
            "frames": [
                {
                    "image": str(requests[number].image) if requests else None,
                    "used": frame.used,
                    "reason": frame.reason,
                    "weight": frame.weight,
                    "betas": None if frame.betas is None else [float(value) for value in frame.betas],
                }
                for number, frame in enumerate(shape.frames)
            ],
            "body_file": body.file,
            "body_name": body.data.name,
            "device": fitter.device.type,
            "seconds": {**fitter.seconds, "total": time.perf_counter() - start},
            "messages": fitter.messages,
        }

    def feature_maps(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Draw the keypoint maps of one picture's largest person into the job's folder."""
        from .fitting.feature_maps import MapFitter
        from .fitting.output import write_maps

        start = time.perf_counter()
        requests, options, device, _, folder = reconstruct_params(params)
        if len(requests) > 1:
            raise ProtocolError(INVALID_PARAMS, "Keypoint maps are drawn of one picture.")
        (request,) = requests
        stages = ("load", "detect", "fit", "write")

        def step(stage: str) -> None:
            job.progress(stage, stages.index(stage), len(stages), request.image.name)

        step("load")
        fitter = MapFitter(self._models(), options, device, step)
        maps = fitter.feature_maps(request)
        step("write")
        sheet = write_maps(folder, maps, tiles=False)
        job.progress("done", len(stages), len(stages))
        return {
            "sheet": str(sheet),
            "keypoints": len(maps.names),
            "device": fitter.device.type,
            "seconds": {**fitter.seconds, "total": time.perf_counter() - start},
            "messages": fitter.messages,
        }

    def track(self, params: dict[str, Any], job: Job) -> dict[str, Any]:
        """Fit moving bodies to the people of a video, or of several with calibrated cameras; motion.npz in the job's folder."""
        from .fitting.motion import MotionFitter
        from .fitting.motion.output import write_motion_output
        from .motion_params import track_params

        start = time.perf_counter()
        request, options, device, overlay, folder, cache = track_params(params)
        job.progress("load", 0, 1)
        fitter = MotionFitter(self._models(), options, device, job.progress, cache)
        result, views = fitter.track(request)
        body = fitter.subject().result_body
        output = write_motion_output(
            folder, result, views, body, overlay, lambda done, total: job.progress("draw", done, total)
        )
        job.progress("done", 1, 1)
        return {
            "npz": str(output.npz),
            "overlays": [str(path) for path in output.overlays],
            "people": result.people,
            "frames": len(result.times),
            "body_file": result.body_file,
            "device": fitter.device.type,
            "seconds": {**fitter.seconds, "total": time.perf_counter() - start},
            "messages": fitter.messages,
        }

    def _models(self) -> Models:
        if self._kept_models is None:
            from .fitting import Models

            self._kept_models = Models()
        return self._kept_models


def _in_view(result: MultiViewResult, person: int, view: int) -> dict[str, Any]:
    """What a camera had to say about a person."""
    error = float(result.reprojection_errors[person, view])
    return {
        "used": bool(result.used[person, view]),
        "reason": str(result.reasons[person, view]),
        "reprojection_error_px": error if np.isfinite(error) else None,
        "weight": float(result.weights[person, view]),
    }
