# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fitted picture leaves on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..images import Photo, write_image
from ..overlay import draw_overlay
from ..results import ImageResult, write_result


@dataclass(frozen=True)
class Output:
    """Files of one picture."""

    npz: Path
    overlay: Path | None
    image: Path
    """The picture that the result refers to."""
    people: int


def write_output(folder: Path, result: ImageResult, photo: Photo, faces: np.ndarray, overlay: bool) -> Output:
    """Write result.npz and, if asked for, overlay.png into a folder.

    photo: the picture in the result's frame. Where EXIF turned it, an upright copy is kept as upright.jpg and the
    result refers to that: Blender shows pictures as they are stored. Raises OSError, e.g. when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if photo.turned:
        write_image(folder / "upright.jpg", photo.pixels)
        result = replace(result, image=str(folder / "upright.jpg"))
    drawing = None
    if overlay:
        drawing = folder / "overlay.png"
        write_image(drawing, draw_overlay(photo.pixels, result.vertices_cam, faces, result.K))
    npz = folder / "result.npz"
    write_result(npz, result)
    return Output(npz, drawing, Path(result.image), result.people)
