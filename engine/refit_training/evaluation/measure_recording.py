# SPDX-License-Identifier: GPL-3.0-or-later
"""How near bodies from one picture come to what other cameras see, on recordings of real people.

    python -m refit_training.evaluation.measure_recording VIEWS.json [VIEWS.json …] [--weights FILE] [--every 8]
        [--known-height]

VIEWS.json is as `refit-engine fit-views` takes it, with videos that were taken together for images. In every such instant each
person whom three cameras or more have found is fitted by each of these alone, and by the others together (the bundled weights,
T = 10): nobody knows the truth, but that is nearer to it, and this camera has no part in it. Prints, per number of updates,
means and medians over people and cameras of MPJPE (24 joints, pelvis aligned), PA-MPJPE (similarity aligned), and the
error of the pelvis' distance from the camera, millimetres. With `--known-height` each camera is told how tall the
others find the person.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from refit_engine.errors import NoPersonFound
from refit_engine.fitting.height import standing_height
from refit_engine.fitting.job import FitJob
from refit_engine.fitting.models import FitOptions, Models
from refit_engine.fitting.multiview import fit_person
from refit_engine.fitting.view_fitter import ViewFitter
from refit_engine.fitting.views import View, ViewRequest
from refit_engine.job_params import read_views
from tqdm import tqdm

from .metrics import mpjpe, pa_mpjpe

ENOUGH = 3
"""Cameras that have to see a person, so that two are left to say where the joints are."""


def instants(requests: Sequence[ViewRequest], every: int, folder: Path) -> Iterator[list[ViewRequest]]:
    """Every so many frames of all videos, as pictures of the size that K belongs to in the folder, until one video ends.

    Raises OSError.
    """
    videos = [cv2.VideoCapture(str(request.image)) for request in requests]
    for video, request in zip(videos, requests):
        if not video.isOpened():
            raise OSError(f"{request.image} could not be read.")
    for number in count():
        if not all(video.grab() for video in videos):
            return
        if number % every == 0:
            yield [_written(request, video.retrieve()[1], folder) for request, video in zip(requests, videos)]


def _written(request: ViewRequest, picture: np.ndarray, folder: Path) -> ViewRequest:
    path = folder / f"{request.name}.png"
    if request.size is not None:
        picture = cv2.resize(picture, request.size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), picture)
    return replace(request, image=path)


class Comparison:
    """Fits people alone with the numbers of updates that are asked for, and by the other cameras."""

    def __init__(self, weights: Path | None, iterations: Sequence[int], known_height: bool = False) -> None:
        models = Models()
        self._together = ViewFitter(models, FitOptions(iterations=10, confidence=False))
        self._alone = [FitOptions(weights=weights, iterations=number, confidence=False) for number in iterations]
        self._known_height = known_height

    def errors(self, requests: Sequence[ViewRequest]) -> list[torch.Tensor]:
        """Of every person and camera that qualify: [T,3] MPJPE, PA-MPJPE, and error along the ray, millimetres.

        Raises ViewsError, ImageError.
        """
        try:
            result, views = self._together.reconstruct(requests)
        except NoPersonFound:
            return []
        rows = []
        body = self._together.subject().result_body.data
        for boxes in result.boxes_xywh:
            seen = np.flatnonzero(np.isfinite(boxes).all(axis=1))
            if len(seen) < ENOUGH:
                continue
            for camera in seen:
                others = seen[seen != camera]
                person = fit_person(self._together, [views[other] for other in others], boxes[others])
                height = standing_height(body, person.betas[0]) if self._known_height else None
                jobs = [FitJob(self._together.models, replace(options, height=height)) for options in self._alone]
                tried = [fit_person(job, [views[camera]], boxes[camera, None], "never").joints for job in jobs]
                found = torch.from_numpy(np.concatenate(tried)).double()
                truth = torch.from_numpy(person.joints).double().expand_as(found)
                along = 1000 * (_pelvis_distance(found, views[camera]) - _pelvis_distance(truth, views[camera])).abs()
                rows.append(torch.stack([mpjpe(found, truth), pa_mpjpe(found, truth), along], 1))
        return rows


def _pelvis_distance(joints: torch.Tensor, view: View) -> torch.Tensor:
    """Metres [T] from the camera's centre to the pelvis of joints [T,24,3] in the world."""
    return (joints[:, 0] + torch.from_numpy(view.R.T @ view.t)).norm(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--every", type=int, default=8, help="frames from one instant to the next")
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 3, 5, 10])
    parser.add_argument("--known-height", action="store_true", help="a camera knows the height that others find")
    options = parser.parse_args()
    comparison, rows = Comparison(options.weights, options.iterations, options.known_height), []
    with tempfile.TemporaryDirectory() as folder:
        for file in options.views:
            for requests in tqdm(instants(read_views(file), options.every, Path(folder)), unit="instant", disable=None):
                rows += comparison.errors(requests)
    if not rows:
        raise SystemExit(f"Nobody was seen by {ENOUGH} cameras.")
    errors = torch.stack(rows, 1)
    for number, row in zip(options.iterations, errors):
        figures = {
            name: [round(column.mean().item(), 1), round(column.median().item(), 1)]
            for name, column in zip(("MPJPE", "PA-MPJPE", "along the ray"), row.T)
        }
        print(json.dumps({"iterations": number, "bodies": len(row), **figures}))


if __name__ == "__main__":
    main()
