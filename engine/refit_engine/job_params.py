# SPDX-License-Identifier: GPL-3.0-or-later
"""What jobs are asked for: from named parameters to the fitting's own types. Imports nothing heavy until it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .contract import BETAS, OPTIONS, VIEWS_ITERATIONS, Device, People
from .errors import ImageError, ViewsError
from .json_file import read_json_file
from .protocol import INVALID_PARAMS, Params, ProtocolError, is_object

if TYPE_CHECKING:
    from .distortion import Distortion
    from .fitting import FitOptions, ImageRequest, ViewRequest

Request = TypeVar("Request")


class SolveParams(NamedTuple):
    """What all jobs have in common: options, and the name of the device."""

    options: FitOptions
    device: Device


class DetectParams(NamedTuple):
    """A call of `detect`."""

    image: Path
    people: People


class ReconstructParams(NamedTuple):
    """A call of `reconstruct`. overlay: whether pictures with the bodies are wanted; folder: the job's."""

    requests: list[ImageRequest]
    options: FitOptions
    device: Device
    overlay: bool
    folder: Path


class ViewsParams(NamedTuple):
    """A call of `fit_views`; as `ReconstructParams`."""

    requests: list[ViewRequest]
    options: FitOptions
    device: Device
    overlay: bool
    folder: Path


class ShapeParams(NamedTuple):
    """A call of `fit_shape`: pictures, or known shapes [10] of which the mean is wanted."""

    requests: list[ImageRequest]
    shapes: list[np.ndarray] | None
    options: FitOptions
    device: Device


def detect_params(params: dict[str, Any]) -> DetectParams:
    """The parameters of `detect`. Raises ProtocolError."""
    values = Params(params)
    image, people = Path(values.string("image")), _choice(values, "people")
    values.done()
    return DetectParams(image, people)


def reconstruct_params(params: dict[str, Any]) -> ReconstructParams:
    """The parameters of `reconstruct`. Raises ProtocolError."""
    values = Params(params)
    requests = image_requests(values)
    options, device = solve_params(values)
    folder, overlay = Path(values.string("job_folder")), _flag(values, "overlay")
    values.done()
    return ReconstructParams(requests, options, device, overlay, folder)


def views_params(params: dict[str, Any]) -> ViewsParams:
    """The parameters of `fit_views`. Raises ProtocolError."""
    values = Params(params)
    requests = view_requests(values)
    options, device = solve_params(values, VIEWS_ITERATIONS)
    folder, overlay = Path(values.string("job_folder")), _flag(values, "overlay")
    values.done()
    return ViewsParams(requests, options, device, overlay, folder)


def shape_params(params: dict[str, Any]) -> ShapeParams:
    """The parameters of `fit_shape`. Raises ProtocolError."""
    values = Params(params)
    shapes = values.optional_rows("shapes", columns=BETAS)
    requests = [] if shapes is not None else image_requests(values)
    options, device = solve_params(values)
    values.optional_string("job_folder")  # nothing to write, but every job has one
    values.done()
    return ShapeParams(requests, None if shapes is None else [np.array(one) for one in shapes], options, device)


def image_requests(values: Params) -> list[ImageRequest]:
    """The pictures of a call."""
    from .fitting import ImageRequest

    requests: list[ImageRequest] = []
    for item in values.objects("images"):
        image = Path(item.string("image"))
        boxes = item.optional_rows("bboxes_xywh", columns=4)
        K = item.optional_rows("K", columns=3, rows=3)
        focal, focal_mm = item.optional_number("focal"), item.optional_number("focal_mm")
        up = item.optional_numbers("up", 3)
        if up is not None and not any(up):
            raise ProtocolError(INVALID_PARAMS, "The direction up must not be zero.")
        camera_height = item.optional_number("camera_height")
        if camera_height is not None and up is None:
            raise ProtocolError(INVALID_PARAMS, "A camera's height says nothing without the direction up.")
        distortion = read_distortion(item)
        item.done()
        requests.append(
            ImageRequest(
                image,
                boxes_xywh=np.array(boxes) if boxes is not None else None,
                K=np.array(K) if K is not None else None,
                focal=focal,
                focal_mm=focal_mm,
                distortion=distortion,
                up=np.array(up) if up is not None else None,
                camera_height=camera_height,
            )
        )
    return requests


def view_requests(values: Params, folder: Path | None = None) -> list[ViewRequest]:
    """The calibrated views of a call; images relative to `folder`."""
    from .fitting import ViewRequest

    requests: list[ViewRequest] = []
    for item in values.objects("views"):
        name, image = item.string("name"), Path(item.string("image"))
        K, R = item.rows("K", 3, 3), item.rows("R_world2cam", 3, 3)
        t, size = item.numbers("t_world2cam", 3), item.optional_numbers("image_size", 2)
        boxes = item.optional_rows("bboxes_xywh", columns=4)
        distortion = read_distortion(item)
        item.done()
        requests.append(
            ViewRequest(
                name=name,
                image=folder / image if folder else image,
                K=np.array(K),
                R=np.array(R),
                t=np.array(t),
                distortion=distortion,
                boxes_xywh=np.array(boxes) if boxes is not None else None,
                size=None if size is None else (round(size[0]), round(size[1])),
            )
        )
    return requests


def read_distortion(item: Params) -> Distortion | None:
    """The lens of a picture."""
    from .distortion import Distortion, known_model

    lens = item.optional_object("distortion")
    if lens is None:
        return None
    distortion = Distortion(known_model(lens.string("model")), tuple(lens.numbers("coefficients")))
    lens.done()
    return distortion


def read_views(path: Path) -> list[ViewRequest]:
    """The views of a file: a JSON list, or an object with the list under "views". Raises ViewsError."""
    return read_listed(path, view_requests)


def read_listed(path: Path, requests: Callable[[Params, Path], list[Request]]) -> list[Request]:
    """What a file lists under "views", or as a bare list; `requests` reads it, with files relative to a folder. Raises ViewsError."""
    content = read_json_file(path, ViewsError)
    try:
        values = Params(content if is_object(content) else {"views": content})
        listed = requests(values, path.parent)
        values.done()
    except (ProtocolError, ImageError) as error:
        raise ViewsError(f"{path.name}: {error}") from error
    return listed


def solve_params(values: Params, iterations: int | None = None) -> SolveParams:
    """What all jobs have in common; `iterations`: the default, where it is not the table's."""
    from .fitting import FitOptions

    body, weights, betas = values.optional_string("body"), values.optional_string("weights"), None
    if (numbers := values.optional_numbers("betas", BETAS)) is not None:
        betas = np.array(numbers, dtype=np.float32)
    updates = OPTIONS["iterations"]
    default = updates.default if iterations is None else iterations
    options = FitOptions(
        people=_choice(values, "people"),
        body=Path(body) if body else None,
        gender=_choice(values, "gender"),
        weights=Path(weights) if weights else None,
        betas=betas,
        iterations=values.integer("iterations", default, int(updates.low), int(updates.high)),
        confidence=_flag(values, "confidence"),
        height=values.optional_number("height"),
    )
    return SolveParams(options, _choice(values, "device"))


def _choice(values: Params, name: str) -> Any:
    return values.choice(name, OPTIONS[name].choices)


def _flag(values: Params, name: str) -> bool:
    return values.boolean(name, OPTIONS[name].default)
