# SPDX-License-Identifier: GPL-3.0-or-later
"""What jobs are asked for: from named parameters to the fitting's own types. Imports nothing heavy until it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ImageError, ViewsError
from .json_file import read_json
from .protocol import INVALID_PARAMS, Params, ProtocolError, is_object

if TYPE_CHECKING:
    from .device import DeviceName
    from .distortion import Distortion
    from .fitting import FitOptions, ImageRequest, ViewRequest

MAX_ITERATIONS = 100


def reconstruct_params(params: dict[str, Any]) -> tuple[list[ImageRequest], FitOptions, DeviceName, bool, Path]:
    """Pictures, options, device, whether overlays are wanted, and the job's folder."""
    values = Params(params)
    requests = image_requests(values)
    options, device = solve_params(values, iterations=5)
    folder = Path(values.string("job_folder"))
    overlay = values.boolean("overlay", False)
    values.done()
    return requests, options, device, overlay, folder


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
        distortion = _distortion(item)
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
        distortion = _distortion(item)
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


def _distortion(item: Params) -> Distortion | None:
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
    try:
        content = read_json(path)
    except OSError as error:
        raise ViewsError(f"{path} cannot be opened: {error.strerror}.") from error
    except ValueError as error:
        raise ViewsError(f"{path.name} is not JSON: {error}.") from error
    try:
        values = Params(content if is_object(content) else {"views": content})
        requests = view_requests(values, path.parent)
        values.done()
    except (ProtocolError, ImageError) as error:
        raise ViewsError(f"{path.name}: {error}") from error
    return requests


def solve_params(values: Params, iterations: int) -> tuple[FitOptions, DeviceName]:
    """What all jobs have in common; `iterations`: the default."""
    from .device import DEVICE_NAMES
    from .fitting import FitOptions

    body, weights, betas = values.optional_string("body"), values.optional_string("weights"), None
    if (numbers := values.optional_numbers("betas", 10)) is not None:
        betas = np.array(numbers, dtype=np.float32)
    options = FitOptions(
        people=values.choice("people", ("all", "largest")),
        body=Path(body) if body else None,
        gender=values.choice("gender", ("neutral", "male", "female")),
        weights=Path(weights) if weights else None,
        betas=betas,
        iterations=values.integer("iterations", iterations, 0, MAX_ITERATIONS),
        confidence=values.boolean("confidence", True),
        height=values.optional_number("height"),
    )
    return options, values.choice("device", DEVICE_NAMES)
