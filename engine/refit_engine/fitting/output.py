# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fitted picture leaves on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..body import BodyData
from ..images import Photo, write_image
from ..map_sheet import draw_sheet, draw_tile
from ..multiview_results import MultiViewResult, write_multiview_result
from ..overlay import draw_overlay, guessed_vertices
from ..results import ImageResult, write_result
from .feature_maps import FeatureMaps
from .multiview.views import View
from .shown import hidden_bones


@dataclass(frozen=True)
class Output:
    """Files of one picture."""

    npz: Path
    overlay: Path | None
    image: Path
    """The picture that the result refers to."""
    people: int


def write_output(folder: Path, result: ImageResult, photo: Photo, body: BodyData, overlay: bool) -> Output:
    """Write result.npz and, if asked for, overlay.png into a folder.

    photo: the picture in the result's frame. Where EXIF turned it, or Blender does not read its format, a copy is kept
    as upright.jpg and the result refers to that: Blender shows pictures as they are stored. Raises OSError, e.g. when
    the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if photo.turned or photo.foreign:
        write_image(folder / "upright.jpg", photo.pixels)
        result = replace(result, image=str(folder / "upright.jpg"))
    drawing = None
    if overlay:
        drawing = folder / "overlay.png"
        hidden = hidden_bones(result.guessed, [(result.joints2d, photo.size)])
        hatched = guessed_vertices(body.weights, body.parents, hidden)
        write_image(drawing, draw_overlay(photo.pixels, result.vertices_cam, body.faces, result.K, hatched))
    npz = folder / "result.npz"
    write_result(npz, result)
    return Output(npz, drawing, Path(result.image), result.people)


@dataclass(frozen=True)
class ViewsOutput:
    """Files of a multi-view fit; overlays: one for each view, empty if there are none."""

    npz: Path
    overlays: tuple[Path, ...]


def write_views_output(
    folder: Path, result: MultiViewResult, views: Sequence[View], body: BodyData, overlay: bool
) -> ViewsOutput:
    """Write result.npz and, if asked for, an overlay over each view's picture without lens distortion.

    Raises OSError, e.g. when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlays: list[Path] = []
    sizes = [(view.pixels.shape[1], view.pixels.shape[0]) for view in views]
    hidden = hidden_bones(result.guessed, zip(result.joints2d.swapaxes(0, 1), sizes, strict=True))
    hatched = guessed_vertices(body.weights, body.parents, hidden)
    for number, view in enumerate(views if overlay else ()):
        vertices = result.vertices_world @ view.R.T + view.t
        path = folder / f"overlay_{number:02d}_{_file_name(view.name)}.png"
        write_image(path, draw_overlay(view.pixels, vertices, body.faces, view.intrinsics.K, hatched))
        overlays.append(path)
    npz = folder / "result.npz"
    write_multiview_result(npz, result)
    return ViewsOutput(npz, tuple(overlays))


def write_maps(folder: Path, maps: FeatureMaps, tiles: bool) -> Path:
    """Write sheet.png and, if asked for, a picture of each keypoint's map into a folder. Returns the sheet.

    Raises OSError, e.g. when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(maps.names if tiles else ()):
        write_image(folder / f"{number:03d}_{_file_name(name)}.png", draw_tile(maps, number))
    sheet = folder / "sheet.png"
    write_image(sheet, draw_sheet(maps))
    return sheet


def _file_name(name: str) -> str:
    """What of a name any file system takes."""
    return re.sub(r"[^\w.-]+", "_", name)[:80].strip("._") or "view"
